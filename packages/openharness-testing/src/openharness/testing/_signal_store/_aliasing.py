"""A store and its caller share no object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from openharness.core import Blob, digest
from openharness.testing._kit._explore import explore_chances
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import as_stored, load, make_request, make_signal, record

if TYPE_CHECKING:
    import random

    from openharness.core import LogEntry, Signal, SignalStore

__all__ = ("AliasingTests",)


def _payload() -> dict[str, Any]:
    return {"items": [1, {"deep": [2]}]}


def _message() -> dict[str, Any]:
    return {"role": "user", "content": ["before"]}


def _entries() -> list[LogEntry]:
    blob = Blob(digest(_message()), _message())
    return [make_signal(0, payload=_payload()), blob, make_request(1, [blob])]


def _spoil(entries: list[LogEntry]) -> None:
    cast("Any", entries[0]).payload["items"][1]["deep"].append(float("nan"))
    cast("Any", entries[1]).data["content"].append("spoiled")
    cast("Any", entries[2]).payload["request"]["messages"].clear()
    entries.clear()


def _spoil_read(signals: list[Signal]) -> None:
    signals[0].payload["items"][1]["deep"].append("spoiled")
    signals[1].payload["request"]["messages"][0]["content"].append("spoiled")


class AliasingTests(SignalStoreCase):
    """What one side changes afterwards, the other does not see."""

    async def _check_unspoiled(self, store: SignalStore, recording_id: str) -> None:
        expected = as_stored(_entries())
        assert_same(list((await load(store, recording_id)).signals), expected, what="signals")
        assert_same([signal async for signal in store.iter_signals(recording_id)], expected, what="signals")
        await store.append(recording_id, _entries())

    async def test_changing_what_was_appended_changes_nothing_stored(self, store: SignalStore) -> None:
        """The caller's entries, their payloads and their data may change after the append."""
        recording_id = await record(store)
        entries = _entries()
        await store.append(recording_id, entries)
        _spoil(entries)
        await self._check_unspoiled(store, recording_id)

    async def test_changing_what_was_read_changes_nothing_stored(self, store: SignalStore) -> None:
        """What was loaded or iterated belongs to the caller, messages from the pool included."""
        recording_id = await record(store, *_entries())
        for _ in range(2):
            _spoil_read(list((await load(store, recording_id)).signals))
            _spoil_read([signal async for signal in store.iter_signals(recording_id)])
        await self._check_unspoiled(store, recording_id)

    async def test_changing_entries_while_they_are_appended(self, store: SignalStore) -> None:
        """Entries are encoded before the first ``await``: another task's changes come too late."""
        for delay in range(6):
            recording_id = await record(store)
            entries = _entries()
            appending = asyncio.ensure_future(store.append(recording_id, entries))
            # The append has begun when its task has run once.
            await asyncio.sleep(0)
            for _ in range(delay):
                await asyncio.sleep(0)
            _spoil(entries)
            await self.soon(appending, "appending")
            await self._check_unspoiled(store, recording_id)

    async def test_changes_at_random_moments(self, store: SignalStore) -> None:
        """Entries of several appends and readings at once are changed, each at some moment: nothing stored changes."""

        async def check(chance: random.Random) -> int:
            recordings = [await record(store) for _ in range(3)]

            async def append(recording_id: str) -> None:
                entries = _entries()
                appending = asyncio.ensure_future(store.append(recording_id, entries))
                # The append has begun when its task has run once.
                for _ in range(1 + chance.randrange(8)):
                    await asyncio.sleep(0)
                _spoil(entries)
                await appending

            async def read(recording_id: str) -> None:
                for _ in range(chance.randrange(8)):
                    await asyncio.sleep(0)
                for signals in (
                    list((await load(store, recording_id)).signals),
                    [signal async for signal in store.iter_signals(recording_id)],
                ):
                    assert_same(signals, as_stored(_entries())[: len(signals)], what="signals")
                    if signals:
                        _spoil_read(signals)

            work = [one(recording_id) for recording_id in recordings for one in (append, read)]
            chance.shuffle(work)
            await self.soon(asyncio.gather(*work), "appending and reading at once")
            for recording_id in recordings:
                await self._check_unspoiled(store, recording_id)
                await store.delete_recording(recording_id)
            return len(work)

        await explore_chances(self, check, counted="interleavings")

    async def test_metadata_and_tags_are_copied(self, store: SignalStore) -> None:
        """What was given to `create_recording`, and what an info holds, may change afterwards."""
        metadata: dict[str, Any] = {"k": [1]}
        tags = ["a"]
        recording_id = await store.create_recording(run_id="run-1", tags=tags, metadata=metadata)
        metadata["k"].append("spoiled")
        tags.append("spoiled")
        for info in ((await load(store, recording_id)).info, *await store.list_recordings()):
            assert_same(info.metadata, {"k": [1]}, what="metadata")
            assert info.tags == ("a",)
            cast("Any", info.metadata)["k"].append("spoiled")
        assert_same((await load(store, recording_id)).info.metadata, {"k": [1]}, what="metadata")
