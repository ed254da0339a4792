"""A process that trains several models in turn: each training is the same as in a new process."""

import random
import subprocess
import sys
import time

import numpy as np
import torch

from raysearch.io import write_yaml
from raysearch.paths import TrialPaths
from raysearch.train.training_job import TrainingJob, run_training_job


def run(config, paths, host, threads=1):
    write_yaml(paths.config, config.model_dump())
    reporter = host()
    run_training_job(config, TrainingJob(paths.root, 0, paths.root / "stop", threads), reporter)
    return reporter


def test_a_training_is_the_same_whatever_ran_before(tmp_path, config, host, metrics_of):
    alone, after = TrialPaths(tmp_path / "alone"), TrialPaths(tmp_path / "after")
    run(config(), alone, host)
    run(config(seed=7, backbone="resnet10_small", batch_size=10), TrialPaths(tmp_path / "other"), host)
    # And what a training of today does not do, but one of tomorrow, or a library, may.
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    run(config(), after, host)
    assert torch.get_num_threads() == 1
    assert metrics_of(after) == metrics_of(alone)
    assert after.weights("teacher").read_bytes() == alone.weights("teacher").read_bytes()


def test_a_finished_training_still_reports_its_last_line(tmp_path, config, host):
    paths = TrialPaths(tmp_path)
    run(config(), paths, host)
    assert [line["epoch"] for line in run(config(), paths, host).reports] == [3]


def test_two_processes_never_train_into_one_folder_at_a_time(tmp_path, config, host, metrics_of):
    paths = TrialPaths(tmp_path / "trial")
    holds = (
        "import sys, time; from pathlib import Path; from raysearch.io import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(3)"
    )
    command = [sys.executable, "-c", holds, str(paths.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        began = time.monotonic()
        run(config(epochs=1), paths, host)
        assert time.monotonic() - began > 2
    assert len(metrics_of(paths)) == 1
