"""Soak test: kills processes of a search with `kill -9` at random moments and checks that no work is lost.

    python -m benchmarks.soak [--kills 24] [--seed N] [--out FOLDER]

It runs two searches on two cores. Trials of the first one use one process, those of the second one use two. The victim
is, in turn, the driver, a trial's actor, a worker of Ray Train or the Ray node. If the command ends, it is started
again with `--resume`. After every kill:

- finished trials are unchanged, in the study and on disk;
- a running trial continues and loses at most one line of metrics.jsonl;
- no process of a killed driver survives;
- the study can be read at any time.

At the end, the study has exactly the requested number of trials. None is RUNNING or FAIL, and each has every epoch
once. The last line is JSON. The exit code is 1 if any check failed.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from raysearch.io import write_yaml
from raysearch.paths import StudyPaths

ENDS_WITHIN_S = 90.0
"""Time limit for a driver whose node was killed, and for the processes of a killed driver, to end."""
MOST_FRUITLESS = 3
"""Number of consecutive unexpected ends of the driver after which the test gives up."""
PROGRESS_WITHIN_S = 240.0
"""Time limit for a trial to start and to finish an epoch."""
MARKS = {"trial": "ray::ImplicitFunc", "worker": "ray::RayTrainWorker", "node": "raylet/raylet"}
"""Substring of the command line that identifies each kind of process."""
RAYS_OWN = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray processes that survive their killed node for some minutes. They hold no resources of a trial."""


@dataclass(frozen=True)
class Search:
    """Settings of one search, and the processes to kill."""

    workers: int
    trials: int
    epochs: int
    targets: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"workers{self.workers}"

    def write(self, path: Path) -> None:
        trial = {
            "backbone": {"choice": ["wrn_10_1", "wrn_16_1"]},
            "image_size": 16,
            "epochs": self.epochs,
            "batch_size": 40 // self.workers,
            "augment": {"crop_padding": 2},
            "method": {"alpha": {"loguniform": [0.01, 1.0]}, "gather": self.workers > 1},
            "optimizer": {"name": "sgd", "lr": {"loguniform": [0.01, 0.1]}, "warmup_epochs": 1},
        }
        write_yaml(
            path,
            {
                "study": self.name,
                "data": {"source": "digits", "train_per_class": 20, "held_out_per_class": 5},
                "resources": {"workers": self.workers},
                "search": {"trials": self.trials, "grace": 0.5, "first": [{"method": {"alpha": 0.01}}]},
                "trial": trial,
            },
        )


SEARCHES = (
    Search(workers=1, trials=6, epochs=60, targets=("driver", "trial", "node")),
    Search(workers=2, trials=3, epochs=50, targets=("worker", "driver", "trial", "node")),
)


