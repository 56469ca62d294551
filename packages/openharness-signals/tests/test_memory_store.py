"""What `MemorySignalStore` does beyond the contract."""

from __future__ import annotations

import pytest
from signals_support import delta, fill, load, sample_log, signal

from openharness.core import InvalidValueError, StoreClosedError
from openharness.signals import FileSignalStore, MemorySignalStore


def test_its_url() -> None:
    """``memory:`` makes an empty store; anything after it could mean nothing and is refused."""
    assert repr(MemorySignalStore.from_url("memory:")) == "MemorySignalStore(0 recordings)"
    for url in ("memory:x", "memory", "file:x", ""):
        with pytest.raises(InvalidValueError):
            MemorySignalStore.from_url(url)


async def test_closing_it_forgets_everything() -> None:
    """After a close it holds nothing, and an iteration that was going on ends with an error."""
    store = MemorySignalStore()
    recording_id = await fill(store, [delta(0, "a"), delta(1, "b")])
    signals = store.iter_signals(recording_id)
    assert (await anext(signals)).seq == 0
    await store.close()
    with pytest.raises(StoreClosedError):
        await anext(signals)


async def test_it_gives_what_the_store_in_files_gives(tmp_path: object) -> None:
    """The same log in memory and in files reads the same, to the type of every number."""
    results = []
    for store in (MemorySignalStore(), FileSignalStore(f"{tmp_path}/recordings")):
        recording_id = await fill(store, sample_log(), name="my-test", tags="one", metadata={"k": 1.0})
        await store.add_checkpoint(recording_id, "here", 3)
        await store.finalize(recording_id, outcome="completed", duration_ms=1)
        recording = await load(store, recording_id)
        info = recording.info
        results.append(
            repr(
                (recording.signals, recording.checkpoints, info.tags, info.metadata, info.provider_types, info.outcome)
            )
        )
    assert results[0] == results[1]


async def test_a_reader_is_not_kept_busy_by_its_own_appends() -> None:
    """Who appends a signal for each one read comes to an end."""
    store = MemorySignalStore()
    recording_id = await fill(store, [signal(0), signal(1)])
    seen = 0
    async for _ in store.iter_signals(recording_id):
        await store.append(recording_id, [signal(2 + seen)])
        seen += 1
    assert seen == 2
