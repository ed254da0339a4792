"""Keeps the C library from giving memory back between training steps.

A step on a CPU frees some hundred megabytes at its end and asks for them again in the next. glibc returns them to the
kernel meanwhile, and the page faults of getting them back took a fifth of a step of the whole method (`make bench
ONLY=full_step`).
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3). Both are set: giving one of them alone switches off glibc's own adjustment of the other."""
_LARGEST_FROM_HEAP = 32 * 2**20
"""Bytes; the largest that glibc takes for the mmap threshold."""
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """From now on this process keeps what it has freed, for its next step. Without glibc: nothing happens."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
