"""The store itself: what `SignalStore` promises, in terms of jobs, pages and queries."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from openharness.core import Recording, RecordingNotFoundError, RecordingQuery, SignalStore
from openharness.core.patterns import PatternSequence
from openharness.core.records import check_id
from openharness.core.storage import (
    check_finalize,
    check_range,
    decode_rows,
    encode_entries,
    new_header,
    ordered_checkpoints,
    restored_header,
)
from openharness.postgres import PostgresStore, misled
from openharness.signal_store_postgres._batch import Job
from openharness.signal_store_postgres._catalogue import checked_recordings, found_fixture, found_recording
from openharness.signal_store_postgres._following import Following
from openharness.signal_store_postgres._names import WantedNames
from openharness.signal_store_postgres._reading import LogReading, Pages
from openharness.signal_store_postgres._schema import SCHEMA
from openharness.signal_store_postgres._search import Search, Searches
from openharness.signal_store_postgres._writing import Writing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from openharness.core import LogEntry, Outcome, RecordingInfo, RecordingMatch, Signal
    from openharness.core.patterns import PatternLike
    from openharness.core.values import JSONValue
    from openharness.postgres import Schema, Session
    from openharness.signal_store_postgres._catalogue import Catalogue

__all__ = ("PostgresSignalStore",)


class PostgresSignalStore(PostgresStore, SignalStore):
    """Keeps recordings in a PostgreSQL database; they may be beside the runs of a `PostgresRunStore`.

    Any number of tasks, processes and machines may use the same tables. What is appended at the same time, by whichever
    runs, is written in one statement and one round trip, and each `append` returns when its own signals are durable. When
    the server goes and comes back, what was asked for meanwhile is done then.

    The store connects on first use, and creates its tables where they are missing. It belongs to the event loop it was
    first used in; when that is closed, it may be used in another. Use ``async with``, or call `close` at the end::

        async with PostgresSignalStore("postgresql://agents@db.example/agents") as store:
            await harness.run_reactive(..., store=store, mode="record")

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
            when they are not needed for five minutes. One more listens, while recordings are followed and a minute or two
            longer.
        connect_timeout: How many seconds opening a connection may take.
        command_timeout: How many seconds a statement may take, and waiting for a free connection, before
            `StoreBusyError`. Bringing the tables of an older release forward may take longer.
        reconnect_timeout: How many seconds calls wait for a server that has gone, before `StoreOpenError`, or that takes
            no more connections, before `StoreBusyError`. One that was never there is not waited for.
        statement_cache_size: How many prepared statements each connection keeps. 0 is for poolers that cannot keep
            them: PgBouncer before 1.21, or with ``max_prepared_statements=0``.
        max_bytes: How large the JSON text of one payload, of one blob, or of one recording's metadata may be; 16 MiB by
            default.

    Raises:
        InvalidValueError: An argument is not valid.
    """

    _following: Following | None = None

    @property
    def _tables(self) -> Schema:
        return SCHEMA

    @cached_property
    def _writing(self) -> Writing:
        return Writing(self._names, store=self._name)

    @cached_property
    def _pages(self) -> Pages:
        return Pages(self._names)

    @cached_property
    def _searches(self) -> Searches:
        return Searches(self._names)

    @property
    def _catalogue(self) -> Catalogue:
        return self._searches.catalogue

    @property
    def max_bytes(self) -> int:
        """How large the JSON text of one payload may be, in bytes."""
        return self._max_bytes

    async def create_recording(
        self,
        *,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, JSONValue] | None = None,
        resumed_from: str | None = None,
    ) -> str:
        """Create an empty recording and return its id. See `SignalStore.create_recording`."""
        session = self._current()
        header = new_header(
            run_id=run_id,
            name=name,
            tags=tags,
            metadata=metadata,
            resumed_from=resumed_from,
            max_bytes=self._max_bytes,
        )
        job = Job(recording_id=header.id, do=lambda batch: batch.create(header), needs="nothing")
        await self._do(session, job, size=len(header.metadata or b""))
        return header.id

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Append entries, all or none. See `SignalStore.append`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        encoded = encode_entries(entries, max_bytes=self._max_bytes)
        size = sum([entry.size for entry in encoded])
        job = Job(
            recording_id=recording_id,
            do=lambda batch: batch.append(recording_id, encoded),
            entries=encoded,
            needs="log",
        )
        await self._do(session, job, rows=len(encoded), size=size)
        self._wake(recording_id)

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. See `SignalStore.add_checkpoint`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        check_id(name, name="name")
        job = Job(
            recording_id=recording_id, do=lambda batch: batch.add_checkpoint(recording_id, name, seq), checkpoint=name
        )
        await self._do(session, job)

    async def finalize(self, recording_id: str, *, outcome: Outcome | str, duration_ms: int | None = None) -> None:
        """Close the log. See `SignalStore.finalize`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        checked, duration = check_finalize(outcome, duration_ms)
        job = Job(
            recording_id=recording_id, do=lambda batch: batch.finalize(recording_id, checked, duration), needs="log"
        )
        await self._do(session, job)
        self._wake(recording_id)

    async def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the fixture name means. See `SignalStore.publish`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        check_id(name, name="name")
        await self._do(session, Job(recording_id=recording_id, do=lambda batch: batch.publish(recording_id, name)))

    async def load_recording(self, recording_id: str) -> Recording | None:
        """Return a recording with all its signals, or None. See `SignalStore.load_recording`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        reading = LogReading(
            self._pages, recording_id, start=0, stop=None, names=WantedNames(()), whole=True, store=self._name
        )
        signals: list[Signal] = []
        try:
            recording, checkpoints = await session.read(reading.begin)
            while (page := await session.read(reading.page)) is not None:
                signals += page
        except RecordingNotFoundError:
            return None
        return Recording(
            info=recording.info(store=self._name), signals=signals, checkpoints=ordered_checkpoints(checkpoints)
        )

    async def iter_signals(
        self,
        recording_id: str,
        *,
        start: int = 0,
        stop: int | None = None,
        patterns: PatternLike | Sequence[PatternLike] = (),
    ) -> AsyncIterator[Signal]:
        """Yield signals in order of seq, a page at a time. See `SignalStore.iter_signals`.

        Names are looked for through an index where the patterns leave only a few of them.
        """
        session = self._current()
        check_id(recording_id, name="recording_id")
        check_range(start, stop)
        names = WantedNames(patterns)
        reading = LogReading(
            self._pages, recording_id, start=start, stop=stop, names=names, whole=False, store=self._name
        )
        await session.read(reading.begin)
        while (page := await self._current().read(reading.page)) is not None:
            for signal in page:
                yield signal
                self._current()

    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        """Return the recordings that match, newest first. See `SignalStore.list_recordings`.

        Raises:
            CorruptRecordError: What is known of one of them is damaged; the others are found by asking without it.
        """
        session = self._current()
        query = query or RecordingQuery()
        sql, values = self._catalogue.select(query)
        rows = await session.fetch(sql, *values)
        infos = await decode_rows(rows, partial(found_recording, store=self._name))
        return checked_recordings(infos, query, store=self._name)

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        """Return what is known of a recording, or None. See `SignalStore.get_recording_info`."""
        session = self._current()
        rows = await session.fetch(self._catalogue.select_one, check_id(recording_id, name="recording_id"))
        if not rows:
            return None
        info = found_recording(rows[0], store=self._name)
        if info.id != recording_id:
            raise misled(f"it leads from {recording_id!r} to {info.id!r}", store=self._name)
        return info

    async def count_recordings(self, query: RecordingQuery | None = None) -> int:
        """Return how many recordings match. See `SignalStore.count_recordings`."""
        session = self._current()
        sql, values = self._catalogue.count(query or RecordingQuery())
        rows = await session.fetch(sql, *values)
        return cast("int", rows[0][0])

    async def search_recordings(
        self, patterns: PatternLike | Sequence[PatternLike], query: RecordingQuery | None = None
    ) -> list[RecordingMatch]:
        """Return the recordings in which signals followed each other. See `SignalStore.search_recordings`.

        Indexes alone are read, no signals: damage in these shows when they are.

        Raises:
            CorruptRecordError: What is known of a recording is damaged.
        """
        session = self._current()
        search = Search(self._searches, PatternSequence(patterns), query or RecordingQuery(), store=self._name)
        while await session.read(search.step):
            self._current()
        return search.found

    async def wait_for_change(self, known: RecordingInfo) -> None:
        """Wait until a recording is appended to, ends or is gone. See `SignalStore.wait_for_change`.

        What this store writes itself is known at once. Others say what they write (LISTEN and NOTIFY, on a connection of
        its own); where that cannot be heard, the recording is asked for up to every half second.
        """
        await self._follow(self._current()).wait(known)

    async def restore_recording(self, info: RecordingInfo) -> None:
        """Create the empty recording that another store has. See `SignalStore.restore_recording`."""
        session = self._current()
        header = restored_header(info, max_bytes=self._max_bytes)
        job = Job(recording_id=header.id, do=lambda batch: batch.create(header))
        await self._do(session, job, size=len(header.metadata or b""))

    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return the recording published under a fixture name, or None. See `SignalStore.find_recording`.

        Raises:
            CorruptRecordError: What the name means is damaged.
        """
        session = self._current()
        rows = await session.fetch(self._catalogue.select_fixture, check_id(name, name="name"))
        return found_fixture(rows, name, store=self._name)

    async def list_fixtures(self) -> list[str]:
        """Return the fixture names that are published, sorted."""
        rows = await self._current().fetch(self._catalogue.select_fixtures)
        return sorted(cast("str", row[0]) for row in rows)

    async def delete_recording(self, recording_id: str) -> None:
        """Delete a recording. See `SignalStore.delete_recording`.

        Raises:
            StoreError: It could not be deleted.
        """
        session = self._current()
        check_id(recording_id, name="recording_id")
        await session.writer.add(self._writing.delete_recordings, recording_id, rows=1, size=0)
        self._wake(recording_id)

    async def close(self) -> None:
        """Wait for what was begun and close the connections. Closing twice, or at once, is no error."""
        self._closed = True
        if self._following is not None and self._following.session is self._session:
            self._following.wake(None)
        await super().close()

    async def _do(self, session: Session, job: Job, *, rows: int = 1, size: int = 0) -> None:
        await session.writer.add(self._writing.write_jobs, job, rows=rows, size=size)

    def _follow(self, session: Session) -> Following:
        """Return those who follow in the event loop of a session."""
        if self._following is None or self._following.session is not session:
            self._following = Following(session, self._names)
        return self._following

    def _wake(self, recording_id: str) -> None:
        if self._following is not None and self._following.session is self._session:
            self._following.wake(recording_id)
