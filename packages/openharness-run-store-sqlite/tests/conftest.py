"""What the tests of this package share."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from openharness.run_store_sqlite import _opening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a test's file is."""
    return tmp_path / "runs.db"


@pytest.fixture
def sql(path: Path) -> Callable[..., list[Any]]:
    """Return what runs one statement on the file from outside of the store."""

    def run(statement: str, *parameters: object) -> list[Any]:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            return connection.execute(statement, parameters).fetchall()
        finally:
            connection.close()

    return run


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that every statement of every connection is added to when it begins."""
    seen: list[str] = []
    honest = _opening._connect

    def connect(settings: _opening.Settings, mode: str) -> sqlite3.Connection:
        connection = honest(settings, mode)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(_opening, "_connect", connect)
    return seen
