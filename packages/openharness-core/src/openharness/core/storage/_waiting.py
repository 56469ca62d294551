"""Tasks of one process that wait for recordings to change."""

from __future__ import annotations

import asyncio

__all__ = ("ChangeWaiters",)


class ChangeWaiters:
    """Those who wait for a change, by the recording; for `SignalStore.wait_for_change`."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def wait(self, recording_id: str, seconds: float | None = None) -> None:
        """Return when the recording is said to have changed, or when the time is over.

        Args:
            recording_id: The recording.
            seconds: How long to wait at most; None for as long as it takes.
        """
        changed = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(recording_id, set()).add(changed)
        try:
            await asyncio.wait((changed,), timeout=seconds)
        finally:
            waiting = self._waiting.get(recording_id)
            if waiting is not None:
                waiting.discard(changed)
                if not waiting:
                    del self._waiting[recording_id]

    def wake(self, recording_id: str) -> None:
        """Say that a recording has changed."""
        for future in self._waiting.pop(recording_id, ()):
            if not future.done():
                future.set_result(None)

    def wake_all(self) -> None:
        """Say that everything has changed: the store is closed."""
        for recording_id in list(self._waiting):
            self.wake(recording_id)
