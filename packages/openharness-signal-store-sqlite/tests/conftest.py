"""What the tests of this package share."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import Signal, SignalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
