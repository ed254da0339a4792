"""Where the first of a trial's workers and the trial itself meet. No torch: its process has to start quickly."""

import asyncio
from typing import Any


class ReportQueue:
    """A Ray actor. A look goes from the worker to the trial; the worker waits until the trial is done with it."""

    def __init__(self) -> None:
        self._given: asyncio.Queue[tuple[dict[str, Any], asyncio.Event]] = asyncio.Queue()
        self._taken: asyncio.Event | None = None

    async def give(self, look: dict[str, Any]) -> None:
        """The worker's call; returns when the trial asks for the next look, and so is done with this one."""
        taken = asyncio.Event()
        await self._given.put((look, taken))
        await taken.wait()

    async def next(self) -> dict[str, Any]:
        """The trial's call; returns when there is a look."""
        if self._taken is not None:
            self._taken.set()
        look, self._taken = await self._given.get()
        return look
