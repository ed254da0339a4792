"""What is looked at beside the trials, in threads of the driver: the ensemble so far, and the disk."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysearch.errors import UserError
from raysearch.paths import StudyPaths
from raysearch.train.disk import DRIVER_RESERVE, free_bytes
from raysearch.tune.listener import Listener
from raysearch.tune.store.gain import estimate

EVERY_S = 3.0
SHARE_OF_TIME = 0.05
"""Share of the search's time that looks at the ensemble may take of one core."""

_log = logging.getLogger(__name__)


@contextmanager
def watching(paths: StudyPaths, listener: Listener, *others: Callable[[], float]) -> Iterator[None]:
    """Tell ``listener`` of the ensemble whenever trials have ended, and of trials that wait for room on the disk.

    ``others``: what is called beside, again and again after the seconds that it returns.
    """
    ends = threading.Event()
    looks = (EnsembleWatch(paths, listener, ends).look, DiskWatch(paths, listener).look, *others)
    threads = [threading.Thread(target=_repeat, args=[look, ends], daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join(timeout=1.0)  # a look at a large library may go on; nobody hears of it any more


def _repeat(look: Callable[[], float], ends: threading.Event) -> None:
    """``look`` until the end; it returns the seconds until its next turn."""
    while not ends.wait(look()):
        pass


class EnsembleWatch:
    """Looks when trials have ended since the last look, and never more often than `SHARE_OF_TIME` allows."""

    def __init__(self, paths: StudyPaths, listener: Listener, ends: threading.Event) -> None:
        self.paths, self.listener, self.ends = paths, listener, ends
        self._ended = 0

    def look(self) -> float:
        ended = sum(folder.result.is_file() for _, folder in self.paths.trials())
        if ended == self._ended:
            return EVERY_S
        self._ended = ended
        began = time.monotonic()
        try:
            now = estimate(self.paths)
        except UserError:  # nothing to select from yet; what is wrong with files, raysearch.ensemble says
            return EVERY_S
        except Exception as error:  # a file that went away meanwhile, say: there will be another look
            _log.debug("no look at the ensemble: %s", error)
            return EVERY_S
        if not self.ends.is_set():
            self.listener.estimated(now)
        return max(EVERY_S, (time.monotonic() - began) / SHARE_OF_TIME)


class DiskWatch:
    """Says once that trials wait for room on the disk, and once that none does any more."""

    def __init__(self, paths: StudyPaths, listener: Listener) -> None:
        self.paths, self.listener = paths, listener
        self._is_paused = False

    def look(self) -> float:
        trials = self.paths.trials()
        waiting = [str(number) for number, trial in trials if any(one.paused.is_file() for one in trial.trainings)]
        is_paused = bool(waiting) or free_bytes(self.paths.root) < DRIVER_RESERVE
        if is_paused and not self._is_paused:
            names = f" (trial {', '.join(waiting)})" if waiting else ""
            self.listener.noted(
                f"{self.paths.root}: the disk is full; paused{names} until there is room: nothing is lost, remove what "
                "is not needed"
            )
        elif self._is_paused and not is_paused:
            self.listener.noted(f"{self.paths.root}: there is room on the disk again; trials go on")
        self._is_paused = is_paused
        return EVERY_S
