"""What type checkers see of the store; nothing here is ever run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

from openharness.core import Recording, RecordingInfo, Signal, SignalStore
from openharness.signal_store_sqlite import SqliteSignalStore


def check_construction() -> None:
    """A store is made from a path or a URL, and is a `SignalStore`."""
    assert_type(SqliteSignalStore("runs.db"), SqliteSignalStore)
    path = Path("runs.db")
    assert_type(SqliteSignalStore(path, durability="process", busy_timeout=5, max_bytes=1024), SqliteSignalStore)
    assert_type(SqliteSignalStore.from_url("sqlite:///runs.db"), SqliteSignalStore)
    store: SignalStore = SqliteSignalStore("runs.db")
    del store


def check_wrong_arguments() -> None:
    """Checkers refuse what the store would refuse."""
    SqliteSignalStore()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SqliteSignalStore("runs.db", durability="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SqliteSignalStore("runs.db", "process")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_methods(store: SqliteSignalStore, signal: Signal) -> None:
    """The methods have the types of the interface."""
    async with store as opened:
        assert_type(opened, SqliteSignalStore)
    assert_type(await store.create_recording(run_id="run"), str)
    assert_type(await store.append("rec", [signal]), None)
    assert_type(await store.load_recording("rec"), Recording | None)
    assert_type(store.iter_signals("rec", patterns="text:*"), AsyncIterator[Signal])
    assert_type(await store.list_recordings(), list[RecordingInfo])
    assert_type(await store.find_recording("rain"), RecordingInfo | None)
    assert_type(store.filename, Path)
