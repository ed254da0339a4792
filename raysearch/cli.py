"""Command lines: user mistakes become lines on stderr and exit code 2, Ctrl-C becomes exit code 130."""

import functools
import gc
import sys
from collections.abc import Callable

import typer

from raysearch.errors import UserError

HELP = {"help_option_names": ["-h", "--help"]}


def application(command: Callable[..., None]) -> typer.Typer:
    """A typer application of one command."""
    app = typer.Typer(add_completion=False, context_settings=HELP)
    app.command()(report_errors(command))
    return app


def run(app: typer.Typer, prog_name: str | None = None) -> None:
    """Run ``app`` with the arguments of this process. ``prog_name``: how the usage line calls the command."""
    try:
        app(prog_name=prog_name)
    finally:
        gc.freeze()  # the interpreter's last collection would visit all of torch's modules, which takes two seconds


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with its `UserError`s printed, a line a fault, and turned into exit code 2; so are the operating
    system's refusals (a full disk, a folder that cannot be written)."""

    @functools.wraps(command)
    def checked(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            print_faults(error)
            raise typer.Exit(2) from None
        except OSError as error:
            print(f"error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return checked


def print_faults(error: UserError) -> None:
    """Print every fault as a line on stderr."""
    for fault in error.faults:
        print(f"error: {fault}", file=sys.stderr)
