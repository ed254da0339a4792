"""The command `raysearch VERB ...`, which runs `python -m raysearch.VERB ...`.

A verb's module is imported only when the verb runs, because torch and ray take seconds to import.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from raysearch import __version__
from raysearch.cli import HELP, print_faults, run
from raysearch.errors import UserError, name_known

VERBS = {
    "fit": "train the best ensemble that a given time allows",
    "tune": "search: train many models from a space file",
    "train": "train one model from a config",
    "ensemble": "select ensemble members from a study's trials, and their weights",
    "export": "write an ensemble as a verified checkpoint set",
    "predict": "classify images with a checkpoint set",
    "evaluate": "score a checkpoint set on labelled images",
    "report": "write a one-page HTML report of a study",
    "data": "check labelled images",
    "preview": "draw the images that a training sees",
    "spaces": "list the included search spaces and ensemble recipes, or print one",
}
"""The name of each verb, which is also the name of its package, and its description in the help."""


class Verbs(TyperGroup):
    """The verbs as subcommands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        return typer.main.get_command(import_module(f"raysearch.{cmd_name}.__main__").app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in VERBS:
            print_faults(UserError(f"no verb {args[0]!r}{name_known(args[0], VERBS)}"))
            raise typer.Exit(2)
        # What `python -m raysearch.VERB` would have: the search prints its own command line to continue it.
        sys.argv = [f"raysearch {args[0]}", *args[1:]]
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the verbs from `VERBS`, without importing any."""
        self.format_usage(ctx, formatter)
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))
        with formatter.section("Options"):
            formatter.write_dl([record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))])


app = typer.Typer(cls=Verbs, context_settings=HELP, options_metavar="", subcommand_metavar="VERB [OPTIONS]")


@app.callback(invoke_without_command=True)
def raysearch(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main() -> None:
    run(app, prog_name="raysearch")


if __name__ == "__main__":
    main()
