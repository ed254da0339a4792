"""`python -m raysearch.export STUDY_DIR --out SET_DIR`: write an ensemble as a checkpoint set, and check it."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import run
from raysearch.export import export_set
from raysearch.io import display_path
from raysearch.paths import StudyPaths


def command(
    study_dir: Annotated[
        Path, typer.Argument(help="The study's folder, as raysearch.tune printed it.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The set's folder; it must not exist yet.", show_default=False)],
    ensemble: Annotated[
        str, typer.Option(help="The name of an ensemble of the study (raysearch.ensemble).")
    ] = "greedy",
    data: Annotated[
        str | None, typer.Option(help="Where the study's data lies now, if it has moved. Default: where it lay.")
    ] = None,
) -> None:
    """Write an ensemble's members as a checkpoint set for raysearch.predict and for plain timm.

    The set is read back by a fresh process and must reproduce the ensemble's stored held-out probabilities; only
    then does it appear at --out. Each folder in members/ loads by timm.create_model("local-dir:FOLDER",
    pretrained=True).
    """
    manifest, check = export_set(StudyPaths(study_dir), ensemble, out, data)
    folders = len({member.folder for member in manifest.members})
    megabytes = sum((out / name).stat().st_size for name in manifest.files) / 1e6
    print(f"{len(manifest.members)} members from {folders} checkpoints, {megabytes:.1f} MB")
    print(
        f"Verified: read back by a fresh process, the set reproduces the stored probabilities of {check.n} held-out "
        f"images: max difference {check.max_difference:.1e}, accuracy {check.accuracy:.4f} both times"
    )
    print(f"Written to {display_path(out)}")


def main() -> None:
    """Run the verb."""
    run(command)


if __name__ == "__main__":
    main()
