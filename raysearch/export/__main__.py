"""`python -m raysearch.export STUDY_DIR`: export an ensemble as a verified checkpoint set."""

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
"""Default parent folder of exported sets."""


def command(
    study_dir: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY_DIR", help="Folder of the study, printed by `raysearch tune`.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to create for the set; it must not exist. Default: best/STUDY."),
    ] = None,
    ensemble: Annotated[
        str, typer.Option(help="Name of an ensemble that `raysearch ensemble` selected for the study.")
    ] = "greedy",
    data: Annotated[
        str | None,
        typer.Option(help="New location of the study's data, if it moved. Default: the location stored in the study."),
    ] = None,
    format_: Annotated[
        Literal["timm", "onnx"],
        typer.Option(
            "--format",
            help="onnx: also write the whole ensemble as one file, ensemble.onnx, verified with onnxruntime "
            "(pip install 'raysearch\\[onnx]').",
        ),
    ] = "timm",
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Train the members again on train and held-out images together, and export the new networks. The "
            "ensemble weights stay the same. The held-out figures do not apply to the new networks.",
        ),
    ] = False,
    refit_seeds: Annotated[
        int, typer.Option(min=1, help="With --refit: number of trainings per member; their probabilities are averaged.")
    ] = 1,
    refit_held_out_per_class: Annotated[
        int,
        typer.Option(min=1, help="With --refit: number of images per class to hold out; the set is verified on them."),
    ] = 2,
) -> None:
    """Export an ensemble as a checkpoint set for `raysearch predict` and for plain timm.

    A new process reads the set back and must reproduce the stored held-out
    probabilities of the ensemble. Only then does the set appear at --out.

    timm.create_model("local-dir:FOLDER", pretrained=True) loads each folder in
    members/.
    """
    require_local("--out", out or "")
    from raysearch.export.write import export_set  # imports torch

    study = StudyPaths(study_dir)
    out = out or _choose_out(study_dir, ensemble, refit)
    refitting = _prepare_refit(study, ensemble, data, refit_seeds, refit_held_out_per_class) if refit else None
    manifest, check = export_set(study, ensemble, out, data, refit=refitting, has_onnx=format_ == "onnx")
    for line in _summarize(manifest, check, out):
        print(line)


def _choose_out(study_dir: Path, ensemble: str, refit: bool) -> Path:
    parts = [study_dir.resolve().name, *([ensemble] if ensemble != "greedy" else []), *(["refit"] if refit else [])]
    return SETS / "-".join(parts)


def _prepare_refit(
    study: StudyPaths, ensemble: str, data: str | None, seeds: int, held_out_per_class: int
) -> "Refitting":
    from raysearch.tune.refit import refit_ensemble  # imports ray, which takes seconds; only a refit needs it

    return lambda: refit_ensemble(study, ensemble, seeds=seeds, held_out_per_class=held_out_per_class, source=data)


def _summarize(manifest: "Manifest", check: "Check", out: Path) -> list[str]:
    folders = {folder for member in manifest.members for folder in member.folders}
    megabytes = sum((out / name).stat().st_size for name in manifest.files) / 1e6
    kept_out = "kept-out" if manifest.refitted else "held-out"
    models = manifest.members[0].models
    by_fold = ", each predicted by the models of the fold that held it out" if models[0].fold is not None else ""
    lines = [
        f"{len(manifest.members)} members from {len(folders)} checkpoints, {megabytes:.1f} MB",
        f"Verified: a new process read the set and reproduced the stored probabilities of {check.n} {kept_out} "
        f"images{by_fold}: max difference {check.max_difference:.1e}, accuracy {check.accuracy:.4f} in both",
    ]
    if check.onnx_difference is not None and manifest.onnx:
        lines.append(
            f"{manifest.onnx.file}: onnxruntime reproduces the set's probabilities: "
            f"max difference {check.onnx_difference:.1e}"
        )
    fitted = manifest.figures["cross_fitted"]
    is_balanced = fitted.get("balanced_accuracy") is not None
    measure = "balanced accuracy" if is_balanced else "accuracy"
    share = f"{100 * fitted[measure.replace(' ', '_')]:.1f} % ({100 * fitted['low']:.1f} to {100 * fitted['high']:.1f})"
    if manifest.refitted:
        lines.append(
            f"The held-out figures of {manifest.name!r} (cross-fitted {measure} {share}) describe its members before "
            "the refit and do not apply to the refitted members; score those with `raysearch evaluate` on a test split"
        )
    else:
        lines.append(f"Cross-fitted {measure} on held-out images: {share}")
    if manifest.provenance.data_licence is None:
        lines.append("The data source states no licence: read README.md in the set before you share it")
    return [*lines, f"Written to {display_path(out)}"]


app = application(command)

if __name__ == "__main__":
    run(app)
