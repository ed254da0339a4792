"""The user's mistakes: each says what had to hold, what was got, where, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake in what the user gave: a file, a value, a folder. Verbs print it and exit with 2.

    ``faults`` holds every mistake found; the message is all of them, a line each.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        return type(self), (self.faults,)


class SpaceError(UserError):
    """A space or config file that cannot be read, or holds values that cannot be."""


class DataError(UserError):
    """A data source that is missing, incomplete or inconsistent."""


class StudyError(UserError):
    """A folder that is no study, an existing study in the way, or a study of other data."""


class PredictionsError(UserError):
    """Stored predictions that cannot be read or do not belong together."""


class SetError(UserError):
    """A checkpoint set that is incomplete, altered, or no set at all."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known name, else the list of known names."""
    names = [str(k) for k in known]
    close = get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(names))}"


def name_known(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'? known: x, y"``: the nearest known name, where one is near, and all known names."""
    names = [str(k) for k in known]
    close = get_close_matches(str(name), names, n=1)
    nearest = f" did you mean {close[0]!r}?" if close else ""
    return f";{nearest} known: {', '.join(names)}"
