"""The contract of run stores, over a file."""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING

import pytest

from openharness.run_store_sqlite import SqliteRunStore
from openharness.testing import Ability, RunStoreContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class TestSqliteRunStore(RunStoreContract):
    """`SqliteRunStore` keeps every promise of a run store."""

    abilities = frozenset({Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS})
    max_bytes = 1024 * 1024

    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteRunStore:
        """Return a store on a new file."""
        return SqliteRunStore(tmp_path / "runs.db", max_bytes=self.max_bytes)

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SqliteRunStore]:
        """Return what makes another store on the same file."""
        return functools.partial(SqliteRunStore, tmp_path / "runs.db", max_bytes=self.max_bytes)

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[str], Awaitable[None]]:
        """Return what changes a byte of a stored state."""

        async def damage(run_id: str) -> None:
            connection = sqlite3.connect(tmp_path / "runs.db")
            with connection:
                connection.execute("UPDATE runs SET state = replace(state, 'state', 'stale') WHERE id = ?", (run_id,))
            connection.close()

        return damage
