"""`python -m raysearch.export STUDY_DIR`: write an ensemble as a checkpoint set, and check it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from raysearch.cli import application, run
from raysearch.io import display_path, require_local
from raysearch.paths import StudyPaths

if TYPE_CHECKING:
    from raysearch.export.check import Check
    from raysearch.export.write import Refitting
    from raysearch.predict.manifest import Manifest

SETS = Path("best")
"""Where sets are written by default."""


def command(
    study_dir: Annotated[
        Path, typer.Argument(help="The study's folder, as raysearch.tune printed it.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The set's folder; it must not exist yet. Default: best/ and the study's name."),
    ] = None,
    ensemble: Annotated[
        str, typer.Option(help="The name of an ensemble of the study (raysearch.ensemble).")
    ] = "greedy",
    data: Annotated[
        str | None, typer.Option(help="Where the study's data lies now, if it has moved. Default: where it lay.")
    ] = None,
    format_: Annotated[
        Literal["timm", "onnx"],
        typer.Option(
            "--format",
            help="onnx: the set also has the whole weighted vote as one file, ensemble.onnx, checked with onnxruntime "
            "(pip install 'raysearch\\[onnx]').",
        ),
    ] = "timm",
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="First train the members again, on train and held-out images together but for a few, and export "
            "those; the weights of the vote stay. The held-out figures do not apply to them.",
        ),
    ] = False,
    refit_seeds: Annotated[
        int, typer.Option(min=1, help="With --refit: trainings of each member, whose probabilities are averaged.")
    ] = 1,
    refit_held_out_per_class: Annotated[
        int, typer.Option(min=1, help="With --refit: images a class that are kept out, to check the set by.")
    ] = 2,
) -> None:
    """Write an ensemble's members as a checkpoint set for raysearch.predict and for plain timm.

    The set is read back by a fresh process and must reproduce the ensemble's stored held-out probabilities; only
    then does it appear at --out. Each folder in members/ loads by timm.create_model("local-dir:FOLDER",
    pretrained=True).
    """
    from raysearch.export.write import export_set  # imports torch

    study = StudyPaths(study_dir)
    require_local("--out", out or "")
    out = out or _default_out(study_dir, ensemble, refit)
    refitting = _refitting(study, ensemble, data, refit_seeds, refit_held_out_per_class) if refit else None
    manifest, check = export_set(study, ensemble, out, data, refit=refitting, has_onnx=format_ == "onnx")
    for line in _lines(manifest, check, out):
        print(line)


def _default_out(study_dir: Path, ensemble: str, refit: bool) -> Path:
    parts = [study_dir.resolve().name, *([ensemble] if ensemble != "greedy" else []), *(["refit"] if refit else [])]
    return SETS / "-".join(parts)


def _refitting(study: StudyPaths, ensemble: str, data: str | None, seeds: int, held_out_per_class: int) -> "Refitting":
    from raysearch.tune.refit import refit_ensemble  # ray takes seconds to load, and only a refit needs it

    return lambda: refit_ensemble(study, ensemble, seeds=seeds, held_out_per_class=held_out_per_class, source=data)


def _lines(manifest: "Manifest", check: "Check", out: Path) -> list[str]:
    folders = {folder for member in manifest.members for folder in member.folders}
    megabytes = sum((out / name).stat().st_size for name in manifest.files) / 1e6
    kept_out = "kept-out" if manifest.refitted else "held-out"
    models = manifest.members[0].models
    by_fold = ", each by the models of the fold that held it out" if models[0].fold is not None else ""
    lines = [
        f"{len(manifest.members)} members from {len(folders)} checkpoints, {megabytes:.1f} MB",
        f"Verified: read back by a fresh process, the set reproduces the stored probabilities of {check.n} {kept_out} "
        f"images{by_fold}: max difference {check.max_difference:.1e}, accuracy {check.accuracy:.4f} both times",
    ]
    if check.onnx_difference is not None and manifest.onnx:
        lines.append(f"{manifest.onnx.file}: onnxruntime gives the set's probabilities to {check.onnx_difference:.1e}")
    fitted = manifest.figures["cross_fitted"]
    share = f"{100 * fitted['accuracy']:.1f} % ({100 * fitted['low']:.1f} to {100 * fitted['high']:.1f})"
    if manifest.refitted:
        lines.append(
            f"The held-out figures of {manifest.name!r}, cross-fitted accuracy {share}, are of its members before the "
            "refit: they no longer apply to the refitted ones; images of a test split can say how good those are"
        )
    else:
        lines.append(f"Cross-fitted accuracy on held-out images: {share}")
    if manifest.provenance.data_licence is None:
        lines.append("The data states no licence: see README.md in the set before you share it")
    return [*lines, f"Written to {display_path(out)}"]


app = application(command)

if __name__ == "__main__":
    run(app)
