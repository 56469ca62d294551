"""Writes the log into a signal store while the run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from openharness.core.storage import MessagePool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core.interfaces import SignalStore
    from openharness.core.records import LogEntry, Outcome, Signal

__all__ = ("NoRecorder", "Recorder", "StoreRecorder")


class Recorder(Protocol):
    """Where the log goes."""

    async def write(self, signals: Sequence[Signal]) -> None:
        """Make signals durable."""

    async def finalize(self, outcome: Outcome, duration_ms: int) -> None:
        """Close the log."""


class NoRecorder:
    """Keeps nothing: for runs without a signal store, and for replays."""

    async def write(self, signals: Sequence[Signal]) -> None:
        """Do nothing."""

    async def finalize(self, outcome: Outcome, duration_ms: int) -> None:
        """Do nothing."""


class StoreRecorder:
    """Writes to one recording of a signal store, each message once.

    Args:
        store: The store.
        recording_id: The recording.
        durable: The signals it has already.
    """

    def __init__(self, store: SignalStore, recording_id: str, *, durable: Iterable[Signal] = ()) -> None:
        self._store = store
        self._recording_id = recording_id
        self._pool = MessagePool()
        self._pool.adopt(durable)

    async def write(self, signals: Sequence[Signal]) -> None:
        """Append signals, with the blobs they are the first to refer to; durable when it returns.

        A recorder that has failed is not used again: it takes what it could not write for written.
        """
        if not signals:
            return
        entries: list[LogEntry] = []
        for signal in signals:
            blobs, pooled = self._pool.pool(signal)
            entries += blobs
            entries.append(pooled)
        await self._store.append(self._recording_id, entries)

    async def finalize(self, outcome: Outcome, duration_ms: int) -> None:
        """Close the recording with the outcome of the run."""
        await self._store.finalize(self._recording_id, outcome=outcome, duration_ms=duration_ms)
