"""One training, or the trainings of a trial's folds, as a set with one member: the folder of a trial predicts, too."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from raysearch.config import Objective, TrainingConfig, is_maximized
from raysearch.ensemble.calibration import fit_temperature
from raysearch.ensemble.library import is_dropped
from raysearch.errors import SetError, did_you_mean
from raysearch.io import display_path, read_yaml, sha256
from raysearch.models import Classifier, build_classifier
from raysearch.paths import SetPaths, StudyPaths, TrialPaths, view_parts
from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.manifest import Manifest, ModelEntry, Provenance
from raysearch.predict.member_entry import build_member_entry, get_image_size
from raysearch.predictions import joint_sha256, read_predictions
from raysearch.section import validate
from raysearch.study_file import read_study_file
from raysearch.train.result import read_result


@dataclass(frozen=True)
class TrainedView:
    """A view of a finished training, and the networks that predict it."""

    view: str
    checkpoint_set: CheckpointSet
    """Has the view as its only member; a trial with folds is the mean of its networks. The temperature is fitted to the
    view's held-out predictions."""
    choice: str
    """Why this view: for the user"""


def is_training(root: Path) -> bool:
    """Whether the folder is that of a training, or of a trial with folds, finished or not."""
    paths = TrialPaths(root)
    return any((training.config.is_file() or training.result.is_file()) for training in paths.trainings)


def load_training(root: Path, view: str | None = None) -> TrainedView:
    """Load a finished training, onto the GPU if there is one; for `is_training` folders.

    ``view``: None for the stored view that is best by the training's objective. Raises `SetError` if the training has
    failed or is unfinished, has no such view, or if its weights are dropped, missing or not those of the view.
    """
    paths = TrialPaths(root)
    result = _read_finished(paths)
    chosen, choice = _choose_view(paths, result, view)
    predictions = read_predictions(paths.predictions(chosen))
    role = view_parts(chosen).role
    weights = [training.weights(role) for training in paths.trainings]
    _check_weights(paths, chosen, weights, predictions.weights_sha256, was_stopped=result["state"] == "PRUNED")
    configs = [_read_config(training) for training in paths.trainings]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifiers = {}
    models = []
    for path, config in zip(weights, configs, strict=True):
        folder = path.relative_to(root).as_posix()
        classifier = load_weights(path, config, len(predictions.classes), get_image_size(chosen, config))
        # The memory format of training, as for a set.
        classifiers[folder] = classifier.to(device).to(memory_format=torch.channels_last).eval()
        models.append(ModelEntry(folder=folder, fold=config.data.fold, seed=config.trial.seed))
    manifest = Manifest(
        name=root.resolve().name,
        study="",
        classes=list(predictions.classes),
        split=predictions.split,
        fingerprint=predictions.fingerprint,
        data=configs[0].data,
        members=[build_member_entry(predictions.name, predictions.trial_number, chosen, 1.0, models, configs[0])],
        temperature=fit_temperature(predictions.probs, predictions.labels),
        figures={},
        provenance=Provenance(study=""),
        versions={},
        files={},
    )
    return TrainedView(chosen, CheckpointSet(SetPaths(root), manifest, classifiers), choice)


def load_weights(path: Path, config: TrainingConfig, num_classes: int, image_size: int) -> Classifier:
    """The network of a training, with the weights in its checkpoint ``path``. Raises `SetError` if they do not fit."""
    trial = config.trial
    classifier = build_classifier(
        trial.backbone, num_classes, image_size, has_aux_head=trial.has_aux_head, aux_stage=trial.aux_stage
    )
    try:
        classifier.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SetError(f"{display_path(path)}: not the weights of its trial's config ({reason})") from error
    return classifier


def _read_finished(paths: TrialPaths) -> dict[str, Any]:
    where, result = display_path(paths.root), read_result(paths)
    if result is None:
        raise SetError(f"{where}: the training has not finished: it has no {paths.result.name}; resume it first")
    if result["state"] == "FAIL":
        raise SetError(f"{where}: the training failed and cannot be scored: {result['reason']}")
    return result


def _choose_view(paths: TrialPaths, result: dict[str, Any], view: str | None) -> tuple[str, str]:
    """The view, and why it is chosen."""
    where, stored = display_path(paths.root), paths.stored_views()
    if view is not None:
        if view not in stored:
            raise SetError(f"{where}: --view {view}: not stored{did_you_mean(view, stored)}")
        return view, "as requested"
    objective: Objective = result["objective"]
    values = {name: result["views"][name][objective] for name in stored if name in result["views"]}
    if not values:
        raise SetError(f"{where}: no held-out predictions are stored; train it again with `raysearch train`")
    best = (max if is_maximized(objective) else min)(values, key=lambda name: values[name])
    return best, f"best by held-out {objective.replace('_', ' ')}, {values[best]:.4f}"


def _read_config(training: TrialPaths) -> TrainingConfig:
    return validate(TrainingConfig, read_yaml(training.config), display_path(training.config))


def _check_weights(paths: TrialPaths, view: str, weights: Sequence[Path], expected: str, *, was_stopped: bool) -> None:
    """Raise `SetError` unless the weights exist and made the stored predictions of ``view``."""
    missing = [path for path in weights if not path.is_file()]
    names = " and ".join(map(display_path, missing))
    role = view_parts(view).role
    if missing and is_dropped(paths, role):
        others = [name for name in paths.stored_views() if not is_dropped(paths, view_parts(name).role)]
        # A new training runs to its end, so its weights would be others.
        early = " (the search stopped this trial early; a new training runs to its end)" if was_stopped else ""
        other = f", or score another view with --view {others[0]}" if others else ""
        raise SetError(
            f"{names}: dropped to keep within search.checkpoints_gb, but needed for {view}; train them again with "
            f"{_build_remedy(paths, role)}{early}{other}"
        )
    if missing:
        raise SetError(f"{names}: no such file, but needed for {view}")
    if joint_sha256([sha256(path) for path in weights]) != expected:
        raise SetError(
            f"{' and '.join(map(display_path, weights))}: not the weights that made the stored predictions of {view} "
            "(the SHA-256 differs); restore the file, or train again"
        )


def _build_remedy(paths: TrialPaths, role: str) -> str:
    """The commands that train the missing weights of ``role`` again."""
    again = paths.root.with_name(f"{paths.root.name}-again")
    threads = f" --threads {_count_threads(paths)}"
    if paths.trainings == [paths]:
        return (
            f"`raysearch train {_quoted(paths.config)} --out {_quoted(again)}{threads}`, then score "
            f"{display_path(again)}"
        )
    commands = []
    for training in paths.trainings:
        if not training.weights(role).is_file():
            out = TrialPaths(again / training.root.relative_to(paths.root))
            commands += [
                f"`raysearch train {_quoted(training.config)} --out {_quoted(out.root)}{threads}`",
                f"`cp {_quoted(out.weights(role))} {_quoted(training.checkpoints)}/`",
            ]
    return f"{', '.join(commands)} on the same kind of machine"


def _count_threads(paths: TrialPaths) -> int:
    """Threads that the search used, which the same numbers need."""
    study = StudyPaths(paths.root.resolve().parent.parent)
    if not study.study.is_file():
        return 1
    resources = (read_study_file(study).space.model_extra or {}).get("resources") or {}
    return int(resources.get("cpus_per_worker", 1))


def _quoted(path: Path) -> str:
    return shlex.quote(display_path(path))
