"""An ensemble's members trained again: which trainings are asked for and done, and a real refit of one."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher
from silent import Silent

from raysearch.config import DataConfig, TrainingConfig
from raysearch.ensemble.results import Member, read_ensemble, write_ensemble
from raysearch.ensemble.selection import Score
from raysearch.errors import StudyError, UserError
from raysearch.io import read_json, read_yaml, sha256, write_json, write_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.predictions import read_predictions
from raysearch.space import Space
from raysearch.study_file import read_study_file
from raysearch.train.stage import open_training_data
from raysearch.tune import refit
from raysearch.tune.on_ray.searcher import StudySearcher
from raysearch.tune.planning.preflight import draw_examples, list_remaining_trials
from raysearch.tune.refit import refit_ensemble
from raysearch.tune.store.study import open_storage, prepare
from raysearch.tune.values import report_of

SEEDS = (0, 0, 1)
"""Of the small study's trials."""


class Trainer:
    """Replaces `execute_search`: the real study folder and searcher, but no Ray; trainings end as ``ending`` says."""

    def __init__(self) -> None:
        self.trained: list[tuple[str, int]] = []
        self.spaces: list[Space] = []
        self.ending: Callable[[TrialPaths], str] = lambda folder: "COMPLETE"

    def __call__(self, space: Space, paths: StudyPaths, *args: Any, **kwargs: Any) -> None:
        self.spaces.append(space)
        config = TrainingConfig(data=space.data, trial=space.trial.suggest(None, space.search.first[0]))
        prepare(paths, space, open_training_data(config), {})
        searcher = StudySearcher(open_storage(paths, space.study, space.search), space, paths, 1, Silent())
        while (suggested := searcher.suggest("0")) != Searcher.FINISHED:
            assert isinstance(suggested, dict)
            folder = paths.trial(suggested["number"])
            trial = read_yaml(folder.config)["trial"]
            self.trained.append((trial["backbone"], trial["seed"]))
            self._end(searcher, folder)

    def _end(self, searcher: StudySearcher, folder: TrialPaths) -> None:
        how = self.ending(folder)
        if how == "FAIL":
            folder.error.write_text("Diverged: the loss is nan\n")
            return searcher.on_trial_complete("0", error=True)
        views = {f"{role}-final": {"accuracy": 0.5, "log_loss": 1.0} for role in ("student", "teacher")}
        line = {"epoch": 1, "seconds": 1.0, "lr": 0.1, "train": {"loss": 1.0}, "held_out": views}
        line |= {"partial": True} if how == "PRUNED" else {}
        folder.metrics.write_text(json.dumps(line) + "\n")
        searcher.on_trial_complete("0", report_of(line, "accuracy", 1))


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    trainer = Trainer()
    monkeypatch.setattr(refit, "execute_search", trainer)
    return trainer


@pytest.fixture
def study(small_study: StudyPaths, tmp_path: Path) -> StudyPaths:
    """The small study's own copy; its ensemble `mixed` has members of all three trials."""
    return copy_of(small_study, tmp_path)


def copy_of(study: StudyPaths, folder: Path) -> StudyPaths:
    return StudyPaths(Path(shutil.copytree(study.root, folder / study.root.name)))


def choose(study: StudyPaths, trials: Sequence[int | None], name: str = "mixed") -> None:
    """Let the ensemble have these trials' students as members."""
    view = "student-final"
    members = tuple(
        Member(trial, view if trial is not None else "x.csv", 1 / len(trials), "a", Score(0.5, 1.0)) for trial in trials
    )
    write_ensemble(study.ensemble(name), replace(read_ensemble(study.ensemble("greedy")), name=name, members=members))


def trained_for(study: StudyPaths) -> Mapping[str, list[int]]:
    content = read_json(study.refit("mixed").refit_of)
    assert content.pop("ensemble_sha256") == sha256(study.ensemble("mixed"))
    assert content.pop("ensemble") == "mixed"
    return content.pop("trials")


BACKBONES = ("wrn_10_1", "resnet10t", "resnet10_small")


def test_each_members_trial_is_trained_once_with_its_own_seed_and_config_on_merged_data(
    study: StudyPaths, trainer: Trainer
) -> None:
    paths = refit_ensemble(study, "mixed", held_out_per_class=3)
    assert paths == study.refit("mixed")
    assert trainer.trained == list(zip(BACKBONES, SEEDS, strict=True))
    assert trained_for(study) == {"0": [0], "1": [1], "2": [2]}
    for number in range(3):
        before, after = (TrainingConfig.model_validate(read_yaml(s.trial(number).config)) for s in (study, paths))
        assert after.trial == before.trial
        assert after.data == before.data.model_copy(update={"merged_held_out_per_class": 3})
    assert read_study_file(paths).study == "small-refit"


