"""Runs rows and says how they came out: a JSON line each, and a table."""

import datetime
import importlib
import json
import logging
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.measure import Measured, PeerMissing, one_thread

logger = logging.getLogger(__name__)

VERDICTS = {True: "ok", False: "NOT OK", None: "open"}


@dataclass(frozen=True)
class Outcome:
    """What became of a row. Without ``measured`` it is open (its peer is missing) or has failed, for ``reason``."""

    name: str
    bound: float | None = None
    is_at_most: bool = False
    measured: Measured | None = None
    is_open: bool = False
    reason: str = ""

    @property
    def ok(self) -> bool | None:
        """None: open."""
        if self.measured is None or self.bound is None:
            return None if self.is_open else False
        ratio = self.measured.ratio
        return ratio <= self.bound if self.is_at_most else ratio >= self.bound

    @property
    def json_line(self) -> str:
        ratio = round(self.measured.ratio, 4) if self.measured else None
        return json.dumps({"name": self.name, "ratio": ratio, "bound": self.bound, "ok": self.ok})


def run_row(name: str, module_name: str) -> Outcome:
    """Measure one row; whatever goes wrong in it is in the outcome."""
    outcome = Outcome(name)
    try:
        row = importlib.import_module(module_name)
        outcome = Outcome(name, row.BOUND, row.IS_AT_MOST)
        with one_thread():
            return Outcome(name, row.BOUND, row.IS_AT_MOST, row.measure())
    except PeerMissing as missing:
        return Outcome(name, outcome.bound, outcome.is_at_most, is_open=True, reason=str(missing))
    except Exception as error:
        logger.exception("row %s failed", name)
        return Outcome(name, outcome.bound, outcome.is_at_most, reason=f"{type(error).__name__}: {error}")


def run(rows: Mapping[str, str]) -> list[Outcome]:
    """Measure ``rows`` (name to module) one after the other, and print each as it comes out."""
    outcomes = []
    for name, module_name in rows.items():
        outcome = run_row(name, module_name)
        print(f"\n{summary(outcome)}\n{outcome.json_line}", flush=True)
        outcomes.append(outcome)
    return outcomes


def summary(outcome: Outcome) -> str:
    """Both sides of a row in words, and its note."""
    measured = outcome.measured
    if measured is None:
        return f"{outcome.name}: {VERDICTS[outcome.ok]}, {outcome.reason}"
    line = f"{outcome.name}: ours {measured.ours}, peer {measured.peer}"
    return f"{line}\n{measured.note}" if measured.note else line


def table(outcomes: list[Outcome]) -> str:
    """The rows as Markdown."""
    lines = ["| row | ours | peer | ratio | bound | |", "|---|---|---|---|---|---|"]
    for outcome in outcomes:
        measured = outcome.measured
        figures = (measured.ours, measured.peer, f"{measured.ratio:.3g}") if measured else ("", "", "")
        bound = "" if outcome.bound is None else f"{'<=' if outcome.is_at_most else '>='} {outcome.bound:g}"
        lines.append(f"| {' | '.join([outcome.name, *figures, bound, VERDICTS[outcome.ok]])} |")
    return "\n".join(lines)


def circumstances() -> str:
    """Commit, machine and date."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    machine = f"{processor()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    return f"commit {commit}, {machine}, torch {torch.__version__}, {datetime.date.today().isoformat()}"


def processor() -> str:
    """The CPU's model, where Linux tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
