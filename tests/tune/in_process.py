"""`raysearch.tune` in the test's own process, which has torch and Ray: a command of its own takes eight CPU seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner
from watching_display import WatchingDisplay

from raysearch.space import space_from
from raysearch.tune import search
from raysearch.tune.__main__ import app


def tune(*words: object) -> Result:
    """Run the command with these arguments."""
    arguments = [str(word) for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["raysearch.tune", *arguments])  # the summary repeats the command
        return CliRunner().invoke(app, arguments)


@contextmanager
def using_running_ray() -> Iterator[None]:
    """Let searches without `--address` use the Ray that this process is connected to, and leave it running."""

    own = search.ray_session

    @contextmanager
    def running_session(address: str | None) -> Iterator[None]:
        with own(address) if address else nullcontext():
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "ray_session", running_session)
        patch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "1")  # a search changes it; restored at the end
        yield


def wait_for(condition: Callable[[], object], timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def search_watched(space: dict[str, Any], out: Path, act: Callable[[dict[str, Any]], None]) -> WatchingDisplay:
    """Search ``space`` in the running Ray, its study into ``out``; returns its display, which calls ``act``."""
    display = WatchingDisplay(act)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "choose_display", lambda *args, **options: display)
        search.search(space_from(space, "toy.yaml"), search.SearchOptions(out), where="toy.yaml")
    return display
