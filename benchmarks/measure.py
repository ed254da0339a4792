"""How a row is measured: both sides by turns in one process, and the median of the pairs' ratios.

A shared machine's speed wanders by tens of percent within a minute. Two timings taken next to each other wander
together, so a pair's ratio stays; the order within a pair changes from pair to pair. One thread computes, and what
counts is the processor time of this process, the kernel's part included: on an idle machine that is the time that
passes, and on a busy one it leaves out the waiting for others.
"""

import os
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from timeit import Timer

import torch

from benchmarks.peers import MISSING

HERE = Path(__file__).parent
PEERS_VENV = HERE.parent / ".venv-bench"


@dataclass(frozen=True)
class Measured:
    """A row's outcome: the ratio that its bound is for, and both sides' figures, readable ("0.31 ms")."""

    ratio: float
    ours: str
    peer: str
    note: str = ""


class PeerMissing(Exception):
    """The peer is not installed, so that the row stays open; the message is the reason."""


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def paired(
    ours: Callable[[], object], peer: Callable[[], object], pairs: int = 10, repeats: int = 1
) -> tuple[list[float], list[float]]:
    """Seconds of a call of ``ours`` and of ``peer``, by turns, ``pairs`` each, after a warm-up of each.

    A timing is the mean of ``repeats`` calls in a row. Work of other processes and of GPUs is not seen.
    """
    timers = (Timer(ours, timer=process_time), Timer(peer, timer=process_time))
    seconds: tuple[list[float], list[float]] = ([], [])
    with one_thread():
        for timer in timers:
            timer.timeit(1)
        for pair in range(pairs):
            for side in (0, 1) if pair % 2 == 0 else (1, 0):
                seconds[side].append(timers[side].timeit(repeats) / repeats)
    return seconds


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of ``above`` / ``below``, pair by pair."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def speedup(
    ours: Callable[[], object], peer: Callable[[], object], pairs: int = 10, repeats: int = 1, note: str = ""
) -> Measured:
    """How many times faster ``ours`` is than ``peer``: `paired` as a row."""
    our_seconds, peer_seconds = paired(ours, peer, pairs, repeats)
    return Measured(
        median_ratio(peer_seconds, our_seconds), milliseconds(our_seconds), milliseconds(peer_seconds), note
    )


def milliseconds(seconds: Sequence[float]) -> str:
    """The median, as it is shown."""
    median = 1000 * statistics.median(seconds)
    return f"{median:.0f} ms" if median >= 100 else f"{median:.3g} ms"


def peer(script: str, *args: str) -> None:
    """Run benchmarks/peers/``script`` in .venv-bench, with one thread; arrays go through files named in ``args``.

    Raises `PeerMissing` where .venv-bench has not been made or the script says that its peer is not there, and
    `subprocess.CalledProcessError` if the script fails.
    """
    if not (PEERS_VENV / ".installed").is_file():
        raise PeerMissing(f"{PEERS_VENV.name} is not installed (make {PEERS_VENV.name}/.installed says why)")
    try:
        alone(PEERS_VENV / "bin" / "python", str(HERE / "peers" / script), *args)
    except subprocess.CalledProcessError as failed:
        if failed.returncode == MISSING:
            raise PeerMissing(f"{script} cannot import its peer from {PEERS_VENV.name}") from failed
        raise


def alone(python: str | Path, *args: str) -> None:
    """Run ``python`` with ``args`` and one thread, in a process of its own that can import `benchmarks`."""
    environment = {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([python, *args], check=True, env=os.environ | environment)
