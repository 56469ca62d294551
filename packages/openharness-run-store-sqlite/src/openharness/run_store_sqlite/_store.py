"""The store itself: what `RunStore` promises, in terms of a session, rows and queries."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final, Self, cast

import attrs

from openharness.core import (
    InvalidValueError,
    RunQuery,
    RunRecord,
    RunStatus,
    RunStore,
    StoreClosedError,
    StoreCorruptError,
)
from openharness.core.records import check_id, time_ms
from openharness.core.storage import run_order
from openharness.core.values import MAX_BYTES
from openharness.run_store_sqlite import _query
from openharness.run_store_sqlite._exit import stop_now
from openharness.run_store_sqlite._location import checked_path, split_url
from openharness.run_store_sqlite._opening import MAX_ROWS, Settings
from openharness.run_store_sqlite._rows import run_from_row, run_to_row
from openharness.run_store_sqlite._session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from openharness.core import Moment
    from openharness.run_store_sqlite._opening import Durability

__all__ = ("SqliteRunStore",)

_DURABILITIES: Final = ("full", "process")
_DECODED_AT_ONCE: Final = 100


class SqliteRunStore(RunStore):
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
        self._closed = True  # until all arguments are known to be valid there is nothing to close
        self._session: Session | None = None
        self._path = checked_path(filename)
        if durability not in _DURABILITIES:
            raise InvalidValueError("durability", value=durability, expected="'full' or 'process'")
        if not _is_number(busy_timeout) or not 0 <= busy_timeout < math.inf:
            raise InvalidValueError("busy_timeout", value=busy_timeout, expected="a number of seconds from 0 on")
        if type(max_bytes) is not int or max_bytes < 1:
            raise InvalidValueError("max_bytes", value=max_bytes, expected="an integer from 1 on")
        self._durability: Durability = durability
        self._busy_timeout = float(busy_timeout)
        self._max_bytes = max_bytes
        self._name = f"SqliteRunStore({os.fspath(filename)!r})"
        self._closed = False

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store that a URL names; this is what ``open_run_store("sqlite:///runs.db")`` calls.

        Args:
            url: ``sqlite:///runs.db`` (relative to the working directory) or ``sqlite:////var/lib/runs.db`` (absolute),
                with or without its ``sqlite:``. `durability`, `busy_timeout` and `max_bytes` may follow as options:
                ``sqlite:///runs.db?durability=process``.

        Raises:
            InvalidValueError: It is not such a URL, or has an option that does not exist.
        """
        path, options = split_url(url)
        arguments: dict[str, Any] = {}
        for name, text in options.items():
            convert = _OPTIONS.get(name)
            if convert is None:
                raise InvalidValueError("url", value=url, expected=f"a URL with no options but {', '.join(_OPTIONS)}")
            try:
                arguments[name] = convert(text)
            except ValueError:
                raise InvalidValueError(name, value=text, expected="a number") from None
        return cls(path, **arguments)

    @property
    def filename(self) -> Path:
        """The absolute path of the file."""
        return self._path

    def __repr__(self) -> str:
        return f"<{self._name}{', closed' if self._closed else ''}>"

    async def save_run(self, run: RunRecord) -> None:
        """Save a run, replacing the one with the same id. See `RunStore.save_run`.

        Raises:
            SerializationError: The state or the metadata cannot be stored, or is too large.
            StoreError: It could not be written: `StoreFullError`, `StoreReadOnlyError`, `StoreBusyError` and others.
        """
        session = self._current()
        await session.writer.save(run_to_row(run, max_bytes=self._max_bytes))

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
            raise self._misled(f"it leads from {run_id!r} to {run.id!r}")
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
        runs: list[RunRecord] = []
        for start in range(0, len(rows), _DECODED_AT_ONCE):
            if start:
                # Other tasks get their turn while a long list is decoded.
                await asyncio.sleep(0)
            runs += [run_from_row(row, store=self._name) for row in rows[start : start + _DECODED_AT_ONCE]]
        self._check_answer(runs, query)
        return runs

    async def delete_run(self, run_id: str) -> None:
        """Delete a run. See `RunStore.delete_run`.

        Raises:
            InvalidValueError: The id could not be one.
            StoreError: It could not be deleted. A full disk is one reason: SQLite writes down what it deletes.
        """
        session = self._current()
        await session.writer.delete((check_id(run_id, name="run_id"),))

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
        wanted = set(RunStatus) - {RunStatus.RUNNING} if status is None else status
        before = None if older_than is None else time_ms(older_than, name="older_than")
        # What is kept is counted among all with this status, so that older_than must not be a condition of the query.
        query = RunQuery(status=wanted, offset=0 if keep_last is None else keep_last)
        rows = await session.read(_query.positions(query))
        found = [(cast("int", created_at), cast("bytes", run_id).decode()) for created_at, run_id in rows]
        doomed = [run_id for created_at, run_id in found if before is None or created_at < before]
        if not dry_run:
            for start in range(0, len(doomed), MAX_ROWS):
                await session.writer.delete(doomed[start : start + MAX_ROWS])
        return len(doomed)

    async def close(self) -> None:
        """Wait for what was begun and close the file. Closing twice, or at once, is no error. See `RunStore.close`."""
        self._closed = True
        session = self._session
        if session is None or session.process != os.getpid():
            return
        if session.loop is asyncio.get_running_loop():
            await session.close()
        else:
            stopped = session.stop()
            if stopped:
                await asyncio.wait(stopped)
        self._session = None

    async def __aenter__(self) -> Self:
        """Open the file, so that what is wrong with it is known at once."""
        await self._current().open()
        return self

    def __del__(self) -> None:
        session = self._session
        if session is None or session.process != os.getpid() or not session.is_open:
            return
        stop_now(session)
        warnings.warn(
            f"{self!r} was never closed. Use `async with SqliteRunStore(...) as store:`, or `await store.close()`.",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    def _current(self) -> Session:
        """Return the session of the running loop, beginning one at the first use."""
        if self._closed:
            raise StoreClosedError("the store was closed; make a new one.", store=self._name)
        session = self._session
        loop = asyncio.get_running_loop()
        if session is not None:
            if session.process != os.getpid():
                raise StoreClosedError(
                    "the store was opened before this process was forked, and its connections belong to the parent; "
                    "make a new one here.",
                    store=self._name,
                )
            if session.loop is loop:
                return session
            if not session.loop.is_closed():
                raise StoreClosedError(
                    "the store is in use by another event loop; make one store for each loop.", store=self._name
                )
            stop_now(session)
        self._session = session = Session(
            Settings(
                path=self._path,
                durability=self._durability,
                busy_timeout=self._busy_timeout,
                store=self._name,
                abandoned=threading.Event(),
            )
        )
        return session

    def _check_answer(self, runs: list[RunRecord], query: RunQuery) -> None:
        """Notice an index that no longer agrees with the rows, which each are what was saved."""
        newest = query.order == "newest"
        conditions = attrs.evolve(query, limit=None, offset=0)
        last = None if query.after is None else (query.after[0], query.after[1].encode())
        for run in runs:
            position = run_order(run)
            if not conditions.matches(run):
                raise self._misled(f"the run {run.id!r} does not meet the conditions")
            if last is not None and (position >= last if newest else position <= last):
                raise self._misled(f"the run {run.id!r} is out of order")
            last = position

    def _misled(self, reason: str) -> StoreCorruptError:
        return StoreCorruptError(
            f"an index of the file is damaged ({reason}). `sqlite3 FILE REINDEX` makes it anew.", store=self._name
        )


async def _planned(session: Session, query: RunQuery) -> RunQuery:
    """Put the rarest of several metadata keys first."""
    if len(query.metadata) < 2:  # noqa: PLR2004 - with one there is no choice
        return query
    (counts,) = await session.read(_query.frequencies(query))
    return _query.rarest_first(query, counts)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_OPTIONS: Final[dict[str, Any]] = {"durability": str, "busy_timeout": float, "max_bytes": int}
