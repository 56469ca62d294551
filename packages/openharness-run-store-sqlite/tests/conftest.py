"""What the tests of this package share."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openharness.sqlite import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openharness.sqlite import Row, Value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a test's file is."""
    return tmp_path / "runs.db"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may enter; pytest closes its own ones again whenever another run of it begins."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


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
def statements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return the list that every statement of every connection is added to, with the number of its values."""
    seen: list[tuple[str, int]] = []
    honest = Channel.run

    async def run(self: Channel, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        seen.append((sql, len(parameters)))
        return await honest(self, sql, parameters)

    monkeypatch.setattr(Channel, "run", run)
    return seen