@dataclass
class Soak:
    """The soak test of one search."""

    search: Search
    folder: Path
    rng: random.Random
    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _ended: dict[int, tuple[FrozenTrial, str]] = field(default_factory=dict)
    _kept: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.space, self.paths = self.folder / f"{self.search.name}.yaml", StudyPaths(self.folder / self.search.name)
        self.search.write(self.space)
        self.trials = self.search.trials

    def run(self, kills: int) -> None:
        """Kill ``kills`` times, then let the search finish, and check the result."""
        fruitless = 0
        while True:
            before, driver = len(self.kills), self._start()
            while driver.poll() is None and len(self.kills) < kills and self._wait_for_progress(driver):
                self._kill(self.search.targets[len(self.kills) % len(self.search.targets)], driver)
            code = driver.wait()
            self._check_kept()
            if code not in (0, 2, -signal.SIGKILL):
                self._add_fault(f"the driver ended with {code}")
            fruitless = fruitless + 1 if len(self.kills) == before and code else 0
            if fruitless == MOST_FRUITLESS:
                return self._add_fault(f"the driver ended {fruitless} times without a kill, with {code}")
            if code == 0 and len(self.kills) >= kills:
                break
            if code == 0:  # the search finished before enough kills; continue with more trials
                self.trials += 2
        self._check_end()

    def _start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "raysearch.tune", str(self.space), "--out", str(self.folder)]
        if self.paths.study.is_file():
            command += ["--resume", "--trials", str(self.trials)]
        with (self.folder / f"{self.search.name}.log").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)

    def _wait_for_progress(self, driver: "subprocess.Popen[str]") -> bool:
        """Wait until a running trial has one more line, then up to 4 s. Returns False if the driver ends before."""
        before = {number: len(lines) for number, lines in self._read_lines().items()}
        self._wait_until(
            lambda: (
                driver.poll() is not None
                or any(len(lines) > before.get(number, 0) for number, lines in self._read_lines().items())
            ),
            PROGRESS_WITHIN_S,
            "no trial makes progress",
        )
        time.sleep(self.rng.uniform(0, 4))
        return driver.poll() is None

    def _kill(self, target: str, driver: "subprocess.Popen[str]") -> None:
        family = psutil.Process(driver.pid).children(recursive=True)
        victims = [psutil.Process(driver.pid)] if target == "driver" else _filter_by_title(family, MARKS[target])
        if not victims:
            return  # between two trials; the caller tries again
        self._remember()
        workers = [process for process in family if not any(_filter_by_title([process], mark) for mark in RAYS_OWN)]
        victim = self.rng.choice(victims)
        victim.send_signal(signal.SIGKILL)
        self.kills.append(target)
        print(f"{self.search.name}: killed {target} {victim.pid}; {self._describe_state()}", flush=True)
        if target in ("driver", "node"):
            began = time.monotonic()
            self._wait_until(
                lambda: driver.poll() is not None,
                ENDS_WITHIN_S,
                f"after the kill of its {target}, the driver did not end",
            )
            self._wait_until(
                lambda: not any(map(_is_alive, workers)),
                ENDS_WITHIN_S,
                f"after the kill of their {target}, processes did not end",
            )
            print(f"  its processes ended within {time.monotonic() - began:.1f} s", flush=True)
            if driver.poll() is None:
                driver.kill()
            for process in filter(_is_alive, family):
                process.kill()
        self._check_kept()

    def _remember(self) -> None:
        """Store, right before a kill, what the kill must not change."""
        for trial in self._read_trials():
            if trial.state.is_finished() and trial.number not in self._ended:
                self._ended[trial.number] = (trial, self._read_metrics(trial.number))
        # The checkpoint of the last line's epoch may not be complete yet.
        self._kept |= {number: lines[:-1] for number, lines in self._read_lines().items()}

    def _check_kept(self) -> None:
        stored = {trial.number: trial for trial in self._read_trials()}
        for number, (before, metrics) in self._ended.items():
            if stored.get(number) != before:
                self._add_fault(f"ended trial {number} changed: {before} -> {stored.get(number)}")
            if self._read_metrics(number) != metrics:
                self._add_fault(f"ended trial {number} was trained again")
        for number, kept in self._kept.items():
            # The file is replaced atomically, so a kill leaves the old or the new version, never a partial one.
            lines = self._read_metrics(number).splitlines()
            if lines[: len(kept)] != kept:
                self._add_fault(f"trial {number} lost more than one epoch: {len(kept)} lines before, {len(lines)} now")

    def _check_end(self) -> None:
        states = Counter(trial.state for trial in self._read_trials())
        if states != Counter({s: states[s] for s in (TrialState.COMPLETE, TrialState.PRUNED)}):
            self._add_fault(f"all trials must be COMPLETE or PRUNED, got {states}")
        if states.total() != self.trials:
            self._add_fault(f"expected {self.trials} trials, got {states.total()}")
        for trial in self._read_trials():
            epochs = [json.loads(line)["epoch"] for line in self._read_metrics(trial.number).splitlines()]
            if epochs != list(range(1, len(epochs) + 1)):
                self._add_fault(f"trial {trial.number} must have every epoch once, got {epochs}")
            if trial.state == TrialState.COMPLETE and len(epochs) != self.search.epochs:
                self._add_fault(f"trial {trial.number} is COMPLETE with {len(epochs)} epochs")
            if trial.state == TrialState.COMPLETE and sorted(trial.intermediate_values) != epochs:
                self._add_fault(f"trial {trial.number} has other epochs in the study than in its folder")

    def _wait_until(self, holds: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        deadline = time.monotonic() + limit_s
        while not holds():
            if self.paths.database.is_file():
                self._read_trials()  # the study must be readable at any time
            if time.monotonic() > deadline:
                return self._add_fault(f"{otherwise} within {limit_s:.0f} s")
            time.sleep(0.3)

    def _read_trials(self) -> Sequence[FrozenTrial]:
        if not self.paths.database.is_file():
            return []
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{self.paths.database}", skip_compatibility_check=True)
            trials = optuna.load_study(study_name=self.search.name, storage=storage).trials
            storage.engine.dispose()
            return trials
        except KeyError:  # the file exists, but the study does not yet
            return []
        except Exception as error:
            self._add_fault(f"the study cannot be read: {type(error).__name__}: {error}")
            return []

    def _read_lines(self) -> dict[int, list[str]]:
        """Complete lines of metrics.jsonl of the running trials, by number."""
        live = [number for number, folder in self.paths.trials() if not folder.result.is_file()]
        texts = {number: self._read_metrics(number) for number in live}
        return {number: text[: text.rfind("\n") + 1].splitlines() for number, text in texts.items()}

    def _read_metrics(self, number: int) -> str:
        path = self.paths.trial(number).metrics
        return path.read_text() if path.is_file() else ""

    def _describe_state(self) -> str:
        states = Counter(trial.state.name for trial in self._read_trials())
        live = ", ".join(f"trial {number} at {len(lines)}" for number, lines in self._read_lines().items())
        return f"{dict(states)}; {live}"

    def _add_fault(self, text: str) -> None:
        print(f"FAULT {self.search.name}: {text}", flush=True)
        self.faults.append(text)


def _filter_by_title(family: Sequence[psutil.Process], mark: str) -> list[psutil.Process]:
    return [process for process in family if mark in _read_title(process)]


def _read_title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:  # the process has ended
        return ""


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24, help="number of kills, divided between the two searches")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, help="default: a temporary folder, which is kept if a check fails")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    folder = arguments.out or Path(tempfile.mkdtemp(prefix="raysearch-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    facts: list[dict[str, Any]] = []
    for index, search in enumerate(SEARCHES):
        soak = Soak(search, folder, random.Random(seed + index))
        soak.run((arguments.kills + 1 - index) // len(SEARCHES))
        facts.append({"workers": search.workers, "kills": dict(Counter(soak.kills)), "trials": soak.trials})
        facts[-1]["faults"] = soak.faults
    faults = sum(len(fact["faults"]) for fact in facts)
    kills = sum(sum(fact["kills"].values()) for fact in facts)
    print(
        json.dumps(
            {"kills": kills, "faults": faults, "s": round(time.monotonic() - began), "seed": seed, "searches": facts}
        )
    )
    if arguments.out is None and not faults:
        shutil.rmtree(folder)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
