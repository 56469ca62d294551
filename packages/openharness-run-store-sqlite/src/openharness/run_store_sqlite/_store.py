"""The store itself: what `RunStore` promises, in terms of rows and queries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from openharness.core import InvalidValueError, RunQuery, RunRecord, RunStatus, RunStore
from openharness.core.records import check_id, time_ms
from openharness.core.storage import decode_rows, rarest_first, wrong_answer
from openharness.core.values import MAX_BYTES
from openharness.run_store_sqlite import _query
from openharness.run_store_sqlite._rows import position_from_row, row_size, run_from_row, run_to_row
from openharness.run_store_sqlite._schema import SCHEMA
from openharness.run_store_sqlite._writing import Doomed, delete_runs, prune_runs, save_runs
from openharness.sqlite import MAX_ROWS, SqliteStore, misled

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from openharness.core import Moment
    from openharness.sqlite import Durability, Session

__all__ = ("SqliteRunStore",)


class SqliteRunStore(SqliteStore, RunStore):
    """Keeps runs in one SQLite file.

    Any number of tasks, and several processes of one machine, may use the same file. Saves that are asked for at the
    same time are written in one transaction, and each returns when its own run is durable.

    The store opens the file on first use, creating it if there is none. It belongs to the event loop it was first used
    in; when that is closed, it may be used in another. Use ``async with``, or call `close` at the end::

        async with SqliteRunStore("runs.db") as store:
            await store.save_run(run)

    Args:
        filename: The path of the file. Its folder must exist, on a local disk.
        durability: What a save that has returned survives: ``"full"``, the default, also a power cut (on disks that
            keep what they say they have written); ``"process"`` the end of the process however it comes, but perhaps
            not that of the machine. It is faster where the disk is slow.
        busy_timeout: How many seconds to wait while other processes write, before `StoreBusyError`.
        max_bytes: How large the JSON text of one state, or of one run's metadata, may be; 16 MiB by default.

    Raises:
        InvalidValueError: An argument is not valid; ``""`` and ``":memory:"`` are not files.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        busy_timeout: float = 30.0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__(filename, schema=SCHEMA, durability=durability, busy_timeout=busy_timeout, max_bytes=max_bytes)

    async def save_run(self, run: RunRecord) -> None:
        """Save a run, replacing the one with the same id. See `RunStore.save_run`.

        Raises:
            SerializationError: The state or the metadata cannot be stored, or is too large.
            StoreError: It could not be written: `StoreFullError`, `StoreReadOnlyError`, `StoreBusyError` and others.
        """
        session = self._current()
        row = run_to_row(run, max_bytes=self._max_bytes)
        await session.writer.add(save_runs, row, rows=1, size=row_size(row))

    async def get_run(self, run_id: str) -> RunRecord | None:
        """Return the run with this id, or None. See `RunStore.get_run`.

        Raises:
            InvalidValueError: The id could not be one.
            CorruptRecordError: The record is damaged.
            StoreError: The file could not be read.
        """
        session = self._current()
        rows = await session.read(_query.select_one(check_id(run_id, name="run_id")))
        if not rows:
            return None
        run = run_from_row(rows[0], store=self._name)
        if run.id != run_id:
            raise misled(f"it leads from {run_id!r} to {run.id!r}", store=self._name)
        return run

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        """Return the runs that match. See `RunStore.list_runs`.

        Raises:
            CorruptRecordError: One of the wanted records is damaged; the others are found by asking without it.
            StoreError: The file could not be read.
        """
        session = self._current()
        query = await _planned(session, query or RunQuery())
        rows = await session.read(_query.select(query))
        runs = await decode_rows(rows, partial(run_from_row, store=self._name))
        wrong = wrong_answer(runs, query, what="run")
        if wrong is not None:
            raise misled(wrong, store=self._name)
        return runs

    async def delete_run(self, run_id: str) -> None:
        """Delete a run. See `RunStore.delete_run`.

        Raises:
            InvalidValueError: The id could not be one.
            StoreError: It could not be deleted. A full disk is one reason: SQLite writes down what it deletes.
        """
        session = self._current()
        await session.writer.add(delete_runs, (check_id(run_id, name="run_id"),), rows=1, size=0)

    async def count_runs(self, query: RunQuery | None = None) -> int:
        """Return how many runs match. See `RunStore.count_runs`. Only indexes are read, no records.

        Raises:
            StoreError: The file could not be read.
        """
        session = self._current()
        query = await _planned(session, query or RunQuery())
        rows = await session.read(_query.count(query))
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

        They are deleted a few hundred at a time, so that saves of other tasks and processes come in between. The file
        keeps its size; the room is used for the next runs.

        Raises:
            InvalidValueError: Neither ``older_than`` nor ``keep_last`` is given, or one is not valid.
            StoreError: Not all of them could be deleted.
        """
        session = self._current()
        if older_than is None and keep_last is None:
            raise InvalidValueError("prune_runs", value=None, expected="given older_than, keep_last, or both")
        before = None if older_than is None else time_ms(older_than, name="older_than")
        # What is kept is counted among all with this status, so that older_than must not be a condition of the query.
        query = RunQuery(
            status=set(RunStatus) - {RunStatus.RUNNING} if status is None else status,
            offset=0 if keep_last is None else keep_last,
        )
        if dry_run:
            rows = await session.read(_query.count_doomed(query, before))
            return cast("int", rows[0][0])
        rows = await session.read(_query.positions(query))
        found = await decode_rows(rows, partial(position_from_row, store=self._name))
        doomed = [run_id for created_at, run_id in found if before is None or created_at < before]
        deleted = 0
        for start in range(0, len(doomed), MAX_ROWS):
            some = Doomed(ids=doomed[start : start + MAX_ROWS], query=query, before=before, newest=found[0])
            deleted += await session.writer.add(prune_runs, some, rows=len(some.ids), size=0)
        return deleted


async def _planned(session: Session, query: RunQuery) -> RunQuery:
    """Put the rarest of several metadata keys first."""
    if len(query.metadata) < 2:  # noqa: PLR2004 - with one there is no choice
        return query
    (counts,) = await session.read(_query.frequencies(query))
    return rarest_first(query, cast("tuple[int, ...]", counts))
