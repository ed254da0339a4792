"""The papers' last step: an ensemble's members trained again, on train and held_out together, for the final models.

A refit is a study of its own below the study, `StudyPaths.refit`. Its trainings are given as an ablation's are: what is
whole stays, what failed or was cut off is trained once more, and what a kill left goes on from its checkpoint.
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
from raysearch.tune.search import SearchOptions, carry_out
from raysearch.tune.store.stored_study import StoredStudy
from raysearch.tune.store.study import check_place, open_storage

SEED_STEP = 1000
"""Between the seeds of a trial's trainings: those of neighbouring trials differ by 1."""
SEEDS = 2**32


@dataclass(frozen=True)
class Wanted:
    """A training of the refit."""

    trial: int
    """The trial of the study above that it stands for"""
    config: TrialConfig
    """That trial's, but for the seed"""
    objective: Objective

    @property
    def key(self) -> str:
        """What it is known by: trainings of one key are one."""
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
) -> StudyPaths:
    """Train every trial that is a member of the ensemble ``name`` again, with ``seeds`` seeds each, on all labelled
    images but ``held_out_per_class`` a class; returns the refit's study, whose `refit.json` says which is which.

    A trial's first seed is its own, the others follow in steps of `SEED_STEP`. Its config is kept, with all of its
    epochs: the learning rate falls over all of them, so a trial that was stopped early is now trained to its end. The
    images kept out are too few to choose an epoch by: the last look's weights are kept. Folds there are none, and
    where an earlier training's predictions named the stubborn classes, these are estimated anew.

    Only what is missing is trained: nothing where all is there; more seeds, or other members, add trainings.
    ``source``: where the data lies now; ``address``: of a running Ray cluster. Raises `UserError`, naming the file: no
    such ensemble, members that are no trials, other data, trainings that failed or were cut off.
    """
    assert seeds > 0, "at least one training a member"
    file, path, paths = read_study_file(study), study.ensemble(name), study.refit(name)
    ensemble, digest = read_ensemble(path), sha256(path)
    wanted = tuple(wanted_trainings(study, ensemble, seeds))
    data = file.space.data
    if source is not None:
        data = data.model_copy(update={"source": str(Path(source).resolve()) if Path(source).exists() else source})
    space = space_of(file, wanted, merged(data, held_out_per_class), display_path(path))
    _check_place(paths, space)
    done = whole_trials(paths, space)
    if missing := [training for training in wanted if training.key not in done]:
        _check_data(study, file, TrainingConfig(data=data, trial=wanted[0].config))
        earlier = [result for number in done.values() if (result := read_result(paths.trial(number)))]
        wishes = SearchOptions(paths.root.parent, address=address, quiet=quiet, as_json=as_json)
        only = lacking(space, missing)
        carry_out(only, paths, wishes, earlier, where=display_path(path), began=time.monotonic())
        done = whole_trials(paths, space)
    if faults := list(_faults(paths, space, [training for training in wanted if training.key not in done])):
        raise StudyError(faults)
    trials: dict[str, list[int]] = {}
    for training in wanted:
        trials.setdefault(str(training.trial), []).append(done[training.key])
    write_json(paths.refit_of, {"ensemble": name, "ensemble_sha256": digest, "trials": trials})
    return paths


def wanted_trainings(study: StudyPaths, ensemble: Ensemble, seeds: int) -> Iterator[Wanted]:
    """Each trial of a member once a seed; seed by seed, so that a refit which was cut short leaves whole ensembles.

    Raises `StudyError` for members that are no trials.
    """
    if strangers := [member.view for member in ensemble.members if member.trial is None]:
        raise StudyError(
            f"{display_path(study.ensemble(ensemble.name))}: members: {', '.join(strangers)} joined by --add, and only "
            "trials of the study can be trained again; run raysearch.ensemble without --add"
        )
    numbers = sorted({member.trial for member in ensemble.members if member.trial is not None})
    trainings = [(number, _training_of(study, number)) for number in numbers]
    for index in range(seeds):
        for number, training in trainings:
            seed = (training.trial.seed + SEED_STEP * index) % SEEDS
            yield Wanted(number, training.trial.model_copy(update={"seed": seed}), training.objective)


