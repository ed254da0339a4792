"""Labelled images: what a source holds, and whether it can be trained on."""

from typing import Annotated

import numpy as np
import typer

from raysearch.cli import HELP, reporting_faults
from raysearch.config import DataConfig, TrialConfig
from raysearch.data import Dataset, available_splits, open_dataset

app = typer.Typer(add_completion=False, context_settings=HELP, no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at labelled images before training on them."""


@app.command("check")
@reporting_faults
def check(
    source: Annotated[
        str,
        typer.Argument(
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
    config = DataConfig(source=source)
    if not split:
        split = ["train", "held_out", *(["test"] if "test" in available_splits(config) else [])]
    for line in summary(open_dataset(config, TrialConfig().image_size, split)):
        print(line)


def summary(dataset: Dataset) -> list[str]:
    """A table of images a class and split, as lines."""
    counts = [np.bincount(split.labels, minlength=len(dataset.classes)) for split in dataset.splits.values()]
    rows = [("class", *dataset.splits), *zip(dataset.classes, *counts, strict=True)]
    rows.append(("all", *dataset.counts.values()))
    width = max(len(str(row[0])) for row in rows)
    return [
        f"source       {dataset.source}",
        f"classes      {len(dataset.classes)}",
        f"fingerprint  {dataset.fingerprint or 'of train and held_out together only'}",
        "",
        *("  ".join([str(row[0]).ljust(width), *(str(cell).rjust(8) for cell in row[1:])]) for row in rows),
    ]


def main() -> None:
    """Run the verb."""
    app()


if __name__ == "__main__":
    main()
