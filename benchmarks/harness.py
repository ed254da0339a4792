"""Runs rows and reports their results: a JSON line each, and a table."""

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
    """Result of a row. Without ``measured`` the row is open (its peer is missing) or failed; ``reason`` says why."""

    name: str
    bound: float | None = None
    is_at_most: bool = False
    measured: Measured | None = None
    is_open: bool = False
    reason: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the row meets its bound; None if it is open."""
        if self.measured is None or self.bound is None:
            return None if self.is_open else False
        ratio = self.measured.ratio
        return ratio <= self.bound if self.is_at_most else ratio >= self.bound

    @property
    def json_line(self) -> str:
        ratio = round(self.measured.ratio, 4) if self.measured else None
        return json.dumps({"name": self.name, "ratio": ratio, "bound": self.bound, "ok": self.ok})


def run_row(name: str, module_name: str) -> Outcome:
    """Measure one row. Never raises: an error becomes part of the outcome."""
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
    """Measure ``rows`` (name to module) one by one, and print each result at once."""
    outcomes = []
    for name, module_name in rows.items():
        outcome = run_row(name, module_name)
        print(f"\n{summary(outcome)}\n{outcome.json_line}", flush=True)
        outcomes.append(outcome)
    return outcomes


def summary(outcome: Outcome) -> str:
    """The figures of both sides of a row, and its note."""
    measured = outcome.measured
    if measured is None:
        return f"{outcome.name}: {VERDICTS[outcome.ok]}, {outcome.reason}"
    line = f"{outcome.name}: ours {measured.ours}, peer {measured.peer}"
    return f"{line}\n{measured.note}" if measured.note else line


def table(outcomes: list[Outcome]) -> str:
    """The results as a Markdown table."""
    lines = ["| row | ours | peer | ratio | bound | |", "|---|---|---|---|---|---|"]
    for outcome in outcomes:
        measured = outcome.measured
        figures = (measured.ours, measured.peer, f"{measured.ratio:.3g}") if measured else ("", "", "")
        bound = "" if outcome.bound is None else f"{'<=' if outcome.is_at_most else '>='} {outcome.bound:g}"
        lines.append(f"| {' | '.join([outcome.name, *figures, bound, VERDICTS[outcome.ok]])} |")
    return "\n".join(lines)


def circumstances() -> str:
    """Commit, machine, torch version and date."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    machine = f"{processor()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    return f"commit {commit}, {machine}, torch {torch.__version__}, {datetime.date.today().isoformat()}"


def processor() -> str:
    """Model of the CPU; on systems other than Linux, whatever `platform` knows."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
