"""One training by two processes (gloo), started by torchrun as a user would."""

import json
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from raysearch.io import write_yaml
from raysearch.paths import VIEWS, TrialPaths

pytestmark = pytest.mark.slow


def torchrun(config, out):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "raysearch.train", str(config), "--out", str(out), "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_two_processes_train_one_network_and_can_be_repeated(config, tmp_path, metrics_of):
    path = tmp_path / "config.yaml"
    write_yaml(path, config(batch_size=10, method={"gather": True, "contrast": "features"}).model_dump())
    folders = [TrialPaths(tmp_path / name) for name in ("one", "two")]
    for paths in folders:
        done = torchrun(path, paths.root)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch 3/3") == 1  # only the first process speaks
    assert metrics_of(folders[0]) == metrics_of(folders[1])
    assert json.loads(folders[0].result.read_text())["state"] == "COMPLETE"
    assert all(folders[0].predictions(view).is_file() for view in VIEWS if "tencrop" not in view)
    first, second = (load_file(paths.weights("student")) for paths in folders)
    assert all((first[name] == second[name]).all() for name in first)
