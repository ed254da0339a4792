"""`python -m raysearch.data`: what a source of labelled images holds, and whether it can be trained on."""

from typing import Annotated

import typer

from raysearch.cli import HELP, report_errors, run

app = typer.Typer(add_completion=False, context_settings=HELP, no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at labelled images before training on them."""


@app.command("check")
@report_errors
def check(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="`digits`; a folder with train.parquet, val.parquet and perhaps test.parquet; a folder of train/, "
            "val/ and perhaps test/ class folders; or one folder of class folders, which is split here.",
        ),
    ],
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="A split to read: train, val or test; may be repeated. Without it: train, val, and test if there."
        ),
    ] = None,
) -> None:
    """Decode every image of SOURCE; print splits, classes and the fingerprint, or every fault."""
    from raysearch.data.summary import check_source  # imports numpy and pyarrow

    print("\n".join(check_source(source, split)))


if __name__ == "__main__":
    run(app)