def test_the_same_again_trains_nothing(study: StudyPaths, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    refit_ensemble(study, "mixed")
    monkeypatch.setattr(refit, "open_training_data", None)  # not even the data are looked at
    assert refit_ensemble(study, "mixed").refit_of.is_file()
    assert len(trainer.trained) == 3


def test_more_seeds_add_trainings_and_fewer_leave_them(study: StudyPaths, trainer: Trainer) -> None:
    refit_ensemble(study, "mixed", seeds=2)
    assert trainer.trained[3:] == [(name, seed + 1000) for name, seed in zip(BACKBONES, SEEDS, strict=True)]
    assert trained_for(study) == {"0": [0, 3], "1": [1, 4], "2": [2, 5]}
    refit_ensemble(study, "mixed")
    assert trained_for(study) == {"0": [0], "1": [1], "2": [2]}
    refit_ensemble(study, "mixed", seeds=3)
    assert trainer.trained[6:] == [(name, seed + 2000) for name, seed in zip(BACKBONES, SEEDS, strict=True)]


def test_where_the_ensemble_has_changed_only_what_is_missing_is_trained(study: StudyPaths, trainer: Trainer) -> None:
    choose(study, [0, 1])
    refit_ensemble(study, "mixed")
    choose(study, [2, 1, 1])
    refit_ensemble(study, "mixed")
    assert [backbone for backbone, _ in trainer.trained] == list(BACKBONES)
    assert trained_for(study) == {"1": [1], "2": [2]}
    choose(study, [1, 2])  # other weights alone
    refit_ensemble(study, "mixed")
    assert len(trainer.trained) == 3
    assert trained_for(study) == {"1": [1], "2": [2]}


def test_before_a_refit_just_its_trainings_are_checked_and_those_to_come_planned(
    study: StudyPaths, trainer: Trainer
) -> None:
    choose(study, [0, 1])
    refit_ensemble(study, "mixed")
    choose(study, [2, 1])
    refit_ensemble(study, "mixed")
    sizes = [[(trial.backbone, trial.image_size) for trial in draw_examples(space)] for space in trainer.spaces]
    assert sizes == [[("wrn_10_1", 16), ("resnet10t", 32)], [("resnet10t", 32), ("resnet10_small", 32)]]
    to_come = [
        list_remaining_trials(space, ended).examples for space, ended in zip(trainer.spaces, (0, 1), strict=True)
    ]
    assert [[trial.backbone for trial in trials] for trials in to_come] == [
        ["wrn_10_1", "resnet10t"],
        ["resnet10_small"],
    ]


def test_trials_of_the_same_config_share_their_training(study: StudyPaths, trainer: Trainer) -> None:
    shutil.copy(study.trial(0).config, study.trial(1).config)
    refit_ensemble(study, "mixed")
    assert trained_for(study) == {"0": [0], "1": [0], "2": [1]}


def test_a_failed_training_is_named_and_trained_once_more_by_the_next_call(study: StudyPaths, trainer: Trainer) -> None:
    trainer.ending = lambda folder: "FAIL" if folder.root.name == "0001" else "COMPLETE"
    expected = r"0001/result\.json: the refit of trial 1 with seed 0 failed \(Diverged: the loss is nan\); .* --refit"
    with pytest.raises(StudyError, match=expected) as raised:
        refit_ensemble(study, "mixed")
    assert len(raised.value.faults) == 1
    assert not study.refit("mixed").refit_of.exists()
    refit_ensemble(study, "mixed")
    assert trainer.trained[3:] == [("resnet10t", 0)]
    assert trained_for(study) == {"0": [0], "1": [3], "2": [2]}


def test_one_that_was_cut_off_too(study: StudyPaths, trainer: Trainer) -> None:
    trainer.ending = lambda folder: "PRUNED" if folder.root.name == "0002" else "COMPLETE"
    with pytest.raises(StudyError, match=r"the refit of trial 2 with seed 1 was interrupted; run again with --refit"):
        refit_ensemble(study, "mixed")
    refit_ensemble(study, "mixed")
    assert trained_for(study) == {"0": [0], "1": [1], "2": [3]}


def test_one_whose_driver_was_killed_goes_on_under_its_number(study: StudyPaths, trainer: Trainer) -> None:
    def kill(folder: TrialPaths) -> str:
        raise KeyboardInterrupt

    trainer.ending = kill
    with pytest.raises(KeyboardInterrupt):
        refit_ensemble(study, "mixed")
    trainer.ending = lambda folder: "COMPLETE"
    refit_ensemble(study, "mixed")
    assert trained_for(study) == {"0": [0], "1": [1], "2": [2]}
    assert trainer.trained[0] == trainer.trained[1]
    assert len(trainer.trained) == 4


def test_what_ran_out_of_memory_and_was_trained_with_smaller_batches_is_not_trained_again(
    study: StudyPaths, trainer: Trainer
) -> None:
    def halve(folder: TrialPaths) -> str:
        values = read_yaml(folder.config)
        values["trial"]["batch_size"] //= 2
        write_yaml(folder.config, values)
        return "COMPLETE"

    trainer.ending = halve
    refit_ensemble(study, "mixed")
    refit_ensemble(study, "mixed")
    assert len(trainer.trained) == 3


def test_folds_and_earlier_predictions_are_left_behind(study: StudyPaths, trainer: Trainer) -> None:
    choose(study, [0])
    values = read_yaml(study.trial(0).config)
    values["trial"]["augment"]["stubborn"] |= {"predictions": "/an/earlier.arrow", "probability": 0.5}
    values["data"]["folds"] = 2
    write_yaml(study.trial(0).config, values)
    described = read_yaml(study.study)
    described["space"]["data"] |= {"folds": 2}
    training = TrainingConfig(data=DataConfig.model_validate(described["space"]["data"]))
    described["data"]["fingerprint"] = open_training_data(training).fingerprint
    write_yaml(study.study, described)
    paths = refit_ensemble(study, "mixed")
    training = TrainingConfig.model_validate(read_yaml(paths.trial(0).config))
    assert (training.data.folds, training.data.merged_held_out_per_class) == (None, 2)
    stubborn = training.trial.augment.stubborn
    assert (stubborn.predictions, stubborn.probability) == (None, 0.5)


def test_the_studys_resources_are_taken(study: StudyPaths, trainer: Trainer) -> None:
    described = read_yaml(study.study)
    described["space"]["resources"] = {"cpus_per_worker": 2, "concurrency": 1}
    write_yaml(study.study, described)
    paths = refit_ensemble(study, "mixed")
    resources = read_study_file(paths).space.model_dump()["resources"]
    assert (resources["cpus_per_worker"], resources["concurrency"]) == (2, 1)


def test_a_refit_is_not_gone_on_with_where_other_images_are_to_be_kept_out(study: StudyPaths, trainer: Trainer) -> None:
    refit_ensemble(study, "mixed")
    with pytest.raises(
        StudyError, match=r"merged_held_out_per_class: this refit holds out 2 images per class, got 3; gi"
    ):
        refit_ensemble(study, "mixed", held_out_per_class=3)


def test_a_study_of_other_data_is_refused_before_anything_is_written(study: StudyPaths, trainer: Trainer) -> None:
    described = read_yaml(study.study)
    described["data"]["fingerprint"] = "0" * 64
    write_yaml(study.study, described)
    with pytest.raises(StudyError, match=r"study\.yaml: the study was made with other data than digits holds now"):
        refit_ensemble(study, "mixed")
    assert not study.refit("mixed").root.exists()


def test_there_must_be_the_ensemble_and_its_members_must_be_trials(study: StudyPaths, trainer: Trainer) -> None:
    with pytest.raises(
        StudyError, match=r"ensembles/other\.json: no such ensemble; create it with `raysearch ensemble`"
    ):
        refit_ensemble(study, "other")
    choose(study, [0, None])
    with pytest.raises(StudyError, match=r"mixed\.json: members: x\.csv were added by --add, and only trials of"):
        refit_ensemble(study, "mixed")
    choose(study, [7])
    with pytest.raises(UserError, match=r"0007/config\.yaml: cannot be read"):
        refit_ensemble(study, "mixed")
    assert trainer.trained == []


@pytest.mark.slow
def test_a_real_refit_leaves_weights_that_learned_from_all_images_but_a_few(
    small_study: StudyPaths, tmp_path: Path, capfd: pytest.CaptureFixture[str], shared_ray: str
) -> None:
    study = copy_of(small_study, tmp_path)
    choose(study, [0, 0])
    described = read_yaml(study.study)
    described["space"] |= {"resources": {"concurrency": 1}, "search": {"objective": "ensemble_gain"}}
    write_yaml(study.study, described)
    paths = refit_ensemble(study, "mixed", held_out_per_class=1, quiet=True)
    assert trained_for(study) == {"0": [0]}
    trial, before = paths.trial(0), study.trial(0)
    result = read_json(trial.result)
    assert (result["state"], result["epochs_done"]) == ("COMPLETE", 1)
    assert any("last evaluation" in note for note in result["notes"])
    for view in before.stored_views():
        stored = read_predictions(trial.predictions(view))
        assert len(stored.labels) == 10
        assert stored.weights_sha256 == sha256(trial.weights(view.partition("-")[0]))
    held_out = set(read_predictions(before.predictions("student-final")).sample_ids)
    assert set(stored.sample_ids) < held_out
    counts = read_study_file(paths).data.counts
    assert (counts["train"], counts["held_out"]) == (90, 10)
    assert not trial.resume.exists()
    written = trial.metrics.stat().st_mtime_ns
    write_json(study.refit("mixed").refit_of, {})
    refit_ensemble(study, "mixed", held_out_per_class=1)
    assert trained_for(study) == {"0": [0]}
    assert trial.metrics.stat().st_mtime_ns == written
    assert capfd.readouterr().out == ""
