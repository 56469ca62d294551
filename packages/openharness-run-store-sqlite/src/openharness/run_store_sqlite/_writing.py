"""What is written about runs, as one trip to the connection's thread for any number of them.

One statement for many runs is atomic by itself, without BEGIN and COMMIT. Where the runs are large it is the slower way:
SQLite then has the values of all of them in its hands before it writes the first.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Final

from openharness.run_store_sqlite._rows import COLUMNS, state_size
from openharness.sqlite import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from openharness.sqlite import Channel, Row

__all__ = ("delete_runs", "save_runs", "save_statement")

_PLACES: Final = f"({', '.join('?' * len(COLUMNS))})"
_LARGE: Final = 4 * 1024
"""From how many characters of a state on a statement for each is faster. Measured: with 1 KiB it is a tenth slower, with 20 KiB it
takes three quarters of the processor time."""
_KEPT: Final = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")


async def save_runs(channel: Channel, rows: Sequence[Row]) -> Sequence[None]:
    """Save runs, in their order."""
    if len(rows) > 1 and sum([state_size(row) for row in rows]) > len(rows) * _LARGE:
        await channel.call(partial(_save_each, rows))
    else:
        await channel.run(save_statement(len(rows)), [value for row in rows for value in row])
    return [None] * len(rows)


def _save_each(rows: Sequence[Row], connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.executemany(save_statement(1), rows)


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
