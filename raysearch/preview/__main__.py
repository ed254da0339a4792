"""`python -m raysearch.preview SPACE --out PICTURE.png`: a picture of the augmented training images."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.errors import UserError
from raysearch.io import require_local
from raysearch.shipped import find_file


def command(
    space: Annotated[
        str,
        typer.Argument(
            help="Name of an included space (see `raysearch spaces`), or a space file.", metavar="NAME|FILE"
        ),
    ],
    out: Annotated[Path, typer.Option(help="Picture to write, a .png file.")],
    data: Annotated[
        str | None, typer.Option(help="Labelled images: digits, or a folder. Default: data.source of the space.")
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, max=24, help="Number of train images to show, spread over the classes.")
    ] = 6,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a value of the space: path=value, such as trial.augment.policy=basic. Repeatable."
        ),
    ] = None,
) -> None:
    """Draw a few train images after each augmentation operation, for both views of a training."""
    require_local("--out", out)
    if out.suffix.lower() != ".png":
        raise UserError(f"--out: expected a name ending in .png, got {str(out)!r}")

    from raysearch.preview.build import preview_sheet  # imports torch
    from raysearch.space.options import format_overrides

    overrides = format_overrides(set_ or (), data=data)
    sheet = preview_sheet(find_file("spaces", space), overrides, images)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    print(f"{out}: {sheet.width} x {sheet.height} px")


app = application(command)

if __name__ == "__main__":
    run(app)
