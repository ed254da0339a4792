"""Runs one selection per side on one library. Shared by the ensemble rows.

Every side is a new process. It reads the same files, selects once by accuracy for all rounds, and reports its picks,
its processor time and its peak memory. Peers run once per library, because each takes about a minute. Ours runs before,
between and after them.
"""

import statistics
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.measure import Measured, PeerMissing, alone, milliseconds, peer
from benchmarks.rows.ensemble_library import Library

ROUNDS = 50
PEERS = {
    "AutoGluon": "ensemble_autogluon.py",
    "auto-sklearn": "ensemble_autosklearn.py",
    "phem": "ensemble_phem.py",
}
LEEWAY = 0.01
"""Largest accepted difference in accuracy. The sides break ties differently and therefore pick different models."""


@dataclass(frozen=True)
class Side:
    """Cost of one selection, and the accuracy of the mean of all its picks."""

    seconds: float
    extra_bytes: int
    """Peak memory of the process minus its memory right after loading the library."""
    peak_bytes: int
    picks: tuple[int, ...]
    accuracy: float


@dataclass(frozen=True)
class Race:
    """All sides of one library. ``missing`` gives the reason for each peer that is not installed."""

    ours: tuple[Side, ...]
    peers: dict[str, Side]
    missing: dict[str, str]

    def speedup(self) -> Measured:
        """How many times faster ours is than the fastest peer. Raises `PeerMissing` unless all peers ran."""
        if self.missing:
            raise PeerMissing("; ".join([*self.missing.values(), self._note()]))
        name, fastest = min(self.peers.items(), key=lambda item: item[1].seconds)
        our_seconds = [side.seconds for side in self.ours]
        ratio = fastest.seconds / statistics.median(our_seconds)
        return Measured(ratio, milliseconds(our_seconds), f"{milliseconds([fastest.seconds])} ({name})", self._note())

    def extra_bytes(self) -> tuple[int, int]:
        """Our largest extra memory and that of the most frugal peer. Raises `PeerMissing` unless all peers ran."""
        if self.missing:
            raise PeerMissing("; ".join(self.missing.values()))
        return max(side.extra_bytes for side in self.ours), min(side.extra_bytes for side in self.peers.values())

    def _note(self) -> str:
        times = sorted(1000 * side.seconds for side in self.ours)
        ours = f"ours {len(times)} times, {times[0]:.3g} to {times[-1]:.3g} ms, {_figures(self.ours[0])}"
        theirs = (f"{name} {side.seconds:.1f} s, {_figures(side)}" for name, side in self.peers.items())
        return "; ".join([ours, *theirs])


def _figures(side: Side) -> str:
    return f"accuracy {side.accuracy:.2%}, extra {side.extra_bytes / 1e6:.0f} MB"


@cache
def race(library: Library, rounds: int = ROUNDS) -> Race:
    """Run every side on ``library``. The result is cached for other rows that use the same library.

    Raises `AssertionError` if the sides differ in the first pick or in the final accuracy.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library.write(folder)
        ours, peers, missing = [our_side(folder, rounds)], dict[str, Side](), dict[str, str]()
        for peer_name, script in PEERS.items():
            try:
                peers[peer_name] = peer_side(script, folder, rounds)
            except PeerMissing as error:
                missing[peer_name] = str(error)
                continue
            ours.append(our_side(folder, rounds))
    for side in (*ours, *peers.values()):
        assert len(side.picks) == rounds, f"{len(side.picks)} picks in {rounds} rounds"
        assert side.picks[0] == ours[0].picks[0], "another best single model"
        assert abs(side.accuracy - ours[0].accuracy) < LEEWAY, f"{side.accuracy} against our {ours[0].accuracy}"
    return Race(tuple(ours), peers, missing)


def our_side(folder: Path, rounds: int, mapped: bool = False) -> Side:
    """Run our selection on the library in ``folder``, which is read into memory or memory-mapped."""
    found = folder / "found.npz"
    flags = ["mapped"] if mapped else []
    alone(sys.executable, "-m", "benchmarks.rows.ensemble_ours", str(folder), str(found), str(rounds), *flags)
    return read_side(folder, found)


def peer_side(script: str, folder: Path, rounds: int) -> Side:
    """Run the selection of a script in benchmarks/peers. Raises `PeerMissing`."""
    found = folder / "found.npz"
    peer(script, str(folder), str(found), str(rounds))
    return read_side(folder, found)


def read_side(folder: Path, found: Path) -> Side:
    """Read the results of a side, and compute the accuracy of its picks by the same rule for all sides."""
    its = np.load(found)
    picks = tuple(its["picks"].tolist())
    accuracy = accuracy_of(picks, folder)
    return Side(float(its["seconds"]), int(its["extra"]), int(its["peak"]), picks, accuracy)


def accuracy_of(picks: tuple[int, ...], folder: Path) -> float:
    """Accuracy of the mean of all picks, summed in float64."""
    probs = np.load(folder / "probs.npy", mmap_mode="r")
    total = np.zeros(probs.shape[1:])
    for model, count in enumerate(np.bincount(picks)):
        if count:
            total += count * probs[model].astype(np.float64)
    return float((total.argmax(axis=1) == np.load(folder / "labels.npy")).mean())
