"""What is written about runs, as one statement for any number of them.

A statement is atomic by itself, so that many saves are one trip to the connection's thread, without BEGIN and COMMIT.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from openharness.run_store_sqlite._rows import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.sqlite import Channel, Row

__all__ = ("delete_runs", "save_runs", "save_statement")

_PLACES: Final = f"({', '.join('?' * len(COLUMNS))})"
_KEPT: Final = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")


async def save_runs(channel: Channel, rows: Sequence[Row]) -> Sequence[None]:
    """Save runs, in their order."""
    await channel.run(save_statement(len(rows)), [value for row in rows for value in row])
    return [None] * len(rows)


async def delete_runs(channel: Channel, several: Sequence[Sequence[str]]) -> Sequence[None]:
    """Delete the runs with these ids."""
    run_ids = [run_id for ids in several for run_id in ids]
    await channel.run(_delete_statement(len(run_ids)), run_ids)
    return [None] * len(several)


@cache
def save_statement(rows: int) -> str:
    """Return the statement that saves this many runs."""
    values = ", ".join([_PLACES] * rows)
    # Not REPLACE: it would delete the row first, and with it the columns a newer version may have added.
    return f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES {values} ON CONFLICT (id) DO UPDATE SET {_KEPT}"  # noqa: S608 - names of our own


@cache
def _delete_statement(rows: int) -> str:
    return f"DELETE FROM runs WHERE id IN ({', '.join('?' * rows)})"  # noqa: S608 - names of our own
