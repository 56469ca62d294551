"""What the tests of this package share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from openharness.postgres import Channel
from openharness.run_store_postgres import PostgresRunStore
from openharness.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from openharness.postgres import Row
    from openharness.testing.postgres import PostgresPlace


@pytest.fixture
def new_store(openharness_postgres: PostgresPlace) -> Callable[..., PostgresRunStore]:
    """Return what makes a store on the tables of this test."""
    place = openharness_postgres
    return functools.partial(PostgresRunStore, place.dsn, schema=place.schema)


@pytest.fixture
def sql(openharness_postgres: PostgresPlace) -> Callable[..., Awaitable[list[Any]]]:
    """Return what runs one statement from outside of the store; ``{s}`` in it is the schema of this test."""

    async def run(statement: str, *arguments: object) -> list[Any]:
        connection = await asyncpg.connect(openharness_postgres.dsn)
        try:
            rows = await connection.fetch(statement.format(s=openharness_postgres.schema), *arguments)
            return [tuple(row) for row in rows]
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
