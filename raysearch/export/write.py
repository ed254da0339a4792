"""Writes a checkpoint set, checks it in a fresh process, and only then gives it its name."""

import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import raysearch
from raysearch.ensemble import Member
from raysearch.errors import SetError
from raysearch.export.check import Check, check_in_fresh_process
from raysearch.export.members import Weights, read_weights, write_member
from raysearch.export.selected import SelectedEnsemble, read_selected
from raysearch.io import display_path, sha256, write_json
from raysearch.models import tencrop_side
from raysearch.paths import SetPaths, StudyPaths, view_parts
from raysearch.predict import Manifest, MemberEntry


def export_set(study: StudyPaths, name: str, out: Path, source: str | None = None) -> tuple[Manifest, Check]:
    """Write the ensemble ``name`` of ``study`` as the set ``out``; ``source`` says where its data lies now.

    The set appears at ``out`` whole and verified, or not at all. Raises `SetError` when ``out`` exists, when weights
    are not those of the stored predictions, or when the set read back does not reproduce the ensemble's
    probabilities; `StudyError`, `PredictionsError` and `DataError` for what it starts from.
    """
    _require_free(out)
    selected = read_selected(study, name, source)
    weights = read_weights(selected)
    selected.open_data(next(iter(weights.values())).config)
    with _appearing(out) as aside:
        manifest = _write(SetPaths(aside), selected, weights)
        check = check_in_fresh_process(aside, study, name, selected.data.source)
        if fault := check.fault:
            raise SetError(f"{display_path(out)}: not written: {fault}")
    return manifest, check


def _write(paths: SetPaths, selected: SelectedEnsemble, weights: Mapping[str, Weights]) -> Manifest:
    ensemble = selected.ensemble
    for name, stored in weights.items():
        write_member(paths.member(name), stored, ensemble.classes)
    files = sorted(path for path in paths.root.rglob("*") if path.is_file())
    manifest = Manifest(
        name=ensemble.name,
        study=selected.study,
        classes=list(ensemble.classes),
        split=ensemble.split,
        fingerprint=ensemble.fingerprint,
        data=selected.data,
        members=[_entry(paths, member, weights) for member in ensemble.members],
        figures={key: asdict(getattr(ensemble, key)) for key in ("in_sample", "cross_fitted", "best_single", "gain")},
        versions=_versions(),
        files={path.relative_to(paths.root).as_posix(): sha256(path) for path in files},
    )
    write_json(paths.manifest, manifest.model_dump(mode="json"))
    return manifest


def _entry(paths: SetPaths, member: Member, weights: Mapping[str, Weights]) -> MemberEntry:
    view = view_parts(member.view)
    stored = weights[f"{member.trial:04d}-{view.role}"]
    trial = stored.config.trial
    size = trial.inference_size
    return MemberEntry(
        name=member.name,
        folder=paths.member(stored.name).relative_to(paths.root).as_posix(),
        trial=member.trial,
        view=member.view,
        weight=member.weight,
        backbone=trial.backbone,
        image_size=size,
        tencrop_side=tencrop_side(size, trial.inference.tencrop_share) if view.is_tencrop else None,
        aux_fusion=trial.aux_fusion if view.is_fused else None,
        aux_stage=trial.aux_stage,
        config=stored.config.model_dump(mode="json"),
    )


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("torch", "timm")}
    return {"python": platform.python_version(), **libraries, "raysearch": raysearch.__version__}


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
