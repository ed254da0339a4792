"""Kill a search again and again, and see that nothing is lost: `kill -9` at random moments.

    python -m benchmarks.soak [--kills 24] [--seed N] [--out FOLDER]

Two searches on two cores, one of trials in one process, one of trials in two. In turn the driver, a trial's actor, a
worker of Ray Train and the Ray node are killed; where that ends the command, it is begun again with `--resume`. After
every kill:

- an ended trial is as it was, in the study and on disk;
- a live one goes on: its lines up to the last whole checkpoint, at most one less than there were, stay as they are;
- no process of a killed driver is left;
- the study can be read at any time.

At the end there are just as many trials as were asked for, none of them RUNNING, none FAIL, each with every epoch once.
The last line is JSON; the exit code is 1 where anything of this did not hold.
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
"""A driver whose node is dead, and the processes of a dead driver, have so long to end."""
MOST_FRUITLESS = 3
"""Ends in a row of a driver that nobody killed."""
PROGRESS_WITHIN_S = 240.0
"""A trial has so long to start and to do an epoch."""
MARKS = {"trial": "ray::ImplicitFunc", "worker": "ray::RayTrainWorker", "node": "raylet/raylet"}
"""What the command line of each kind of process holds."""
RAYS_OWN = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes that Ray leaves for some minutes when their node was killed; they hold no resources of a trial."""


