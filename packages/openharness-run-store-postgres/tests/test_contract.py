"""The contract of run stores, over a real server."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import asyncpg
import pytest

from openharness.run_store_postgres import PostgresRunStore
from openharness.testing import Ability, RunStoreContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.testing.postgres import PostgresPlace

# Each test has tables of its own, which take the server longer to make than all that the test does.
pytestmark = pytest.mark.slow


class TestPostgresRunStore(RunStoreContract):
    """`PostgresRunStore` keeps every promise of a run store."""

    abilities = frozenset({Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS})
    max_bytes = 256 * 1024
    # Each random sequence has tables of its own to be made.
    examples = 5

    @pytest.fixture
    def store(self, reopen: Callable[[], PostgresRunStore]) -> PostgresRunStore:
        """Return a store on new tables."""
        return reopen()

    @pytest.fixture
    def reopen(self, openharness_postgres: PostgresPlace) -> Callable[[], PostgresRunStore]:
        """Return what makes another store on the same tables."""
        place = openharness_postgres
        return functools.partial(PostgresRunStore, place.dsn, schema=place.schema, max_bytes=self.max_bytes)

    @pytest.fixture
    def damage(self, openharness_postgres: PostgresPlace) -> Callable[[str], Awaitable[None]]:
        """Return what changes a byte of a stored state."""
        place = openharness_postgres

        async def damage(run_id: str) -> None:
            connection = await asyncpg.connect(place.dsn)
            await connection.execute(
                f"UPDATE {place.schema}.openharness_runs SET state = replace(state, 'state', 'stale') WHERE id = $1",  # noqa: S608 - a name of our own
                run_id,
            )
            await connection.close()

        return damage
