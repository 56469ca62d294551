"""The contract of signal stores, over a file."""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING

import pytest

from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.testing import Ability, SignalStoreContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class TestSqliteSignalStore(SignalStoreContract):
    """`SqliteSignalStore` keeps every promise of a signal store."""

    abilities = frozenset(
        {Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS, Ability.RESTORE}
    )
    max_bytes = 256 * 1024

    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteSignalStore:
        """Return a store on a new file."""
        return SqliteSignalStore(tmp_path / "signals.db", max_bytes=self.max_bytes)

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SqliteSignalStore]:
        """Return what makes another store on the same file."""
        return functools.partial(SqliteSignalStore, tmp_path / "signals.db", max_bytes=self.max_bytes)

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[str], Awaitable[None]]:
        """Return what changes a byte of a stored payload."""

        async def damage(recording_id: str) -> None:
            connection = sqlite3.connect(tmp_path / "signals.db")
            with connection:
                changed = connection.execute(
                    "UPDATE signals SET payload = replace(payload, '0', '7') WHERE seq = 0 AND recording = "
                    "(SELECT number FROM recordings WHERE id = ?)",
                    (recording_id,),
                ).rowcount
            connection.close()
            assert changed == 1

        return damage
