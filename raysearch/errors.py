"""Errors caused by user input. Each message states the place, the expected value, the value got and a remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Invalid user input: a file, a value or a folder. Commands print it and exit with code 2.

    ``faults`` lists every fault found. The message has one line per fault.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return type(self), (self.faults,)


class SpaceError(UserError):
    """A space or config file that cannot be read or holds invalid values."""


class DataError(UserError):
    """A data source that is missing, incomplete or inconsistent."""


class StudyError(UserError):
    """A folder that is not a study, a folder that already holds one, or a study made with different data."""


class PredictionsError(UserError):
    """Stored predictions that cannot be read or do not match."""


class SetError(UserError):
    """A checkpoint set that is incomplete or altered, or a folder that is not a set."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` if a known name is similar, otherwise ``"; known: x, y"``."""
    names = [str(k) for k in known]
    close = get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(names))}"


def name_known(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'? known: x, y"``: a similar known name, if there is one, and all known names."""
    names = [str(k) for k in known]
    hint = did_you_mean(name, names)
    return f"{hint} known: {', '.join(names)}" if "did you mean" in hint else hint
