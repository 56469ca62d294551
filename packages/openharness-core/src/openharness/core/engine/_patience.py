"""The timeout of one attempt, which stands still while a provider waits for its turn."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("Patience",)


class Patience:
    """Stops and starts a timeout.

    Args:
        limit: The timeout, entered by the task that waits.
    """

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._waiting = 0
        self._left: float | None = None

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Let the timeout stand still within the block; blocks may overlap."""
        loop = asyncio.get_running_loop()
        self._waiting += 1
        if self._waiting == 1:
            at = self._limit.when()
            self._left = None if at is None else at - loop.time()
            self._set(None)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._set(None if self._left is None else loop.time() + self._left)

    def _set(self, when: float | None) -> None:
        # One that has run out, or whose attempt has ended, stays as it is.
        with suppress(RuntimeError):
            self._limit.reschedule(when)
