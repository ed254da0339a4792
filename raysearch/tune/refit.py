"""Refit: train an ensemble's members again on train and held_out together, for the final models.

A refit is a separate study in a folder of the main study, `StudyPaths.refit`. It runs like an ablation: complete
trainings are kept, failed or interrupted ones are trained again, and a training whose process was killed resumes from
its checkpoint.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from raysearch.config import DataConfig, Objective, TrainingConfig, TrialConfig
from raysearch.ensemble.results import Ensemble, read_ensemble
from raysearch.errors import StudyError
from raysearch.io import display_path, read_yaml, sha256, write_json
from raysearch.paths import StudyPaths
from raysearch.section import validate
from raysearch.space import Ablation, Space, Training, space_from
from raysearch.study_file import StudyFile, read_study_file
from raysearch.train.result import read_result
from raysearch.train.stage import open_training_data
from raysearch.tune.search import SearchOptions, execute_search
from raysearch.tune.store.stored_study import StoredStudy
from raysearch.tune.store.study import check_place, open_storage

SEED_STEP = 1000
"""Difference between the seeds of one trial's trainings. The seeds of neighbouring trials differ by 1, so a step of
1000 keeps the seeds of different trials apart."""
MORE_TIME = 10.0
"""Factor of a trial's time limit: the same epochs take longer on more images. The limit of the refit still applies."""
NUM_SEEDS = 2**32
"""Seeds are below this number, which torch and numpy accept."""


@dataclass(frozen=True)
class MemberTraining:
    """One training of the refit."""

    trial: int
    """Number of the main study's trial that is trained again"""
    config: TrialConfig
    """The trial's config, with this training's seed"""
    objective: Objective

    @property
    def key(self) -> str:
        """Trainings with equal keys are the same training, and run once."""
        return self.config.model_dump_json()


def refit_ensemble(
    study: StudyPaths,
    name: str,
    *,
    seeds: int = 1,
    held_out_per_class: int = 2,
    source: str | None = None,
    address: str | None = None,
    quiet: bool = False,
    as_json: bool = False,
    timeout_s: float | None = None,
) -> StudyPaths:
    """Train every trial that is a member of the ensemble ``name`` again, with ``seeds`` seeds each.

    Trains on all labelled images, holding out ``held_out_per_class`` images per class. Returns the refit's study; its
    `refit.json` maps each member's trial to the refit's trials. Only missing trainings run. More seeds or other members
    add trainings.

    The first seed of a trial is the trial's seed; the others follow in steps of `SEED_STEP`. The config is unchanged.
    All epochs are trained, also for a trial that was stopped early, because the learning rate schedule covers all of
    them. The held-out images are too few to choose an epoch, so the weights of the last evaluation are kept. There are
    no folds. Stubborn classes that came from another training's predictions are estimated again.

    ``source`` is the data's current location if it has moved. ``address`` is the address of a running Ray cluster.
    ``timeout_s`` limits the time, in seconds: trials with `time_limit_s` then have fewer epochs if necessary.
    Raises `UserError`, naming the file, if there is no such ensemble, a member is not a trial of the study, the data
    has changed, or a training failed or was interrupted.
    """
    assert seeds > 0, "at least one training per member"
    file, path, paths = read_study_file(study), study.ensemble(name), study.refit(name)
    ensemble, digest = read_ensemble(path), sha256(path)
    trainings = tuple(list_trainings(study, ensemble, seeds))
    data = file.space.data
    if source is not None:
        data = data.model_copy(update={"source": str(Path(source).resolve()) if Path(source).exists() else source})
    space = build_space(file, trainings, merge_splits(data, held_out_per_class), display_path(path))
    _check_place(paths, space)
    done = find_complete_trials(paths, space)
    if missing := [training for training in trainings if training.key not in done]:
        _check_data(study, file, TrainingConfig(data=data, trial=trainings[0].config))
        earlier = [result for number in done.values() if (result := read_result(paths.trial(number)))]
        options = SearchOptions(paths.root.parent, address=address, quiet=quiet, as_json=as_json)
        missing_only = restrict_to(space, missing, timeout_s)
        execute_search(missing_only, paths, options, earlier, where=display_path(path), began=time.monotonic())
        done = find_complete_trials(paths, space)
    if faults := list(_faults(paths, space, [training for training in trainings if training.key not in done])):
        raise StudyError(faults)
    trials: dict[str, list[int]] = {}
    for training in trainings:
        trials.setdefault(str(training.trial), []).append(done[training.key])
    write_json(paths.refit_of, {"ensemble": name, "ensemble_sha256": digest, "trials": trials})
    return paths


def list_trainings(study: StudyPaths, ensemble: Ensemble, seeds: int) -> Iterator[MemberTraining]:
    """Each member's trial with each seed, in the order of the seeds.

    In this order, a refit that is interrupted has trained whole ensembles. Raises `StudyError` for members that are not
    trials of the study.
    """
    if added := [member.view for member in ensemble.members if member.trial is None]:
        raise StudyError(
            f"{display_path(study.ensemble(ensemble.name))}: members: {', '.join(added)} were added by --add, and only "
            "trials of the study can be trained again; run `raysearch ensemble` without --add"
        )
    numbers = sorted({member.trial for member in ensemble.members if member.trial is not None})
    trainings = [(number, _load_training(study, number)) for number in numbers]
    for index in range(seeds):
        for number, training in trainings:
            trial, seed = training.trial, (training.trial.seed + SEED_STEP * index) % NUM_SEEDS
            limit_s = None if trial.time_limit_s is None else MORE_TIME * trial.time_limit_s
            config = trial.model_copy(update={"seed": seed, "time_limit_s": limit_s})
            yield MemberTraining(number, config, training.objective)


