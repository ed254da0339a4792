"""Kills a fit at random moments, resumes it, and checks its set every time.

    python -m benchmarks.fit_kills --minutes 6 --kills 8 [--seed 0]

After each kill, the set must be the last verified one: complete, with the hashes of its manifest, and able to predict.
The fit must end within its budget, in all its starts together.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

import raysearch
from raysearch.fit.clock import read_state
from raysearch.paths import FitPaths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = FitPaths(Path(folder) / "fit")
        moments = sorted(rng.uniform(0.05, 0.95) * 60 * options.minutes for _ in range(options.kills))
        checked = kill_and_resume(paths, options.minutes, moments)
        run(paths, options.minutes, None)
        spent_s = read_state(paths.state).spent_s
        check_set(paths)
        assert spent_s <= 1.02 * 60 * options.minutes, f"{spent_s:.0f} s of {60 * options.minutes:.0f} s"
        print(f"{options.kills} kills, a set after {checked} of them; {spent_s:.0f} s of {60 * options.minutes:.0f} s")


def kill_and_resume(paths: FitPaths, minutes: float, moments: list[float]) -> int:
    """Kill the fit when it has spent each of ``moments`` seconds. Returns how many kills left a set."""
    checked = 0
    for moment in moments:
        has_set = paths.set.is_dir()
        if not run(paths, minutes, moment):
            break
        print(
            f"killed after {moment:.0f} s of the budget; {'a set' if paths.set.is_dir() else 'no set yet'}", flush=True
        )
        assert paths.set.is_dir() or not has_set, "the kill has removed the set"
        if paths.set.is_dir():
            check_set(paths)
            checked += 1
    return checked


def run(paths: FitPaths, minutes: float, moment: float | None) -> bool:
    """Run or resume the fit, and kill it at ``moment``. False if it ended before."""
    begins = ["--resume"] if paths.state.is_file() else ["digits", "--minutes", str(minutes)]
    before = read_state(paths.state).spent_s if paths.state.is_file() else 0.0
    command = [sys.executable, "-m", "raysearch.fit", *begins, "--out", str(paths.root)]
    began = time.monotonic()
    driver = subprocess.Popen(command, start_new_session=True)
    while driver.poll() is None and (moment is None or before + time.monotonic() - began < moment):
        time.sleep(0.05)
    if driver.poll() is not None:
        assert driver.returncode == 0, f"{' '.join(command)} ended with {driver.returncode}"
        return False
    children = psutil.Process(driver.pid).children(recursive=True)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    for child in children:
        if child.is_running():
            child.kill()
    return True


def check_set(paths: FitPaths) -> None:
    """Load the set, which verifies its hashes, and predict."""
    probs = raysearch.load(paths.set).predict_proba([np.zeros((8, 8, 3), np.uint8)])
    assert abs(probs.sum() - 1) < 1e-6


if __name__ == "__main__":
    main()
