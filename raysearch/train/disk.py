"""A full disk is waited for, not died of: what was trained stays in memory until it can be written."""

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
"""Bytes that a training leaves free for what others write there, such as a study's database."""
DRIVER_RESERVE = RESERVE // 4
"""Bytes that a search's driver wants for itself: less than what trainings leave, so that they wait first."""
POLL_S = 2.0
RETRY_S = 60.0
"""Seconds after which it is tried again, even where the disk shows no more room than before."""
DISK_FULL_PHRASES = ("no space left", "os error 28", "disk is full", "quota exceeded", "inline_container")
"""How libraries tell of a full disk; the last is torch.save's, whatever went wrong with its file."""

_log = logging.getLogger(__name__)


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed because the disk, or the user's share of it, is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(word in str(error).lower() for word in DISK_FULL_PHRASES)


def free_bytes(folder: Path) -> int:
    """What may still be written where ``folder`` lies, or its nearest parent that is there."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def retry_while_disk_full(paths: TrialPaths, write: Callable[[], T]) -> T:
    """What ``write`` returns; while the disk is full, wait and do it again: it must be repeatable.

    `paths.paused` stands meanwhile. Other errors are raised.
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
            needed = max(RESERVE, free_bytes(paths.root) + 1)
    finally:
        if is_paused:
            paths.paused.unlink(missing_ok=True)
            _log.warning("%s: goes on, there is room on the disk", paths.root)


def wait_for_disk_space(folder: Path) -> None:
    """Return when there is room for a study's database and a few small files where ``folder`` lies."""
    while free_bytes(folder) < DRIVER_RESERVE:
        time.sleep(POLL_S)


def _wait_for(needed: int, paths: TrialPaths) -> None:
    free = free_bytes(paths.root)
    text = f"waits for room on the disk: {free / 1e6:.1f} MB are free, more than {needed / 1e6:.1f} MB are needed"
    _log.warning("%s: %s", paths.root, text)
    with suppress(OSError):  # where not even this can be written
        write_text(paths.paused, text)
    began = time.monotonic()
    while free_bytes(paths.root) < needed and time.monotonic() - began < RETRY_S:
        time.sleep(POLL_S)
