"""One side of an ensemble row, in a process of its own: a greedy selection, timed once, and its memory (Linux).

    python SCRIPT LIBRARY FOUND.npz ROUNDS

LIBRARY: a folder with probs.npy [models, samples, classes] and labels.npy [samples]. FOUND: picks [rounds], processor
seconds, ``extra`` (the process's peak less what it held when the library was loaded) and ``peak``, in bytes.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from benchmarks.peers import MISSING

Select = Callable[[list[np.ndarray], np.ndarray, int], Sequence[int]]
"""From probabilities [samples, classes] a model, labels and rounds to picks."""


def missing(error: ImportError) -> NoReturn:
    """End the script: the peer is not there."""
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(MISSING)


def run(select: Select, library: str, found: str, rounds: str, *, is_mapped: bool = False) -> None:
    """Time one call of ``select``, cold as it is in a command, and write what is found."""
    probs = list(np.load(Path(library, "probs.npy"), mmap_mode="r" if is_mapped else None))
    labels = np.load(Path(library, "labels.npy"))
    loaded = memory("VmRSS")
    start = time.process_time()
    picks = select(probs, labels, int(rounds))
    seconds = time.process_time() - start
    peak = memory("VmHWM")
    np.savez(found, picks=[int(pick) for pick in picks], seconds=seconds, extra=peak - loaded, peak=peak)


def memory(field: str) -> int:
    """Bytes that this process holds (VmRSS) or has held at most (VmHWM).

    Not getrusage: its peak starts at that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
