"""Stops glibc from returning memory to the kernel between training steps.

A step on a CPU frees several hundred megabytes, and the next step allocates them again. By default glibc returns them
to the kernel in between. The page faults that follow took a fifth of a step (`make bench ONLY=full_step`).
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3). Setting one of them stops glibc from adjusting the other, so both are set."""
_LARGEST_FROM_HEAP = 32 * 2**20
"""Bytes. The largest mmap threshold that glibc accepts."""
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Make this process keep freed memory from now on. Does nothing without glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
