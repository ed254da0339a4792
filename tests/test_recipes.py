"""Every included space file validates, and trains in a reduced form."""

from pathlib import Path

import optuna
import pytest
import torch

from raysearch.config import TrainingConfig, TrialConfig
from raysearch.paths import TrialPaths
from raysearch.space import load_space
from raysearch.train.loop import train
from raysearch.train.result import write_result
from raysearch.train.stage import open_training_data

SPACES = sorted((Path(__file__).parents[1] / "spaces").glob("*.yaml"))
DATA = {"source": "digits", "train_per_class": 4, "held_out_per_class": 4}


class Silent:
    def report(self, metrics):
        pass

    def should_stop(self):
        return False


def trials_of(space):
    """A drawn trial, the trials of `search.first`, and the first and last row of an ablation."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    if space.ablation:
        wanted = [space.ablation.trainings[i].fixed for i in (0, len(space.ablation.trainings) // 2)]
    else:
        wanted = [{}, *space.search.first]
    return [space.trial.suggest(study.ask(), fixed) for fixed in wanted]


def shrunken(trial):
    """The same training with one epoch per stage, few small images and a small backbone."""
    small = {"backbone": "resnet10_small", "drop_path_rate": None, "batch_size": 5, "accumulation": 1}
    values = trial.model_dump() | small
    if trial.stages:
        sizes = {"image_size": 16, "batch_size": 4}
        values |= {
            "stages": [stage | {"epochs": 1} | {k: v for k, v in sizes.items() if k in stage} for stage in trial.stages]
        }
    else:
        values |= {"epochs": 1}
    values["augment"] |= {"crop_padding": min(2, trial.augment.crop_padding)}
    return TrialConfig.model_validate(values | {"image_size": 16})


def test_every_recipe_of_the_papers_is_there():
    assert {"cr", "photos32", "vipriors", "jz", "gem", "ablation"} <= {path.stem for path in SPACES}


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_space_file_validates_whole_and_trains_shrunken(path, tmp_path, session_cache):
    space = load_space(path)
    assert space.study == path.stem
    seen = set()
    for number, trial in enumerate(trials_of(space)):
        training = TrainingConfig(data=DATA, objective=space.search.objective, trial=shrunken(trial))
        if training.model_dump_json() in seen:
            continue
        seen.add(training.model_dump_json())
        paths = TrialPaths(tmp_path / str(number))
        torch.set_num_threads(1)
        assert train(training, open_training_data(training), paths, Silent())
        result = write_result(paths, number, "COMPLETE", "accuracy", trial.total_epochs, trial.backbone, {})
        assert 0 <= result["value"] <= 1
        assert result["epochs_done"] == len(training.trial.schedule)


def test_the_papers_own_recipe_says_what_the_paper_says():
    space = load_space(next(path for path in SPACES if path.stem == "vipriors"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = space.trial.suggest(study.ask(), space.search.first[0])
    optimizer = trial.optimizer
    assert [(stage.epochs, stage.image_size) for stage in trial.schedule] == [(460, 320), (20, 448)]
    assert (trial.backbone, trial.batch_size, space.resources.workers) == ("efficientnet_b2", 64, 8)
    assert (optimizer.name, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("rmsproptf", 0.005, 0.9, 1e-5)
    assert (optimizer.warmup_epochs, optimizer.warmup_lr) == (3, 1e-6)
    assert (trial.augment.mixup_alpha, trial.augment.cutmix_alpha, trial.augment.switch_prob) == (0.5, 1.0, 0.5)
    assert trial.inference.tencrop


def test_the_six_models_are_trained_without_label_smoothing_and_then_with_it():
    space = load_space(next(path for path in SPACES if path.stem == "jz"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [space.trial.suggest(study.ask(), fixed) for fixed in space.search.first]
    assert [trial.augment.mixing for trial in trials].count("ricap") == 2
    assert len(trials) == space.search.trials == 6
    for trial in trials:
        assert [(s.epochs, s.label_smoothing) for s in trial.schedule] == [(250, 0.0), (200, 0.1)]
        assert (trial.optimizer.lr, trial.optimizer.lr_batch, trial.optimizer.warmup_lr) == (0.1, 256, 0)
