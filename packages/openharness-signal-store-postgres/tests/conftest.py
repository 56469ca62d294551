"""What the tests of this package share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from openharness.core import Signal, SignalSource
from openharness.postgres import Channel
from openharness.signal_store_postgres import PostgresSignalStore
from openharness.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from openharness.postgres import Row
    from openharness.testing.postgres import PostgresPlace


@pytest.fixture
def new_store(openharness_postgres: PostgresPlace) -> Callable[..., PostgresSignalStore]:
    """Return what makes a store on the tables of this test."""
    place = openharness_postgres
    return functools.partial(PostgresSignalStore, place.dsn, schema=place.schema)


@pytest.fixture
def sql(openharness_postgres: PostgresPlace) -> Callable[..., Awaitable[list[Any]]]:
    """Return what runs one statement from outside of the store, in the schema of this test."""

    async def run(statement: str, *arguments: object) -> list[Any]:
        connection = await asyncpg.connect(
            openharness_postgres.dsn, server_settings={"search_path": openharness_postgres.schema}
        )
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    return run


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that every statement of every channel is added to."""
    seen: list[str] = []
    honest = Channel.fetch

    async def fetch(self: Channel, sql: str, *arguments: object) -> list[Row]:
        seen.append(sql)
        return await honest(self, sql, *arguments)

    monkeypatch.setattr(Channel, "fetch", fetch)
    return seen


@pytest.fixture(scope="package")
def own_server() -> Iterator[PostgresServer]:
    """Return a server that tests may stop, if they start it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def make() -> Callable[..., list[Signal]]:
    """Return what makes signals that follow each other."""

    def signals(count: int, *, start: int = 0, name: str = "text:delta", payload: object = None) -> list[Signal]:
        source = SignalSource("agent", "provider", None, "agent#1")
        return [
            Signal(f"run/{seq}", name=name, payload={"n": seq} if payload is None else payload, timestamp=seq, seq=seq,
                   source=source)
            for seq in range(start, start + count)
        ]  # fmt: skip

    return signals
