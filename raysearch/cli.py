"""Command lines. A `UserError` is printed on stderr and exits with code 2; Ctrl-C exits with code 130."""

import functools
import gc
import sys
from collections.abc import Callable

import typer

from raysearch.errors import UserError

HELP = {"help_option_names": ["-h", "--help"]}


def application(command: Callable[..., None]) -> typer.Typer:
    """Make a typer application with one command."""
    app = typer.Typer(add_completion=False, context_settings=HELP)
    app.command()(report_errors(command))
    return app


def run(app: typer.Typer, prog_name: str | None = None) -> None:
    """Run ``app`` with the arguments of this process. ``prog_name``: the command's name in the usage line."""
    try:
        app(prog_name=prog_name)
    finally:
        gc.freeze()  # skips the garbage collection at exit, which takes two seconds once torch is imported


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``command``: print a `UserError`, one line per fault, and exit with code 2.

    An `OSError` (a full disk, a folder that is not writable) is handled in the same way.
    """

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
    """Print one line per fault on stderr."""
    for fault in error.faults:
        print(f"error: {fault}", file=sys.stderr)
