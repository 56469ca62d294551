"""The contract of signal stores, over a real server."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import asyncpg
import pytest

from openharness.signal_store_postgres import PostgresSignalStore
from openharness.testing import Ability, SignalStoreContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.testing.postgres import PostgresPlace

# Each test has tables of its own, which take the server longer to make than all that the test does.
pytestmark = pytest.mark.slow


class TestPostgresSignalStore(SignalStoreContract):
    """`PostgresSignalStore` keeps every promise of a signal store."""

    abilities = frozenset(
        {Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS, Ability.RESTORE}
    )
    max_bytes = 256 * 1024
    # Each random sequence has tables of its own to be made.
    examples = 5

    @pytest.fixture
    def store(self, reopen: Callable[[], PostgresSignalStore]) -> PostgresSignalStore:
        """Return a store on new tables."""
        return reopen()

    @pytest.fixture
    def reopen(self, openharness_postgres: PostgresPlace) -> Callable[[], PostgresSignalStore]:
        """Return what makes another store on the same tables."""
        place = openharness_postgres
        return functools.partial(PostgresSignalStore, place.dsn, schema=place.schema, max_bytes=self.max_bytes)

    @pytest.fixture
    def damage(self, openharness_postgres: PostgresPlace) -> Callable[[str], Awaitable[None]]:
        """Return what changes a byte of a stored payload."""
        place = openharness_postgres

        async def damage(recording_id: str) -> None:
            connection = await asyncpg.connect(place.dsn)
            told = await connection.execute(
                f"UPDATE {place.schema}.openharness_signals SET payload = replace(payload, '0', '7') WHERE seq = 0 "  # noqa: S608 - a name of our own
                f"AND recording = (SELECT number FROM {place.schema}.openharness_recordings WHERE id = $1)",
                recording_id,
            )
            await connection.close()
            assert told == "UPDATE 1"

        return damage
