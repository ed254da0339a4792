"""Pauses a training while the disk is full, instead of failing it. Unwritten results stay in memory."""

import errno
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from raysearch.io import write_text
from raysearch.paths import TrialPaths

T = TypeVar("T")

RESERVE = 32 * 2**20
"""Bytes that a training leaves free for other writers, such as the study's database."""
DRIVER_RESERVE = RESERVE // 4
"""Bytes that the driver of a search needs. Less than `RESERVE`, so that trainings pause before the driver does."""
POLL_S = 2.0
"""Seconds between two checks of the free space."""
RETRY_S = 60.0
"""Seconds after which a write is tried again even if the free space has not grown: a quota does not show in it."""
DISK_FULL_PHRASES = ("no space left", "os error 28", "disk is full", "quota exceeded", "inline_container")
"""Parts of the messages of a full disk from several libraries. The last is `torch.save`'s for any failed write."""

_log = logging.getLogger(__name__)


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed because the disk or the user's quota is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(word in str(error).lower() for word in DISK_FULL_PHRASES)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of ``folder``, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def retry_while_disk_full(paths: TrialPaths, write: Callable[[], T]) -> T:
    """Call ``write`` and return its result. While the disk is full, wait and call it again: it must be repeatable.

    The file `paths.paused` exists while this waits. Other errors are raised.
    """
    needed, is_paused = RESERVE, False
    try:
        while True:
            if free_bytes(paths.root) < needed:
                is_paused = True
                _wait_for(needed, paths)
            try:
                return write()
            except Exception as error:
                if not is_disk_full(error):
                    raise
            needed = max(RESERVE, free_bytes(paths.root) + 1)  # this much was not enough: wait for more
    finally:
        if is_paused:
            paths.paused.unlink(missing_ok=True)
            _log.warning("%s: resumes, the disk has free space", paths.root)


def wait_for_disk_space(folder: Path) -> None:
    """Wait until the disk of ``folder`` has space for the study's database and a few small files."""
    while free_bytes(folder) < DRIVER_RESERVE:
        time.sleep(POLL_S)


def _wait_for(needed: int, paths: TrialPaths) -> None:
    free = free_bytes(paths.root)
    text = f"waits for disk space: {free / 1e6:.1f} MB are free, {needed / 1e6:.1f} MB are needed"
    _log.warning("%s: %s", paths.root, text)
    with suppress(OSError):  # the disk may be too full even for this file
        write_text(paths.paused, text)
    began = time.monotonic()
    while free_bytes(paths.root) < needed and time.monotonic() - began < RETRY_S:
        time.sleep(POLL_S)
