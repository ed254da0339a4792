"""Small trainings on the included digits, and reporters that stop them."""

import json

import pytest
import torch

from raysearch.config import DataConfig, TrainingConfig
from raysearch.data.dataset import open_dataset
from raysearch.paths import TrialPaths
from raysearch.train.loop import train

DATA = {"source": "digits", "train_per_class": 4, "held_out_per_class": 4}
TRIAL = {
    "backbone": "wrn_10_1",
    "image_size": 16,
    "epochs": 3,
    "batch_size": 20,
    "precision": "float32",
    "augment": {"policy": "none", "crop_padding": 2},
    "optimizer": {"name": "sgd", "lr": 0.05, "warmup_epochs": 1},
}


class Host:
    """Records reports. ``stops`` decides from the number of reports; after ``dies_after`` reports it raises."""

    def __init__(self, stops=lambda reports: False, dies_after=None):
        self.stops, self.dies_after, self.reports = stops, dies_after, []

    def report(self, metrics):
        self.reports.append(metrics)
        if len(self.reports) == self.dies_after:
            raise KeyboardInterrupt

    def should_stop(self):
        return self.stops(len(self.reports))


@pytest.fixture(scope="session")
def digits(session_cache):
    return open_dataset(DataConfig(**DATA), 16)


@pytest.fixture
def config():
    """Builds a training's config; given sections change those of the small config."""

    def build(objective="accuracy", **trial):
        merged = TRIAL | {k: TRIAL[k] | v if isinstance(v, dict) and k in TRIAL else v for k, v in trial.items()}
        return TrainingConfig.model_validate({"data": DATA, "objective": objective, "trial": merged})

    return build


@pytest.fixture
def host():
    return Host


@pytest.fixture(scope="session")
def metrics_of():
    """Lines of `metrics.jsonl` without `seconds`, which differs between runs."""

    def read(paths):
        lines = [json.loads(line) for line in paths.metrics.read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    return read


@pytest.fixture(scope="session")
def finished(digits, tmp_path_factory):
    """The config, folder and reports of one finished training of the small config."""
    torch.set_num_threads(1)  # the number of threads changes the rounding
    paths, host = TrialPaths(tmp_path_factory.mktemp("it's a study") / "0007"), Host()
    training = TrainingConfig.model_validate({"data": DATA, "trial": TRIAL})
    assert train(training, digits, paths, host, trial_number=7)
    return training, paths, host.reports
