"""Runs `probe_all` in a new process, which releases all its GPU memory when it ends.

    python -m raysearch.tune.planning.probe_process REQUEST ANSWER

Both are temporary pickle files that the search writes and reads. A process of `multiprocessing` would also import the
user's script, which calls `raysearch.search`.
"""

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from raysearch.config import TrainingConfig
from raysearch.train.probe import probe
from raysearch.train.resource_check import Cost
from raysearch.train.stage import open_training_data


def probe_all(trainings: Sequence[TrainingConfig], limit_s: float, threads: int, device: str | None) -> list[Cost]:
    """`probe` each training on its data. ``device`` None measures sizes but no time."""
    where = None if device is None else torch.device(device)
    return [probe(each.trial, open_training_data(each), limit_s, threads=threads, device=where) for each in trainings]


def probe_in_new_process(
    trainings: Sequence[TrainingConfig], limit_s: float, threads: int, device: str | None
) -> list[Cost]:
    """`probe_all` in a new process. Raises `RuntimeError` with that process's stderr if it fails."""
    with tempfile.TemporaryDirectory(prefix="raysearch-") as folder:
        request, answer = Path(folder) / "request", Path(folder) / "answer"
        request.write_bytes(pickle.dumps((trainings, limit_s, threads, device)))
        command = [sys.executable, "-m", "raysearch.tune.planning.probe_process", str(request), str(answer)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the backbones cannot be measured: {done.stderr}")
        costs: list[Cost] = pickle.loads(answer.read_bytes())
        return costs


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(pickle.dumps(probe_all(*pickle.loads(Path(sys.argv[1]).read_bytes()))))
