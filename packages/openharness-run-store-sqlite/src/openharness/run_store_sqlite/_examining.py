"""Every run in a file, read for nothing but its checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core import CorruptRecordError, Finding
from openharness.core.storage import RUN_COLUMNS
from openharness.run_store_sqlite._rows import run_from_row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ("examine",)

_ALL: Final = f"SELECT {', '.join((*RUN_COLUMNS, 'state'))} FROM runs NOT INDEXED"  # noqa: S608 - names of our own


def examine(connection: sqlite3.Connection) -> Iterator[Finding | None]:
    """Yield None for each run that is as it was saved, and a finding for each that is not."""
    for row in connection.execute(_ALL):
        try:
            run_from_row(row, store="")
        except CorruptRecordError as error:
            yield Finding.damaged(error, what="run")
        else:
            yield None
