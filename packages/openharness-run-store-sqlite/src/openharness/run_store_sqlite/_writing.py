"""What is written about runs, as one trip to the connection's thread for any number of them.

One statement for many runs is atomic by itself, without BEGIN and COMMIT. Where they are many bytes it is the slower way:
SQLite has the values of all of them in its hands before it writes the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import RunQuery
from openharness.run_store_sqlite._query import is_doomed
from openharness.run_store_sqlite._rows import COLUMNS, state_size

if TYPE_CHECKING:
    import sqlite3

    from openharness.sqlite import Channel, Row

__all__ = ("Doomed", "delete_runs", "prune_runs", "save_runs", "save_statement")

_PLACES: Final = f"({', '.join('?' * len(COLUMNS))})"
_GUARDED: Final = f"(CASE WHEN {{}} THEN ? END, {', '.join('?' * (len(COLUMNS) - 1))})"
"""The id is NULL, which the table refuses, where a newer release has brought the file forward."""
_LARGE: Final = 512 * 1024
"""From how many characters of states on several statements in one transaction are cheaper than one. Measured: with 128
states of 8 KiB both take as long, with 20 KiB the one statement takes a third more processor time."""

_PIECE: Final = 32
"""How many runs each of them saves. One run a statement is no cheaper, and each statement gives up the interpreter's lock
and waits for it again, which takes long while others compute."""

_KEPT: Final = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")


@attrs.frozen(kw_only=True)
class Doomed:
    """Some runs that were found to be old. One that was saved since then may no longer be.

    Attributes:
        ids: Their ids.
        query: Which status they have.
        before: They began before this time; None for any.
        newest: They stand at or before this position, in the order of runs.
    """

    ids: Sequence[str]
    query: RunQuery
    before: int | None
    newest: tuple[int, str]


async def save_runs(channel: Channel, rows: Sequence[Row]) -> Sequence[None]:
    """Save runs, in their order."""
    if len(rows) > _PIECE and sum([state_size(row) for row in rows]) > _LARGE:
        await channel.write(partial(_save_pieces, rows))
    else:
        await channel.run(save_statement(len(rows), channel.unless_newer), [value for row in rows for value in row])
    return [None] * len(rows)


def _save_pieces(rows: Sequence[Row], connection: sqlite3.Connection) -> None:
    for start in range(0, len(rows), _PIECE):
        some = rows[start : start + _PIECE]
        connection.execute(save_statement(len(some)), [value for row in some for value in row])


async def delete_runs(channel: Channel, several: Sequence[Sequence[str]]) -> Sequence[None]:
    """Delete the runs with these ids."""
    run_ids = [run_id for ids in several for run_id in ids]
    statement = _delete_statement(len(run_ids))
    await channel.write(lambda connection: connection.execute(statement, run_ids))
    return [None] * len(several)


async def prune_runs(channel: Channel, several: Sequence[Doomed]) -> Sequence[int]:
    """Delete those runs that are still doomed, and return how many of each."""
    return await channel.write(partial(_prune, several))


def _prune(several: Sequence[Doomed], connection: sqlite3.Connection) -> list[int]:
    deleted: list[int] = []
    for doomed in several:
        condition = is_doomed(doomed.query, doomed.before, doomed.newest)
        statement = f"{_delete_statement(len(doomed.ids))} AND {condition.sql}"
        deleted.append(connection.execute(statement, (*doomed.ids, *condition.parameters)).rowcount)
    return deleted


@cache
def save_statement(rows: int, condition: str | None = None) -> str:
    """Return the statement that saves this many runs.

    Args:
        rows: How many.
        condition: What must be true; otherwise the statement fails. It is asked once, whatever the number of runs. None
            inside of a transaction that has looked.
    """
    values = ", ".join([_PLACES if condition is None else _GUARDED.format(condition), *[_PLACES] * (rows - 1)])
    # Not REPLACE: it would delete the row first, and with it the columns a newer version may have added.
    return f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES {values} ON CONFLICT (id) DO UPDATE SET {_KEPT}"  # noqa: S608 - names of our own


@cache
def _delete_statement(rows: int) -> str:
    return f"DELETE FROM runs WHERE id IN ({', '.join('?' * rows)})"  # noqa: S608 - names of our own
