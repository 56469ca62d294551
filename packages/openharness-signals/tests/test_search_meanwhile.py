"""Recordings that are appended to while they are searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signals_support import fill, signal

from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from openharness.core import Signal

LOG = [signal(seq, name="text:delta" if seq < 3 else "agent:error") for seq in range(4)]


class Overtaken(FileSignalStore):
    """A store whose signals are read right after somebody has appended one."""

    async def iter_signals(self, recording_id: str, **options: Any) -> AsyncIterator[Signal]:
        """Stand for that of the store."""
        await FileSignalStore(self.folder).append(recording_id, LOG[3:])
        async for one in super().iter_signals(recording_id, **options):
            yield one


async def test_what_is_found_is_in_the_recording_that_is_returned(tmp_path: Path) -> None:
    """Signals are looked for among those that the recording has, not among those that others append meanwhile."""
    store = Overtaken(tmp_path)
    recording_id = await fill(store, LOG[:3])
    assert await store.search_recordings(["text:*", "agent:*"]) == []
    (found,) = await store.search_recordings(["text:*", "agent:*"])
    assert (found.info.id, found.info.signal_count, found.seqs) == (recording_id, 4, (0, 3))
