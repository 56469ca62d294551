"""What type checkers see of the store; nothing here is ever run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

from openharness.core import Recording, RecordingInfo, Signal, SignalStore
from openharness.signal_store_postgres import PostgresSignalStore


def check_construction() -> None:
    """A store is made from a URL, and is a `SignalStore`."""
    assert_type(PostgresSignalStore("postgresql://host/database"), PostgresSignalStore)
    assert_type(
        PostgresSignalStore("", schema="runs", password=lambda: "secret", ssl="verify-full"), PostgresSignalStore
    )
    assert_type(PostgresSignalStore.from_url("postgresql://host/database?schema=runs"), PostgresSignalStore)
    store: SignalStore = PostgresSignalStore("")
    del store


def check_wrong_arguments() -> None:
    """Checkers refuse what the store would refuse."""
    PostgresSignalStore()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PostgresSignalStore("", ssl="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PostgresSignalStore("", "schema")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_methods(store: PostgresSignalStore, signal: Signal) -> None:
    """The methods have the types of the interface."""
    async with store as opened:
        assert_type(opened, PostgresSignalStore)
    assert_type(await store.create_recording(run_id="run"), str)
    assert_type(await store.append("rec", [signal]), None)
    assert_type(await store.load_recording("rec"), Recording | None)
    assert_type(store.iter_signals("rec", patterns="text:*"), AsyncIterator[Signal])
    assert_type(await store.list_recordings(), list[RecordingInfo])
    assert_type(await store.find_recording("rain"), RecordingInfo | None)
