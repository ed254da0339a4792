"""Writes a checkpoint set, checks it in a fresh process, and only then gives it its name."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from raysearch.ensemble.results import Member
from raysearch.errors import SetError
from raysearch.export.card import card_of
from raysearch.export.check import Check, check_in_fresh_process
from raysearch.export.members import Weights, folder_name, image_size_of, read_weights, write_model
from raysearch.export.onnx_vote import require_onnx, require_room, write_onnx
from raysearch.export.provenance import provenance_of, versions
from raysearch.export.selected import SelectedEnsemble, read_selected, trial_of
from raysearch.export.trainings import Training
from raysearch.io import display_path, sha256, write_json, write_text
from raysearch.models import tencrop_side
from raysearch.paths import SetPaths, StudyPaths, view_parts
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.manifest import Manifest, MemberEntry, ModelEntry

FIGURES = ("in_sample", "cross_fitted", "best_single", "uniform", "gain", "disagreement", "calibration", "recommended")
"""Of the ensemble, in the manifest."""

Refitting: TypeAlias = Callable[[], StudyPaths]
"""Trains an ensemble's members again (`raysearch.tune.refit`) and says in which study."""


def export_set(
    study: StudyPaths,
    name: str,
    out: Path,
    source: str | None = None,
    *,
    refit: Refitting | None = None,
    has_onnx: bool = False,
) -> tuple[Manifest, Check]:
    """Write the ensemble ``name`` of ``study`` as the set ``out``; ``source`` says where its data lies now.

    With ``refit`` the set holds what that has trained, in the place of the members' own weights; with ``has_onnx`` it
    has the whole vote as one ONNX file too. The set appears at ``out`` whole and verified, or not at all. Raises
    `SetError` when ``out`` exists, when weights are not those of the stored predictions, or when the set read back does
    not reproduce them; `StudyError`, `PredictionsError` and `DataError` for what it starts from.
    """
    _require_free(out)
    if has_onnx:
        require_onnx()
    selected = read_selected(study, name, source)
    if refit:
        selected = read_selected(study, name, source, refit())
    weights = read_weights(selected)
    if has_onnx:
        require_room([stored.path for stored in weights.values()])
    selected.members[0][1][0].open_data()
    with _appearing(out) as aside:
        manifest = _write(SetPaths(aside), selected, weights, has_onnx=has_onnx)
        found = check_in_fresh_process(
            aside, study, name, selected.data.source, selected.refit.paths if selected.refit else None
        )
        if fault := found.fault:
            raise SetError(f"{display_path(out)}: not written: {fault}")
    return manifest, found


def _write(paths: SetPaths, selected: SelectedEnsemble, weights: Mapping[str, Weights], *, has_onnx: bool) -> Manifest:
    ensemble, trained = selected.ensemble, selected.refit.file if selected.refit else selected.file
    for name, stored in weights.items():
        write_model(paths.member(name), stored, ensemble.classes)
    manifest = Manifest(
        name=ensemble.name,
        study=selected.file.study,
        classes=list(ensemble.classes),
        split=ensemble.split,
        fingerprint=trained.data.fingerprint,
        data=trained.space.data.model_copy(update={"source": selected.data.source}),
        members=[_entry(paths, member, trainings) for member, trainings in selected.members],
        temperature=ensemble.calibration.temperature,
        refitted=selected.refit is not None,
        figures={key: value for key, value in asdict(ensemble).items() if key in FIGURES},
        provenance=provenance_of(trained, selected.data.source),
        versions=versions(),
        files={},
    )
    manifest = _listed(paths, manifest)
    if has_onnx:
        entry = write_onnx(paths.onnx, load_set(paths.root))
        manifest = manifest.model_copy(update={"onnx": entry})
    write_text(paths.card, card_of(manifest, ensemble, trained.data.counts))
    return _listed(paths, manifest)


def _listed(paths: SetPaths, manifest: Manifest) -> Manifest:
    """The manifest with the SHA-256 of every file that is there; it is written, too."""
    files = sorted(path for path in paths.root.rglob("*") if path.is_file() and path != paths.manifest)
    hashes = {path.relative_to(paths.root).as_posix(): sha256(path) for path in files}
    manifest = manifest.model_copy(update={"files": hashes})
    write_json(paths.manifest, manifest.model_dump(mode="json"))
    return manifest


def _entry(paths: SetPaths, member: Member, trainings: tuple[Training, ...]) -> MemberEntry:
    view, config = view_parts(member.view), trainings[0].config
    trial, size = config.trial, image_size_of(member, trainings[0])
    share = trial.inference.tencrop_share
    return MemberEntry(
        name=member.name,
        trial=trial_of(member),
        view=member.view,
        weight=member.weight,
        models=[_model(paths, member, training) for training in trainings],
        backbone=trial.backbone,
        image_size=size,
        tencrop_side=tencrop_side(size, share) if view.is_tencrop else None,
        tencrop_share=share,
        aux_fusion=trial.aux_fusion if view.is_fused else None,
        aux_stage=trial.aux_stage,
        contribution=asdict(member.contribution) if member.contribution else None,
        config=config.model_dump(mode="json"),
    )


def _model(paths: SetPaths, member: Member, training: Training) -> ModelEntry:
    folder = paths.member(folder_name(member, training)).relative_to(paths.root).as_posix()
    return ModelEntry(folder=folder, fold=training.fold, refit=training.refit, seed=training.config.trial.seed)


def _require_free(out: Path) -> None:
    if os.path.lexists(out):
        raise SetError(f"{display_path(out)}: already exists; choose another --out or remove it")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its name when the block ends without error, and else is removed."""
    aside = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        aside.mkdir(parents=True)
        yield aside
        _require_free(out)
        aside.rename(out)
    except OSError as error:
        raise SetError(f"{display_path(out)}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
