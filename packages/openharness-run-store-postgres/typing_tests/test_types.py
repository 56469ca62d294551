"""What type checkers see of the store; nothing here is ever run."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import assert_type

from openharness.core import RunQuery, RunRecord, RunStore
from openharness.run_store_postgres import PostgresRunStore

URL = "postgresql://agents@db.example/agents"


async def token() -> str:
    """A password that is asked for."""
    return "token"


def check_construction() -> None:
    """A store is made from a URL, and is a `RunStore`."""
    assert_type(PostgresRunStore(URL), PostgresRunStore)
    assert_type(PostgresRunStore(dsn=URL), PostgresRunStore)
    assert_type(PostgresRunStore(URL, schema="history", prefix="", max_connections=3, max_bytes=1024), PostgresRunStore)
    assert_type(PostgresRunStore(URL, ssl="verify-full", password="password"), PostgresRunStore)  # noqa: S106
    assert_type(PostgresRunStore(URL, ssl=ssl.create_default_context(), password=token), PostgresRunStore)
    assert_type(PostgresRunStore(URL, connect_timeout=5, command_timeout=2.5, reconnect_timeout=0), PostgresRunStore)
    assert_type(PostgresRunStore.from_url(f"{URL}?schema=history"), PostgresRunStore)
    store: RunStore = PostgresRunStore(URL)
    del store


def check_wrong_arguments() -> None:
    """Checkers refuse what the store would refuse."""
    PostgresRunStore()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PostgresRunStore(URL, ssl="verify")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PostgresRunStore(URL, "history")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PostgresRunStore(b"postgresql://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


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
