"""Iterating over the recordings of a store that has no index of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from openharness.core import RecordingInfo, RecordingQuery, SignalStore, StoreClosedError
from openharness.signals import FileSignalStore, MemorySignalStore

NewStore = Callable[[Path], SignalStore]


def in_memory(folder: Path) -> SignalStore:
    """Make a store in memory, which needs no folder."""
    del folder
    return MemorySignalStore()


STORES = [pytest.param(in_memory, id="memory"), pytest.param(FileSignalStore, id="files")]


@pytest.mark.parametrize("new_store", STORES)
async def test_the_recordings_are_looked_for_once(
    new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages the default would ask for, each of which would look at every recording, it is done once."""
    monkeypatch.setattr("openharness.core.interfaces._signal_store._PAGE", 2)
    async with new_store(tmp_path) as store:
        for number in range(7):
            await store.create_recording(run_id=f"run-{number}")
        looked: list[RecordingQuery | None] = []
        honest = store.list_recordings

        async def list_recordings(query: RecordingQuery | None = None) -> list[RecordingInfo]:
            looked.append(query)
            return await honest(query)

        monkeypatch.setattr(store, "list_recordings", list_recordings)
        infos = [info async for info in store.iter_recordings()]
        assert len(infos) == 7
        assert len(looked) == 1
        assert infos == await honest()
        assert [match.info for match in await store.search_recordings("**")] == []
        assert len(looked) <= 2


@pytest.mark.parametrize("new_store", STORES)
async def test_a_store_that_is_closed_ends_the_iteration(new_store: NewStore, tmp_path: Path) -> None:
    """Who goes on after the store was closed is told so."""
    store = new_store(tmp_path)
    for number in range(2):
        await store.create_recording(run_id=f"run-{number}")
    infos = aiter(store.iter_recordings())
    await anext(infos)
    await store.close()
    with pytest.raises(StoreClosedError):
        await anext(infos)
