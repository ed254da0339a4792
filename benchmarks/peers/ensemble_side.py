"""One side of an ensemble row, in its own process: times one greedy selection and measures its memory (Linux).

    python SCRIPT LIBRARY FOUND.npz ROUNDS

LIBRARY: folder with probs.npy [models, samples, classes] and labels.npy [samples]. FOUND: output file with picks
[rounds], processor seconds, ``peak`` memory in bytes, and ``extra``: the peak minus the memory after loading the
library.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from benchmarks.peers import MISSING

Select = Callable[[list[np.ndarray], np.ndarray, int], Sequence[int]]
"""(probabilities [samples, classes] per model, labels, rounds) -> picks."""


def missing(error: ImportError) -> NoReturn:
    """End the script with the exit status for a missing peer."""
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(MISSING)


def run(select: Select, library: str, found: str, rounds: str, *, is_mapped: bool = False) -> None:
    """Time one call of ``select`` without a warm-up, as in a command, and write the results to ``found``."""
    probs = list(np.load(Path(library, "probs.npy"), mmap_mode="r" if is_mapped else None))
    labels = np.load(Path(library, "labels.npy"))
    loaded = memory("VmRSS")
    start = time.process_time()
    picks = select(probs, labels, int(rounds))
    seconds = time.process_time() - start
    peak = memory("VmHWM")
    np.savez(found, picks=[int(pick) for pick in picks], seconds=seconds, extra=peak - loaded, peak=peak)


def memory(field: str) -> int:
    """Current (VmRSS) or peak (VmHWM) memory of this process, in bytes.

    getrusage would not work: its peak includes that of the parent process.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
