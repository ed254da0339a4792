"""`python -m raysearch.data`: check a source of labelled images before training."""

from typing import Annotated

import typer

from raysearch.cli import HELP, report_errors, run

app = typer.Typer(add_completion=False, context_settings=HELP, no_args_is_help=True)


@app.callback()
def data() -> None:
    """Check labelled images before training."""


@app.command("check")
@report_errors
def check(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="`digits`; a folder with train.parquet, val.parquet and optionally test.parquet; a folder with "
            "train/, val/ and optionally test/, each with one folder per class; or a folder with one folder per class, "
            "which is split automatically.",
        ),
    ],
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="A split to read: train, val or test. Repeatable. Default: train, val, and test if it exists."
        ),
    ] = None,
) -> None:
    """Decode every image of SOURCE. Print splits, classes and the fingerprint, or all faults."""
    from raysearch.data.summary import check_source  # imports numpy and pyarrow

    print("\n".join(check_source(source, split)))


if __name__ == "__main__":
    run(app)
