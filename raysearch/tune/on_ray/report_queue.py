"""The queue between the first of a trial's workers and the trial.

This module does not import torch, so that the actor's process starts quickly.
"""

import asyncio
from typing import Any


class ReportQueue:
    """A Ray actor that passes reports from a worker to the trial. The worker waits until its report has been used."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[tuple[dict[str, Any], asyncio.Event]] = asyncio.Queue()
        self._used: asyncio.Event | None = None
        """To be set when the trial has used the report that it has taken"""

    async def give(self, report: dict[str, Any]) -> None:
        """Called by the worker. Returns when the trial asks for the next report, and so has used this one."""
        used = asyncio.Event()
        await self._reports.put((report, used))
        await used.wait()

    async def next(self) -> dict[str, Any]:
        """Called by the trial. Returns the next report as soon as there is one."""
        if self._used is not None:
            self._used.set()
        report, self._used = await self._reports.get()
        return report
