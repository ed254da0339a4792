"""Labelled images: what a source holds, whether it can be trained on, and what a training makes of them."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from raysearch.cli import HELP, reporting_faults
from raysearch.config import DataConfig, TrialConfig
from raysearch.data import Dataset, available_splits, open_dataset
from raysearch.errors import UserError

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


@app.command("preview")
@reporting_faults
def preview(
    space: Annotated[Path, typer.Argument(help="A space file. Shown is the first stage of its first trial.")],
    out: Annotated[Path, typer.Option(help="The picture to write, a .png file.")],
    data: Annotated[str | None, typer.Option(help="Labelled images: digits, or a folder. Default: the file's.")] = None,
    images: Annotated[int, typer.Option(min=1, max=24, help="Train images to show, spread over the classes.")] = 6,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="path=value, e.g. trial.augment.policy=basic; may be repeated.")
    ] = None,
) -> None:
    """Draw a few train images after every operation of the augmentation in turn, as both views of a training."""
    if out.suffix.lower() != ".png":
        raise UserError(f"--out: a name that ends in .png must stand here, got {str(out)!r}")

    from raysearch.preview import preview_sheet  # with torch, which `check` need not wait for

    overrides = [*(set_ or []), *([f"data.source={json.dumps(data)}"] if data else [])]
    sheet = preview_sheet(space, overrides, images)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    print(f"{out}: {sheet.width} x {sheet.height} px")


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