def _training_of(study: StudyPaths, number: int) -> TrainingConfig:
    """What a trial was trained as, less what is of its own held-out split."""
    path = study.trial(number).config
    values = validate(TrainingConfig, read_yaml(path), display_path(path)).model_dump()
    for section in (values["trial"], *values["trial"]["stages"]):
        section.get("augment", {}).get("stubborn", {}).pop("predictions", None)
    return TrainingConfig.model_validate(values)


def merged(data: DataConfig, held_out_per_class: int) -> DataConfig:
    """``data`` as final models learn from it."""
    values = {"merged_held_out_per_class": held_out_per_class, "folds": None, "fold": None}
    return DataConfig.model_validate({**data.model_dump(), **values})


def space_of(file: StudyFile, wanted: Sequence[Wanted], data: DataConfig, where: str) -> Space:
    """The refit of a study as a space that has no distributions: `search.first` are all its trainings."""
    first = list({training.key: training.config.model_dump() for training in wanted}.values())
    search = {"trials": len(first), "first": first, "sampler": "random", "scheduler": "none"}
    search |= {"objective": wanted[0].objective, "max_failures": len(first)}
    sections = {"data": data.model_dump(), "search": search, "trial": first[0]}
    resources = file.space.model_dump().get("resources", {})
    return space_from({"study": f"{file.study}-refit", "resources": resources, **sections}, where)


def lacking(space: Space, missing: Sequence[Wanted]) -> Space:
    """``space`` with the ``missing`` trainings to be done, each as it is. They come last of `search.first`, as those to
    come do in a plan."""
    trainings = {each.key: Training(each.config.model_dump(), (f"trial {each.trial}",)) for each in missing}
    fixed = [training.fixed for training in trainings.values()]
    first = [*(entry for entry in space.search.first if entry not in fixed), *fixed]
    search = space.search.model_copy(update={"first": first})
    return replace(space, search=search, ablation=Ablation((), (), tuple(trainings.values())))


def whole_trials(paths: StudyPaths, space: Space) -> dict[str, int]:
    """The number of the refit's trial that is COMPLETE, by what it trained."""
    return {key: trial.number for key, trial in _trials(paths, space, TrialState.COMPLETE).items()}


def _trials(paths: StudyPaths, space: Space, *states: TrialState) -> dict[str, FrozenTrial]:
    """The last trial in one of ``states``, or in any, of each training. By what was asked for: a trial that ran out of
    memory trained another config."""
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
            f"{display_path(paths.study)}: space.data.merged_held_out_per_class: this refit keeps {was} images a class "
            f"out, got {now}; give {was} again, or remove {display_path(paths.root)}"
        )


def _check_data(study: StudyPaths, file: StudyFile, training: TrainingConfig) -> None:
    """The data of the study above must be what it was: the refit is to learn from just these images."""
    found = str(open_training_data(training).fingerprint)
    if found != file.data.fingerprint:
        raise StudyError(
            f"{display_path(study.study)}: the study was made with other data than {training.data.source} holds now "
            f"(fingerprint {file.data.fingerprint[:12]}, not {found[:12]}); give the data as it was, with --data if it "
            "has moved"
        )


def _faults(paths: StudyPaths, space: Space, missing: Sequence[Wanted]) -> Iterator[str]:
    last = _trials(paths, space) if missing else {}
    for training in missing:
        trial, name = last.get(training.key), f"trial {training.trial} with seed {training.config.seed}"
        if trial and trial.state == TrialState.FAIL:
            where, reason = display_path(paths.trial(trial.number).result), trial.user_attrs.get("reason", "no reason")
            yield f"{where}: the refit of {name} failed ({reason}); once the cause is mended, --refit again goes on"
        else:
            yield f"{display_path(paths.root)}: the refit of {name} was cut off; --refit again goes on"