@dataclass(frozen=True)
class Search:
    """One of the searches, and what is killed of it."""

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
    """One search under fire."""

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
        """Kill so often, then let the search come to its end, and look at what it left."""
        fruitless = 0
        while True:
            before, driver = len(self.kills), self._start()
            while driver.poll() is None and len(self.kills) < kills and self._waits_for_progress(driver):
                self._kill(self.search.targets[len(self.kills) % len(self.search.targets)], driver)
            code = driver.wait()
            self._look()
            if code not in (0, 2, -signal.SIGKILL):
                self._fault(f"the driver ended with {code}")
            fruitless = fruitless + 1 if len(self.kills) == before and code else 0
            if fruitless == MOST_FRUITLESS:
                return self._fault(f"the driver ended {fruitless} times by itself, with {code}")
            if code == 0 and len(self.kills) >= kills:
                break
            if code == 0:  # it came to its end too early
                self.trials += 2
        self._look_at_the_end()

    def _start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "raysearch.tune", str(self.space), "--out", str(self.folder)]
        if self.paths.study.is_file():
            command += ["--resume", "--trials", str(self.trials)]
        with (self.folder / f"{self.search.name}.log").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)

    def _waits_for_progress(self, driver: "subprocess.Popen[str]") -> bool:
        """Until a live trial has a line more than now, and some moments; False where the driver ended before."""
        before = {number: len(lines) for number, lines in self._lines().items()}
        self._until(
            lambda: (
                driver.poll() is not None
                or any(len(lines) > before.get(number, 0) for number, lines in self._lines().items())
            ),
            PROGRESS_WITHIN_S,
            "no trial makes progress",
        )
        time.sleep(self.rng.uniform(0, 4))
        return driver.poll() is None

    def _kill(self, target: str, driver: "subprocess.Popen[str]") -> None:
        family = psutil.Process(driver.pid).children(recursive=True)
        victims = [psutil.Process(driver.pid)] if target == "driver" else _named(family, MARKS[target])
        if not victims:
            return  # between two trials: another time
        self._remember()
        workers = [process for process in family if not any(_named([process], mark) for mark in RAYS_OWN)]
        victim = self.rng.choice(victims)
        victim.send_signal(signal.SIGKILL)
        self.kills.append(target)
        print(f"{self.search.name}: killed {target} {victim.pid}; {self._state()}", flush=True)
        if target in ("driver", "node"):
            began = time.monotonic()
            self._until(lambda: driver.poll() is not None, ENDS_WITHIN_S, f"the driver outlives its {target}")
            self._until(lambda: not any(map(_lives, workers)), ENDS_WITHIN_S, f"processes outlive their {target}")
            print(f"  its processes ended within {time.monotonic() - began:.1f} s", flush=True)
            if driver.poll() is None:
                driver.kill()
            for process in filter(_lives, family):
                process.kill()
        self._look()

    def _remember(self) -> None:
        """What may not change any more, just before a kill."""
        for trial in self._stored():
            if trial.state.is_finished() and trial.number not in self._ended:
                self._ended[trial.number] = (trial, self._metrics(trial.number))
        # The last line may be of an epoch whose checkpoint is being written.
        self._kept |= {number: lines[:-1] for number, lines in self._lines().items()}

    def _look(self) -> None:
        stored = {trial.number: trial for trial in self._stored()}
        for number, (before, metrics) in self._ended.items():
            if stored.get(number) != before:
                self._fault(f"ended trial {number} changed: {before} -> {stored.get(number)}")
            if self._metrics(number) != metrics:
                self._fault(f"ended trial {number} was trained again")
        for number, kept in self._kept.items():
            # A process that was killed while it rewrote the file leaves the old or the new one, never half of one.
            lines = self._metrics(number).splitlines()
            if lines[: len(kept)] != kept:
                self._fault(f"trial {number} lost more than an epoch: {len(kept)} lines kept before, {len(lines)} now")

    def _look_at_the_end(self) -> None:
        states = Counter(trial.state for trial in self._stored())
        if states != Counter({s: states[s] for s in (TrialState.COMPLETE, TrialState.PRUNED)}):
            self._fault(f"trials are left in other states than COMPLETE and PRUNED: {states}")
        if states.total() != self.trials:
            self._fault(f"{self.trials} trials were asked for, {states.total()} are there")
        for trial in self._stored():
            epochs = [json.loads(line)["epoch"] for line in self._metrics(trial.number).splitlines()]
            if epochs != list(range(1, len(epochs) + 1)):
                self._fault(f"trial {trial.number} has not each epoch once: {epochs}")
            if trial.state == TrialState.COMPLETE and len(epochs) != self.search.epochs:
                self._fault(f"trial {trial.number} is COMPLETE with {len(epochs)} epochs")
            if trial.state == TrialState.COMPLETE and sorted(trial.intermediate_values) != epochs:
                self._fault(f"trial {trial.number}'s curve in the study has other epochs than its folder")

    def _until(self, holds: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        deadline = time.monotonic() + limit_s
        while not holds():
            if self.paths.database.is_file():
                self._stored()  # readable at any time
            if time.monotonic() > deadline:
                return self._fault(f"{otherwise} within {limit_s:.0f} s")
            time.sleep(0.3)

    def _stored(self) -> Sequence[FrozenTrial]:
        if not self.paths.database.is_file():
            return []
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{self.paths.database}", skip_compatibility_check=True)
            trials = optuna.load_study(study_name=self.search.name, storage=storage).trials
            storage.engine.dispose()
            return trials
        except KeyError:  # the file is there, the study not yet
            return []
        except Exception as error:
            self._fault(f"the study cannot be read: {type(error).__name__}: {error}")
            return []

    def _lines(self) -> dict[int, list[str]]:
        """Whole lines of the trials that have not ended, by number."""
        live = [number for number, folder in self.paths.trials() if not folder.result.is_file()]
        texts = {number: self._metrics(number) for number in live}
        return {number: text[: text.rfind("\n") + 1].splitlines() for number, text in texts.items()}

    def _metrics(self, number: int) -> str:
        path = self.paths.trial(number).metrics
        return path.read_text() if path.is_file() else ""

    def _state(self) -> str:
        states = Counter(trial.state.name for trial in self._stored())
        live = ", ".join(f"trial {number} at {len(lines)}" for number, lines in self._lines().items())
        return f"{dict(states)}; {live}"

    def _fault(self, text: str) -> None:
        print(f"FAULT {self.search.name}: {text}", flush=True)
        self.faults.append(text)


def _named(family: Sequence[psutil.Process], mark: str) -> list[psutil.Process]:
    return [process for process in family if mark in _title(process)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:  # it has ended
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24, help="in all, shared between the two searches")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, help="default: a temporary folder, kept where something did not hold")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = random.randrange(10**6) if given.seed is None else given.seed
    folder = given.out or Path(tempfile.mkdtemp(prefix="raysearch-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    facts: list[dict[str, Any]] = []
    for index, search in enumerate(SEARCHES):
        soak = Soak(search, folder, random.Random(seed + index))
        soak.run((given.kills + 1 - index) // len(SEARCHES))
        facts.append({"workers": search.workers, "kills": dict(Counter(soak.kills)), "trials": soak.trials})
        facts[-1]["faults"] = soak.faults
    faults = sum(len(fact["faults"]) for fact in facts)
    kills = sum(sum(fact["kills"].values()) for fact in facts)
    print(
        json.dumps(
            {"kills": kills, "faults": faults, "s": round(time.monotonic() - began), "seed": seed, "searches": facts}
        )
    )
    if given.out is None and not faults:
        shutil.rmtree(folder)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
