"""Writes a checkpoint set under a temporary name, verifies it in a new process, and then renames it."""

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
from raysearch.export.card import render_card
from raysearch.export.check import Check, check_in_fresh_process
from raysearch.export.members import Weights, folder_name, read_weights, write_model
from raysearch.export.onnx_vote import require_onnx, require_room, write_onnx
from raysearch.export.provenance import collect_provenance, collect_versions
from raysearch.export.selected import SelectedEnsemble, get_trial_number, read_selected
from raysearch.export.trainings import Training
from raysearch.io import display_path, sha256, write_json, write_text
from raysearch.paths import SetPaths, StudyPaths
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.manifest import Manifest, MemberEntry, ModelEntry
from raysearch.predict.member_entry import build_member_entry

FIGURES = ("in_sample", "cross_fitted", "best_single", "uniform", "gain", "disagreement", "calibration", "recommended")
"""Fields of the ensemble that the manifest stores."""

Refitting: TypeAlias = Callable[[], StudyPaths]
"""Trains the members of an ensemble again (`raysearch.tune.refit`) and returns the folder of the refit's study."""


def export_set(
    study: StudyPaths,
    name: str,
    out: Path,
    source: str | None = None,
    *,
    refit: Refitting | None = None,
    has_onnx: bool = False,
) -> tuple[Manifest, Check]:
    """Write the ensemble ``name`` of ``study`` as the checkpoint set ``out``.

    ``source``: new location of the study's data; ``refit``: trains the networks that replace the members' own;
    ``has_onnx``: also write the whole ensemble as one ONNX file. The set appears at ``out`` only if it is complete and
    verified. Raises `SetError` if ``out`` exists, if weights do not belong to the stored predictions, or if the written
    set does not reproduce them; `StudyError`, `PredictionsError` or `DataError` if an input is missing or damaged.
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
    selected.members[0][1][0].open_data()  # fail before anything is written if the data has changed
    with _create_verified(out) as temporary:
        manifest = _write(SetPaths(temporary), selected, weights, has_onnx=has_onnx)
        check = check_in_fresh_process(
            temporary, study, name, selected.data.source, selected.refit.paths if selected.refit else None
        )
        if fault := check.fault:
            raise SetError(f"{display_path(out)}: not written: {fault}")
    return manifest, check


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
        members=[_build_member(paths, member, trainings) for member, trainings in selected.members],
        temperature=ensemble.calibration.temperature,
        refitted=selected.refit is not None,
        figures={key: value for key, value in asdict(ensemble).items() if key in FIGURES},
        provenance=collect_provenance(trained, selected.data.source),
        versions=collect_versions(),
        files={},
    )
    manifest = _write_manifest(paths, manifest)
    if has_onnx:
        entry = write_onnx(paths.onnx, load_set(paths.root))  # `load_set` needs the manifest written above
        manifest = manifest.model_copy(update={"onnx": entry})
    write_text(paths.card, render_card(manifest, ensemble, trained.data.counts))
    return _write_manifest(paths, manifest)


def _write_manifest(paths: SetPaths, manifest: Manifest) -> Manifest:
    """Write the manifest with the SHA-256 of every file in the set, and return it."""
    files = sorted(path for path in paths.root.rglob("*") if path.is_file() and path != paths.manifest)
    hashes = {path.relative_to(paths.root).as_posix(): sha256(path) for path in files}
    manifest = manifest.model_copy(update={"files": hashes})
    write_json(paths.manifest, manifest.model_dump(mode="json"))
    return manifest


def _build_member(paths: SetPaths, member: Member, trainings: tuple[Training, ...]) -> MemberEntry:
    return build_member_entry(
        member.name,
        get_trial_number(member),
        member.view,
        member.weight,
        [_build_model(paths, member, training) for training in trainings],
        trainings[0].config,
        asdict(member.contribution) if member.contribution else None,
    )


def _build_model(paths: SetPaths, member: Member, training: Training) -> ModelEntry:
    folder = paths.member(folder_name(member, training)).relative_to(paths.root).as_posix()
    return ModelEntry(folder=folder, fold=training.fold, refit=training.refit, seed=training.config.trial.seed)


def _require_free(out: Path) -> None:
    if os.path.lexists(out):
        raise SetError(f"{display_path(out)}: already exists; choose another --out or remove it")


@contextmanager
def _create_verified(out: Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``out``; rename it to ``out`` if the block succeeds, else remove it."""
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _require_free(out)
        temporary.rename(out)
    except OSError as error:
        raise SetError(f"{display_path(out)}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
