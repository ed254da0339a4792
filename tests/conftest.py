"""One image cache for the whole session, away from the user's own, and one thread a process."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysearch.tune.on_ray.cluster import SETTINGS

# Ray reads its settings when it is imported, numpy its threads; test modules import both in any order.
os.environ.update(SETTINGS)
os.environ.setdefault("OMP_NUM_THREADS", "1")

LEFT_OUT = pytest.StashKey[list[str]]()
LONGEST = (
    "test_interrupted_search.py",
    "test_several_workers.py",
    "test_python_api.py",
    "test_search_command.py",
    "test_method_backbones.py",
    "test_sampler.py",
)
"""Files to begin with, the longest first, as `make test-times` shows them"""
SMALL_DISK = 60 * 2**20
"""Bytes"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests marked extra, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the extra tests out without `--all`; run long files first, so that parallel workers end together."""
    extra = [] if config.getoption("--all") else [item for item in items if item.get_closest_marker("extra")]
    items[:] = [item for item in items if item not in extra]
    config.hook.pytest_deselected(items=extra)
    left_out = [item.nodeid for item in extra]
    config.stash[LEFT_OUT] = left_out
    if hasattr(config, "workeroutput"):  # a worker of xdist: it collects, and the process that started it reports
        config.workeroutput["left_out"] = left_out
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    names = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (names.get(item.path.name, len(names)), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Called by xdist when a worker ends."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, []):
        counts = Counter(Path(nodeid.partition("::")[0]).name for nodeid in left_out)
        files = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        terminalreporter.write_line(f"left out: {len(left_out)} extra tests (make test-all runs them): {files}")


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests that need no torch do not import it for this."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of `SMALL_DISK` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
