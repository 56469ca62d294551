"""How long the end of a run may take, and who may take how much of that."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("GRACE", "PATIENCE", "RECORD", "RECORDING", "Shutdown")

RECORDING: Final = 0.6
"""The part of the time in which the last signals must be written, and the recording closed if there is a run store."""

PATIENCE: Final = 0.8
"""The part of the time after which providers, tools and subscribers are given up. They end while the stores are at work."""

RECORD: Final = 0.9
"""The part of the time after which the stores are given up."""

GRACE: Final = 0.05
"""The part that subscribers have to end in after they were given up."""


class Shutdown:
    """The time for the end of one run. It begins once, whatever the run is ended by, and everything shares it.

    Args:
        seconds: How long the end may take.

    Attributes:
        seconds: The same.
        begun: Whether the run is ending.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began: float | None = None

    @property
    def begun(self) -> bool:
        """Whether the run is ending."""
        return self._began is not None

    def begin(self) -> float:
        """Let the time begin, unless it has begun, and return when it did, by the clock of the event loop."""
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        return self._began

    def at(self, part: float) -> float:
        """Return when this part of the time is over, by the clock of the event loop; it begins now, if it has not."""
        return self.begin() + part * self.seconds

    def left(self, part: float) -> float:
        """Return the seconds that are left until this part of the time is over; 0 afterwards."""
        return max(0.0, self.at(part) - asyncio.get_running_loop().time())

    @contextmanager
    def standing_still(self) -> Generator[None]:
        """Let the block take no time of it: what is computed in there takes as long as the log is long."""
        began, now = self.begin(), asyncio.get_running_loop().time
        entered = now()
        try:
            yield
        finally:
            self._began = began + now() - entered
