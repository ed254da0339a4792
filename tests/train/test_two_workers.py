"""One training by two processes (gloo), started with torchrun."""

import json
import subprocess
import sys

import pytest

from raysearch.io import write_yaml
from raysearch.paths import VIEWS, TrialPaths, view_parts

pytestmark = pytest.mark.slow


def torchrun(config, out):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "raysearch.train", str(config), "--out", str(out), "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_two_processes_train_one_network(config, tmp_path, metrics_of):
    path, paths = tmp_path / "config.yaml", TrialPaths(tmp_path / "out")
    values = config(batch_size=10, method={"gather": True, "contrast": "features"}).model_dump()
    # A second stage without auxiliary head and projector: their parameters then have no gradient.
    stages = [{"epochs": 2}, {"epochs": 1, "method": {"aux_weight": 0.0, "contrast": "probs"}}]
    values["trial"] |= {"epochs": None, "stages": stages}
    write_yaml(path, values)
    done = torchrun(path, paths.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 3/3") == 1  # only the first process speaks
    assert [line["epoch"] for line in metrics_of(paths)] == [1, 2, 3]
    assert json.loads(paths.result.read_text())["state"] == "COMPLETE"
    assert all(paths.predictions(view).is_file() for view in VIEWS if view_parts(view).crops == "center")
