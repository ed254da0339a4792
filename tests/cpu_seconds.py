"""A pytest plugin that counts CPU seconds per test file, those of every process that a test starts included.

    python -m pytest -p tests.cpu_seconds [--cpu-seconds FILE.tsv]

`pytest --durations` counts wall time, and Ray's daemons and workers leave the process tree of the test. Here a thread
reads /proc ten times a second and keeps the CPU time of every process that this run started: each inherits a mark in
its environment, or has a parent that did.

Limits: Linux only. A process loses what it used in its last tenth of a second, and one that lives shorter is missed.
A process that outlives its test (a shared Ray) is charged to the test that runs while it works. With `-n`, each worker
of xdist counts its own files.
"""

import os
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MARK = "RAYSEARCH_CPU_SECONDS"
INTERVAL_S = 0.1
MOST_FILES = 25
"""Rows of the printed table"""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Meter:
    """The CPU seconds of this process and all that it started, also of those that have ended."""

    def __init__(self) -> None:
        self._mark = f"{MARK}={uuid.uuid4()}".encode()
        os.environb[MARK.encode()] = self._mark.partition(b"=")[2]
        self._is_ours: dict[tuple[int, str], bool] = {}
        self._seconds: dict[tuple[int, str], float] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._sample, name="cpu-seconds", daemon=True).start()

    def read(self) -> float:
        with self._lock:
            self._update()
            return sum(self._seconds.values())

    def _sample(self) -> None:
        wait = threading.Event()
        while not wait.wait(INTERVAL_S):
            self.read()

    def _update(self) -> None:
        live = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))):
                live[int(entry.name)] = fields
        for pid in sorted(live):  # mostly parents first
            parent, start, seconds = live[pid]
            if self._belongs(pid, start, parent, live):
                self._seconds[pid, start] = seconds

    def _belongs(self, pid: int, start: str, parent: int, live: dict[int, tuple[int, str, float]]) -> bool:
        if (pid, start) not in self._is_ours:
            is_child = parent in live and self._is_ours.get((parent, live[parent][1]), False)
            # Only when first seen: a process that sets its title, as Ray's workers do, overwrites its environment.
            self._is_ours[pid, start] = pid == os.getpid() or is_child or self._has_mark(pid)
        return self._is_ours[pid, start]

    def _has_mark(self, pid: int) -> bool:
        try:
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False


def _stat(pid: int) -> tuple[int, str, float] | None:
    """Parent, start time, and own user and system CPU seconds; None for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[19], (int(fields[11]) + int(fields[12])) / TICKS_PER_S


class CpuSeconds:
    def __init__(self) -> None:
        self.meter = Meter()
        self.of_files: dict[str, float] = defaultdict(float)
        self.of_tests: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = self.meter.read()
        result = yield
        self.of_tests[item.nodeid] = self.meter.read() - before
        self.of_files[item.nodeid.partition("::")[0]] += self.of_tests[item.nodeid]
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["cpu_seconds"] = self.of_tests

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for nodeid, seconds in getattr(node, "workeroutput", {}).get("cpu_seconds", {}).items():
            self.of_tests[nodeid] = seconds
            self.of_files[nodeid.partition("::")[0]] += seconds

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        terminalreporter.section("CPU seconds, child processes included")
        ranked = sorted(self.of_files.items(), key=lambda item: -item[1])
        for file, seconds in ranked[:MOST_FILES]:
            terminalreporter.write_line(f"{seconds:8.1f}  {file}")
        if rest := ranked[MOST_FILES:]:
            terminalreporter.write_line(f"{sum(seconds for _, seconds in rest):8.1f}  {len(rest)} other files")
        terminalreporter.write_line(f"{sum(self.of_files.values()):8.1f}  all")
        if path := config.getoption("--cpu-seconds"):
            lines = [f"{nodeid}\t{seconds:.2f}\n" for nodeid, seconds in self.of_tests.items()]
            Path(path).write_text("".join(lines))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-seconds", metavar="FILE", help="write the CPU seconds of every test to FILE (TSV)")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuSeconds(), "cpu-seconds")
