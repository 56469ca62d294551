"""One examination of the tables of a store: every row is read where it lies, past what the server cannot read.

All of it is one transaction that only reads, so that what is compared is of one moment. Tables are read in the order in
which their rows lie, some pages at a time, and a page that cannot be read costs nothing but its own rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg
import attrs

from openharness.core import CorruptRecordError, Finding, JSONValue, Severity
from openharness.postgres._driver import Connection, transaction
from openharness.postgres._names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openharness.postgres._driver import Row

__all__ = ("Examination",)

_BLOCKS: Final = 256
"""How many pages of a table are read by one statement."""
_ROWS: Final = 20
"""How many rows the server sends at a time: each may be large."""
_MOST: Final = 1_000
"""How many findings about rows are kept; what is beyond is counted."""
_EXAMPLES: Final = 20

_DAMAGES: Final = (
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
    asyncpg.InternalServerError,
    # Of a file that has become shorter, or that the disk cannot read.
    asyncpg.PostgresIOError,
    asyncpg.UndefinedFileError,
    # What a flipped bit makes of a text, or of its length.
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.OutOfMemoryError,
    # What the driver cannot read.
    UnicodeDecodeError,
)
"""What the server, or the driver, says of rows that it cannot read, so that others may still be."""

_Place = tuple[int, int]
"""Where a row lies: its page, and its number in it."""


@attrs.define(eq=False)
class Examination:
    """What an examination of the rows of a store has to work with.

    Attributes:
        connection: A connection, in a transaction that only reads.
        names: Where the tables are.
        facts: What was counted, for the report.
        findings: What was found.
    """

    connection: Connection
    names: Names
    facts: dict[str, JSONValue] = attrs.field(factory=dict[str, "JSONValue"])
    findings: list[Finding] = attrs.field(factory=list[Finding])
    _damaged: set[str | None] = attrs.field(factory=set[str | None], init=False)
    _more: int = attrs.field(default=0, init=False)

    def damaged(self, error: CorruptRecordError, *, what: str) -> None:
        """Report a record that is damaged, once.

        Args:
            error: What is wrong.
            what: What a record is: ``run``, ``recording``.
        """
        if error.record_id in self._damaged:
            return
        if len(self._damaged) >= _MOST:
            self._more += 1
            return
        self._damaged.add(error.record_id)
        self.findings.append(Finding.damaged(error, what=what))

    async def none_of(self, sql: str, code: str, message: str, *, advice: str) -> None:
        """Report that there are rows where there should be none, with the first few of them.

        Args:
            sql: A query whose first column names what is wrong.
            code: The code of the finding.
            message: What they are, as the beginning of a sentence.
            advice: What to do.
        """
        rows = await self.connection.fetch(f"SELECT * FROM ({sql}) AS wrong LIMIT {_EXAMPLES}")  # noqa: S608 - our own
        if rows:
            examples = ", ".join(repr(row[0]) for row in rows) + (", …" if len(rows) == _EXAMPLES else "")
            self.findings.append(Finding(Severity.ERROR, code, f"{message}: {examples}.", advice=advice))

    async def rows(self, table: str, columns: str, *, label: str) -> AsyncIterator[Row]:
        """Yield all rows of a table, in any order; what cannot be read becomes a finding.

        Args:
            table: The name of the table, without prefix. In `columns` it is called ``here``.
            columns: What is read, as SQL.
            label: SQL for what names the row in a finding.
        """
        reading = _Reading(self, self.names(table), f"{self.names.prefix}{table}", columns, label)
        pages: int = await self.connection.fetchval(
            "SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::integer", reading.table
        )
        for start in range(0, pages, _BLOCKS):
            async for row in reading.between((start, 0), (min(start + _BLOCKS, pages), 0)):
                yield row

    def end(self) -> None:
        """Say how much more there was than is reported."""
        if self._more:
            self.findings.append(
                Finding(Severity.ERROR, "damaged-records", f"{self._more:,} more damages were found in records.")
            )


@attrs.frozen
class _Reading:
    """The reading of one table."""

    examination: Examination
    table: str
    bare: str
    columns: str
    label: str

    async def between(self, start: _Place, stop: _Place) -> AsyncIterator[Row]:
        """Yield the rows from a place on up to another one."""
        connection = self.examination.connection
        sql = f"SELECT {self.columns}, here.ctid AS place FROM {self.table} AS here WHERE ctid >= $1 AND ctid < $2"  # noqa: S608
        try:
            # A savepoint: after an error the transaction goes on from here.
            async with transaction(connection):
                async for row in connection.cursor(sql, start, stop, prefetch=_ROWS):
                    page, number = row["place"]
                    start = page, number + 1
                    yield row
        except _DAMAGES as error:
            first, last = start[0], stop[0] if stop[1] else stop[0] - 1
            if first < last:
                middle = (first + last) // 2 + 1, 0
                async for row in self.between(start, middle):
                    yield row
                async for row in self.between(middle, stop):
                    yield row
            else:
                async for row in self._one_by_one(start, stop, error):
                    yield row

    async def _one_by_one(self, start: _Place, stop: _Place, error: Exception) -> AsyncIterator[Row]:
        """Yield the rows of one page, of which something cannot be read."""
        connection = self.examination.connection
        places = f"SELECT ctid FROM {self.table} WHERE ctid >= $1 AND ctid < $2"  # noqa: S608 - names of our own
        try:
            async with transaction(connection):
                found = await connection.fetch(places, start, stop)
        except _DAMAGES as worse:
            self._unreadable(f"the page {start[0]} of the table {self.bare}", worse)
            return
        sql = f"SELECT {self.columns}, here.ctid AS place FROM {self.table} AS here WHERE ctid = $1"  # noqa: S608
        some = False
        for (place,) in found:
            try:
                async with transaction(connection):
                    row = await connection.fetchrow(sql, place)
            except _DAMAGES as damage:
                some = True
                await self._name_unreadable(place, damage)
            else:
                if row is not None:
                    yield row
        if not some:
            self._unreadable(f"something on the page {start[0]} of the table {self.bare}", error)

    async def _name_unreadable(self, place: _Place, damage: Exception) -> None:
        """Report a row, by its name if that can be read."""
        connection = self.examination.connection
        sql = f"SELECT {self.label} FROM {self.table} AS here WHERE ctid = $1"  # noqa: S608 - names of our own
        try:
            async with transaction(connection):
                name = await connection.fetchval(sql, place)
        except _DAMAGES:
            name = None
        if name is None:
            self._unreadable(f"the row {place} of the table {self.bare}", damage)
        else:
            reason = f"the server cannot read it: {damage}"
            self.examination.damaged(CorruptRecordError(str(name), reason=reason), what="record")

    def _unreadable(self, what: str, error: Exception) -> None:
        self.examination.findings.append(
            Finding(
                Severity.ERROR,
                "damaged-data",
                f"The server cannot read {what}: {error}",
                advice="Look for a failing disk, and restore the table from a backup. What else is in it can be read.",
            )
        )
