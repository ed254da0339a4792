"""Measures a row: both sides alternate in one process, and the result is the median of the pairs' ratios.

The speed of a shared machine varies by tens of percent within a minute. It varies equally for two timings taken one
after the other, so the ratio of a pair is stable. The order within a pair alternates. One thread computes. The time is
the processor time of this process, including the kernel's part. On an idle machine it equals wall-clock time; on a busy
machine it excludes waiting for other processes.
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
    """Measurement of a row: the ratio that its bound applies to, and the figures of both sides as text ("0.31 ms")."""

    ratio: float
    ours: str
    peer: str
    note: str = ""


class PeerMissing(Exception):
    """The peer is not installed, so the row stays open. The message is the reason."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread inside the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def paired(
    ours: Callable[[], object], peer: Callable[[], object], pairs: int = 10, repeats: int = 1
) -> tuple[list[float], list[float]]:
    """Seconds per call of ``ours`` and of ``peer``: ``pairs`` timings each, alternating, after a warm-up of each.

    A timing is the mean of ``repeats`` consecutive calls. It excludes work of other processes and of GPUs.
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
    """The median of the pairwise ratios ``above`` / ``below``."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def speedup(
    ours: Callable[[], object], peer: Callable[[], object], pairs: int = 10, repeats: int = 1, note: str = ""
) -> Measured:
    """How many times faster ``ours`` is than ``peer``. Arguments as for `paired`."""
    our_seconds, peer_seconds = paired(ours, peer, pairs, repeats)
    return Measured(
        median_ratio(peer_seconds, our_seconds), milliseconds(our_seconds), milliseconds(peer_seconds), note
    )


def milliseconds(seconds: Sequence[float]) -> str:
    """The median as text."""
    median = 1000 * statistics.median(seconds)
    return f"{median:.0f} ms" if median >= 100 else f"{median:.3g} ms"


def peer(script: str, *args: str) -> None:
    """Run benchmarks/peers/``script`` in .venv-bench with one thread. ``args`` name the files that pass arrays.

    Raises `PeerMissing` if .venv-bench does not exist or the script cannot import its peer, and
    `subprocess.CalledProcessError` if the script fails.
    """
    if not (PEERS_VENV / ".installed").is_file():
        raise PeerMissing(f"{PEERS_VENV.name} is not installed (run make {PEERS_VENV.name}/.installed to see why)")
    try:
        alone(PEERS_VENV / "bin" / "python", str(HERE / "peers" / script), *args)
    except subprocess.CalledProcessError as failed:
        if failed.returncode == MISSING:
            raise PeerMissing(f"{script} cannot import its peer from {PEERS_VENV.name}") from failed
        raise


def alone(python: str | Path, *args: str) -> None:
    """Run ``python`` with ``args`` and one thread, in a new process that can import `benchmarks`."""
    environment = {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([python, *args], check=True, env=os.environ | environment)
