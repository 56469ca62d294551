"""The store itself: what `RunStore` promises, in terms of rows and queries."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

import attrs

from openharness.core import InvalidValueError, RunQuery, RunRecord, RunStatus, RunStore
from openharness.core.records import check_id, time_ms
from openharness.core.storage import decode_rows, rarest_first, run_from_columns, wrong_answer
from openharness.postgres import PostgresStore, misled
from openharness.run_store_postgres._pruning import AT_ONCE, Doomed, Pruning
from openharness.run_store_postgres._query import Queries
from openharness.run_store_postgres._rows import row_size, run_to_row
from openharness.run_store_postgres._schema import SCHEMA
from openharness.run_store_postgres._writing import Writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core import Moment
    from openharness.postgres import Schema, Session

__all__ = ("PostgresRunStore",)


class PostgresRunStore(PostgresStore, RunStore):
    """Keeps runs in a PostgreSQL database.

    Any number of tasks, processes and machines may use the same tables. Saves that are asked for at the same time are
    written in one statement, and each returns when its own run is durable. When the server goes and comes back, what
    was asked for meanwhile is done then.

    The store connects on first use, and creates its tables where they are missing. It belongs to the event loop it was
    first used in; when that is closed, it may be used in another. Use ``async with``, or call `close` at the end::

        async with PostgresRunStore("postgresql://agents@db.example/agents") as store:
            await store.save_run(run)

    Args:
        dsn: The URL of the database, ``postgresql://user@host:5432/database``, with the parameters of libpq:
            ``sslmode``, ``sslrootcert``, ``target_session_attrs`` and several hosts. What it leaves out, ``PGHOST`` and
            the other variables say, and ``~/.pgpass``. In a user, a password and a database ``/ ? # @`` are written
            ``%2F %3F %23 %40``.
        schema: The schema that its tables are in; it is created where it is missing.
        prefix: What the names of its tables begin with.
        password: The password, instead of one in the URL; or a function that gives one, asked at each connection.
        ssl: How the connection is secured: an `ssl.SSLContext`, one of libpq's modes (``"verify-full"``), or None for
            what the URL says, which is TLS where the server offers it, unverified.
        max_connections: How many connections it opens at most, 2 or more. One writes; the others read, and are closed
            when they are not needed for five minutes.
        connect_timeout: How many seconds opening a connection may take.
        command_timeout: How many seconds a statement may take, and waiting for a free connection, before
            `StoreBusyError`. Bringing the tables of an older release forward may take longer.
        reconnect_timeout: How many seconds calls wait for a server that has gone, before `StoreOpenError`, or that takes
            no more connections, before `StoreBusyError`. One that was never there is not waited for.
        statement_cache_size: How many prepared statements each connection keeps. 0 is for poolers that cannot keep
            them: PgBouncer before 1.21, or with ``max_prepared_statements=0``.
        max_bytes: How large the JSON text of one state, or of one run's metadata, may be; 16 MiB by default.

    Raises:
        InvalidValueError: An argument is not valid.
    """

    @property
    def _tables(self) -> Schema:
        return SCHEMA

    @cached_property
    def _queries(self) -> Queries:
        return Queries(self._names)

    @cached_property
    def _writing(self) -> Writing:
        return Writing(self._names)

    @cached_property
    def _pruning(self) -> Pruning:
        return Pruning(self._names)

    async def save_run(self, run: RunRecord) -> None:
        """Save a run, replacing the one with the same id. See `RunStore.save_run`.

        Raises:
            SerializationError: The state or the metadata cannot be stored, or is too large.
            StoreError: It could not be written: `StoreOpenError` where the server cannot be reached, `StoreFullError`,
                `StoreReadOnlyError`, `StoreBusyError` and others.
        """
        session = self._current()
        row = run_to_row(run, max_bytes=self._max_bytes)
        await session.writer.add(self._writing.save_runs, row, rows=1, size=row_size(row))

    async def get_run(self, run_id: str) -> RunRecord | None:
        """Return the run with this id, or None. See `RunStore.get_run`.

        Raises:
            InvalidValueError: The id could not be one.
            CorruptRecordError: The record is damaged.
            StoreError: The database could not be read.
        """
        session = self._current()
        rows = await session.fetch(self._queries.select_one, check_id(run_id, name="run_id"))
        if not rows:
            return None
        run = run_from_columns(rows[0], store=self._name)
        if run.id != run_id:
            raise misled(f"it leads from {run_id!r} to {run.id!r}", store=self._name)
        return run

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        """Return the runs that match. See `RunStore.list_runs`.

        Raises:
            CorruptRecordError: One of the wanted records is damaged; the others are found by asking without it.
            StoreError: The database could not be read.
        """
        session = self._current()
        query = await self._planned(session, query or RunQuery())
        sql, values = self._queries.select(query)
        rows = await session.fetch(sql, *values)
        runs = await decode_rows(rows, partial(run_from_columns, store=self._name))
        wrong = wrong_answer(runs, query, what="run")
        if wrong is not None:
            raise misled(wrong, store=self._name)
        return runs

    async def delete_run(self, run_id: str) -> None:
        """Delete a run. See `RunStore.delete_run`.

        Raises:
            InvalidValueError: The id could not be one.
            StoreError: It could not be deleted.
        """
        session = self._current()
        await session.writer.add(self._writing.delete_runs, (check_id(run_id, name="run_id"),), rows=1, size=0)

    async def count_runs(self, query: RunQuery | None = None) -> int:
        """Return how many runs match. See `RunStore.count_runs`. No records are read.

        Raises:
            StoreError: The database could not be read.
        """
        session = self._current()
        query = await self._planned(session, query or RunQuery())
        sql, values = self._queries.count(query)
        rows = await session.fetch(sql, *values)
        return cast("int", rows[0][0])

    async def prune_runs(
        self,
        *,
        older_than: Moment | None = None,
        keep_last: int | None = None,
        status: RunStatus | str | Iterable[RunStatus | str] | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete old runs and return how many. See `RunStore.prune_runs`.

        The server finds and deletes them, the oldest first and some hundred at a time, so that saves come in between.

        Raises:
            InvalidValueError: Neither ``older_than`` nor ``keep_last`` is given, or one is not valid.
            StoreError: Not all of them could be deleted.
        """
        session = self._current()
        if older_than is None and keep_last is None:
            raise InvalidValueError("prune_runs", value=None, expected="given older_than, keep_last, or both")
        before = None if older_than is None else time_ms(older_than, name="older_than")
        # What is kept is counted among all with this status, so that older_than must not be a condition of it.
        query = RunQuery(
            status=set(RunStatus) - {RunStatus.RUNNING} if status is None else status,
            offset=0 if keep_last is None else keep_last,
        )
        doomed = Doomed(
            status=sorted(word.value for word in cast("frozenset[RunStatus]", query.status)),
            before=before,
            position=None,
        )
        if query.offset:
            rows = await session.fetch(self._pruning.position, list(doomed.status), query.offset)
            if not rows:
                return 0
            doomed = attrs.evolve(doomed, position=tuple(rows[0]))
        if dry_run:
            rows = await session.fetch(self._pruning.count, *self._pruning.arguments(doomed))
            return cast("int", rows[0][0])
        deleted = 0
        while True:
            found, gone = await session.writer.add(self._pruning.delete_some, doomed, rows=AT_ONCE, size=0)
            deleted += gone
            if found < AT_ONCE:
                return deleted

    async def _planned(self, session: Session, query: RunQuery) -> RunQuery:
        """Put the rarest of several metadata keys first."""
        if len(query.metadata) < 2:  # noqa: PLR2004 - with one there is no choice
            return query
        sql, values = self._queries.frequencies(query)
        (counts,) = await session.fetch(sql, *values)
        return rarest_first(query, tuple(counts))
