"""Runs one cell in a process of its own, and scores its predictions in the same way for all methods."""

import datetime
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cells import LABELS, Cell
from benchmarks.accuracy.data import count_labelled, read_test_labels
from benchmarks.accuracy.peers import PEERS, Peer
from benchmarks.accuracy.side import Task
from benchmarks.harness import processor
from benchmarks.measure import PEERS_VENV, PeerMissing
from raysearch.ensemble.intervals import share_interval

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results.jsonl"


def run_cell(cell: Cell, data: Path, out: Path) -> dict[str, Any]:
    """Run a cell on the images in ``data``, and return its line.

    Raises `PeerMissing`, and `subprocess.CalledProcessError` if the method's process fails.
    """
    peer = PEERS[cell.peer]
    python = interpreter(peer)
    out.mkdir(parents=True)
    at_commit = commit()  # another may be made while the process runs
    image_size = peer.image_sizes.get(cell.data)
    task = Task(str(data.resolve()), str(out), time.time(), 60 * cell.minutes, image_size, peer.variant)
    task.write(out / "task.json")
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [str(python), "-m", peer.module, str(out / "task.json")]
    before = _children_cpu_s()
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": paths})
    return {**make_line(cell, task, at_commit), "cpu_s": round(_children_cpu_s() - before, 1)}


def _children_cpu_s() -> float:
    """Processor seconds of ended child processes and their children. Shows how much of the machine a method got."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def interpreter(peer: Peer) -> Path:
    """The Python that has the packages of a method. Raises `PeerMissing`."""
    if not peer.uses_peers_venv:
        return Path(sys.executable)
    if not (PEERS_VENV / ".installed").is_file():
        raise PeerMissing(f"{PEERS_VENV.name} is not installed (run make {PEERS_VENV.name}/.installed to see why)")
    return PEERS_VENV / "bin" / "python"


def make_line(cell: Cell, task: Task, at_commit: str) -> dict[str, Any]:
    """The line of a cell: accuracy on test with Wilson's 95 % interval, and the circumstances."""
    facts = json.loads(Path(task.out, "facts.json").read_text())
    labels = read_test_labels(Path(task.data))
    accuracy = facts["accuracy"]
    if accuracy is None:
        predicted = np.load(Path(task.out, "predicted.npy"))
        assert predicted.shape == labels.shape, f"{predicted.shape} predictions for {labels.shape} images"
        accuracy = float((predicted == labels).mean())
    low, high = share_interval(accuracy, len(labels))
    return {
        "peer": cell.peer,
        "set": cell.data,
        "minutes": cell.minutes,
        "labels": cell.labels,
        "protocol": LABELS[cell.labels],
        "n_labelled": count_labelled(Path(task.data)),
        "accuracy": round(accuracy, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "n_test": len(labels),
        "epochs": None if facts["epochs"] is None else round(facts["epochs"], 1),
        "seconds": round(facts["seconds"], 1),
        "overrun_s": round(facts["seconds"] - task.budget_s, 1),
        "image_size": task.image_size,
        "note": facts["note"],
        "versions": facts["versions"],
        "commit": at_commit,
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
    }


def commit() -> str:
    """The commit of this checkout. ``-dirty`` marks uncommitted changes in files other than the results."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    diff = [*git, "diff", "--quiet", "HEAD", "--", ".", f":!{RESULTS.relative_to(ROOT)}"]
    is_dirty = bool(head) and subprocess.run(diff, capture_output=True).returncode != 0
    return (head or "unknown") + ("-dirty" if is_dirty else "")
