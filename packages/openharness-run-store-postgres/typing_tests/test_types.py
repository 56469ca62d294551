"""What type checkers see of the store; nothing here is ever run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

from openharness.core import RunQuery, RunRecord, RunStore
from openharness.run_store_postgres import PostgresRunStore


def check_construction() -> None:
    """A store is made from a path or a URL, and is a `RunStore`."""
    assert_type(PostgresRunStore("runs.db"), PostgresRunStore)
    assert_type(PostgresRunStore(filename="runs.db"), PostgresRunStore)
    assert_type(
        PostgresRunStore(Path("runs.db"), durability="process", busy_timeout=5, max_bytes=1024), PostgresRunStore
    )
    assert_type(PostgresRunStore.from_url("sqlite:///runs.db"), PostgresRunStore)
    store: RunStore = PostgresRunStore("runs.db")
    del store


def check_wrong_arguments() -> None:
    """Checkers refuse what the store would refuse."""
    PostgresRunStore()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PostgresRunStore("runs.db", durability="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PostgresRunStore("runs.db", "process")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PostgresRunStore(b"runs.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_methods(store: PostgresRunStore, run: RunRecord) -> None:
    """The methods have the types of the interface."""
    async with store as opened:
        assert_type(opened, PostgresRunStore)
    assert_type(await store.save_run(run), None)
    assert_type(await store.get_run("run_1"), RunRecord | None)
    assert_type(await store.list_runs(), list[RunRecord])
    assert_type(await store.list_runs(RunQuery(limit=5)), list[RunRecord])
    assert_type(store.iter_runs(), AsyncIterator[RunRecord])
    assert_type(await store.delete_run("run_1"), None)
    assert_type(await store.count_runs(), int)
    assert_type(await store.prune_runs(keep_last=5), int)
    assert_type(await store.close(), None)
    assert_type(store.filename, Path)
