"""Threads of the driver that watch the search: the ensemble of the ended trials, and the disk."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysearch.errors import UserError
from raysearch.paths import StudyPaths
from raysearch.train.disk import DRIVER_RESERVE, free_bytes
from raysearch.tune.listener import Listener
from raysearch.tune.store.gain import estimate_ensemble

EVERY_S = 3.0
"""Seconds between two checks."""
SHARE_OF_TIME = 0.05
"""Largest share of one core's time that estimates of the ensemble may take."""

_log = logging.getLogger(__name__)


@contextmanager
def watching(paths: StudyPaths, listener: Listener, *others: Callable[[], float]) -> Iterator[None]:
    """Tell ``listener`` about the ensemble when trials have ended, and about trials that wait for disk space.

    ``others`` are further checks. Each runs in its own thread, again after the number of seconds that it returns.
    """
    ends = threading.Event()
    checks = (EnsembleWatch(paths, listener, ends).check, DiskWatch(paths, listener).check, *others)
    threads = [threading.Thread(target=_repeat, args=[check, ends], daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join(timeout=1.0)  # an estimate with many candidates may take longer; its result is discarded


def _repeat(check: Callable[[], float], ends: threading.Event) -> None:
    """Call ``check``, which returns the seconds until its next call, until ``ends`` is set."""
    while not ends.wait(check()):
        pass


class EnsembleWatch:
    """Estimates the ensemble when further trials have ended, but not more often than `SHARE_OF_TIME` allows."""

    def __init__(self, paths: StudyPaths, listener: Listener, ends: threading.Event) -> None:
        self.paths, self.listener, self.ends = paths, listener, ends
        self._ended = 0

    def check(self) -> float:
        """Returns the seconds until the next check."""
        ended = sum(folder.result.is_file() for _, folder in self.paths.trials())
        if ended == self._ended:
            return EVERY_S
        self._ended = ended
        began = time.monotonic()
        try:
            ensemble = estimate_ensemble(self.paths)
        except UserError:  # no predictions yet, or unreadable ones: raysearch.ensemble reports those
            return EVERY_S
        except Exception as error:  # for example, a trial removed a file meanwhile; the next check tries again
            _log.debug("no estimate of the ensemble: %s", error)
            return EVERY_S
        if not self.ends.is_set():
            self.listener.estimated(ensemble)
        return max(EVERY_S, (time.monotonic() - began) / SHARE_OF_TIME)


class DiskWatch:
    """Tells the listener once when trials start to wait for disk space, and once when none waits."""

    def __init__(self, paths: StudyPaths, listener: Listener) -> None:
        self.paths, self.listener = paths, listener
        self._is_paused = False

    def check(self) -> float:
        """Returns the seconds until the next check."""
        trials = self.paths.trials()
        waiting = [str(number) for number, trial in trials if any(one.paused.is_file() for one in trial.trainings)]
        is_paused = bool(waiting) or free_bytes(self.paths.root) < DRIVER_RESERVE
        if is_paused and not self._is_paused:
            names = f" (trial {', '.join(waiting)})" if waiting else ""
            self.listener.noted(
                f"{self.paths.root}: the disk is full; training is paused{names} and nothing is lost. Free some space "
                "to continue"
            )
        elif self._is_paused and not is_paused:
            self.listener.noted(f"{self.paths.root}: the disk has free space again; training continues")
        self._is_paused = is_paused
        return EVERY_S