def _load_training(study: StudyPaths, number: int) -> TrainingConfig:
    """The config that a trial was trained with, without predictions for the stubborn classes: the refit trains on the
    images that they were made for."""
    path = study.trial(number).config
    values = validate(TrainingConfig, read_yaml(path), display_path(path)).model_dump()
    for section in (values["trial"], *values["trial"]["stages"]):
        section.get("augment", {}).get("stubborn", {}).pop("predictions", None)
    return TrainingConfig.model_validate(values)


def merge_splits(data: DataConfig, held_out_per_class: int) -> DataConfig:
    """``data`` with train and held_out merged, holding out ``held_out_per_class`` images per class, without folds."""
    values = {"merged_held_out_per_class": held_out_per_class, "folds": None, "fold": None}
    return DataConfig.model_validate({**data.model_dump(), **values})


def build_space(file: StudyFile, trainings: Sequence[MemberTraining], data: DataConfig, where: str) -> Space:
    """The refit as a space without distributions, whose `search.first` holds all trainings."""
    first = list({training.key: training.config.model_dump() for training in trainings}.values())
    search = {"trials": len(first), "first": first, "sampler": "random", "scheduler": "none"}
    search |= {"objective": trainings[0].objective, "max_failures": len(first)}
    sections = {"data": data.model_dump(), "search": search, "trial": first[0]}
    resources = file.space.model_dump().get("resources", {})
    return space_from({"study": f"{file.study}-refit", "resources": resources, **sections}, where)


def restrict_to(space: Space, missing: Sequence[MemberTraining], timeout_s: float | None = None) -> Space:
    """``space`` as an ablation of the ``missing`` trainings only, within ``timeout_s`` seconds.

    They are the last entries of `search.first`, because a plan takes the first entries for ended trials.
    """
    trainings = {each.key: Training(each.config.model_dump(), (f"trial {each.trial}",)) for each in missing}
    fixed = [training.fixed for training in trainings.values()]
    first = [*(entry for entry in space.search.first if entry not in fixed), *fixed]
    search = space.search.model_copy(update={"first": first, "timeout_s": timeout_s})
    return replace(space, search=search, ablation=Ablation((), (), tuple(trainings.values())))


def find_complete_trials(paths: StudyPaths, space: Space) -> dict[str, int]:
    """Numbers of the refit's COMPLETE trials, by `MemberTraining.key`."""
    return {key: trial.number for key, trial in _find_last_trials(paths, space, TrialState.COMPLETE).items()}


def _find_last_trials(paths: StudyPaths, space: Space, *states: TrialState) -> dict[str, FrozenTrial]:
    """The last trial of each training that is in one of ``states`` (without states: in any), by `MemberTraining.key`.

    The key is that of the requested config: a trial that ran out of memory has smaller batches in its own config.
    """
    if not paths.database.is_file():
        return {}
    trials = StoredStudy(open_storage(paths, space.study, space.search)).trials(*states)
    return {TrialConfig.model_validate(trial.user_attrs["fixed"]).model_dump_json(): trial for trial in trials}


def _check_place(paths: StudyPaths, space: Space) -> None:
    if not paths.study.exists():
        return check_place(paths, space, resume=False)
    was = read_study_file(paths).space.data.merged_held_out_per_class
    if was != (now := space.data.merged_held_out_per_class):
        raise StudyError(
            f"{display_path(paths.study)}: space.data.merged_held_out_per_class: this refit holds out {was} images per "
            f"class, got {now}; give {was} again, or remove {display_path(paths.root)}"
        )


def _check_data(study: StudyPaths, file: StudyFile, training: TrainingConfig) -> None:
    """The data must be the data of the main study, because the refit must train on the same images."""
    fingerprint = str(open_training_data(training).fingerprint)
    if fingerprint != file.data.fingerprint:
        raise StudyError(
            f"{display_path(study.study)}: the study was made with other data than {training.data.source} holds now "
            f"(fingerprint {file.data.fingerprint[:12]}, not {fingerprint[:12]}); give the original data, with --data "
            "if it has moved"
        )


def _faults(paths: StudyPaths, space: Space, missing: Sequence[MemberTraining]) -> Iterator[str]:
    last = _find_last_trials(paths, space) if missing else {}
    for training in missing:
        trial, name = last.get(training.key), f"trial {training.trial} with seed {training.config.seed}"
        if trial and trial.state == TrialState.FAIL:
            where, reason = display_path(paths.trial(trial.number).result), trial.user_attrs.get("reason", "no reason")
            yield f"{where}: the refit of {name} failed ({reason}); fix the cause, then run again with --refit"
        else:
            yield f"{display_path(paths.root)}: the refit of {name} was interrupted; run again with --refit"
