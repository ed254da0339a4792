"""A display for searches in the test's process: it keeps what it is told, and acts on it."""

from collections.abc import Callable
from typing import Any, Self

Event = dict[str, Any]


class WatchingDisplay:
    """``act`` is called for every event, in the search's own thread: the search waits for it."""

    def __init__(self, act: Callable[[Event], None]) -> None:
        self.act, self.events = act, list[Event]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def named(self, name: str, trial: int | None = None) -> list[Event]:
        return [event for event in self.events if event["event"] == name and trial in (None, event.get("trial"))]

    def started(self, number: int, config: Any, epochs_done: int) -> None:
        self._tell("started", trial=number, epochs_done=epochs_done)

    def reported(self, number: int, report: dict[str, Any]) -> None:
        self._tell("reported", trial=number, epoch=report["epoch"])

    def ended(self, number: int, result: dict[str, Any]) -> None:
        self._tell("ended", trial=number, state=result["state"])

    def interrupted(self, number: int, reason: str) -> None:
        self._tell("interrupted", trial=number, reason=reason)

    def estimated(self, ensemble: Any) -> None: ...

    def noted(self, text: str) -> None:
        self._tell("noted", text=text)

    def _tell(self, name: str, **facts: Any) -> None:
        event = {"event": name, **facts}
        self.events.append(event)
        self.act(event)
