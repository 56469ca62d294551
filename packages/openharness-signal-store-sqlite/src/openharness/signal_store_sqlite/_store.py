"""The store itself: what `SignalStore` promises, in terms of jobs, pages and queries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, cast

from openharness.core import Recording, RecordingNotFoundError, RecordingQuery, SignalStore
from openharness.core.patterns import PatternSequence
from openharness.core.records import check_id
from openharness.core.storage import (
    ChangeWaiters,
    check_finalize,
    check_range,
    decode_rows,
    encode_entries,
    new_header,
    ordered_checkpoints,
    restored_header,
)
from openharness.core.values import MAX_BYTES
from openharness.signal_store_sqlite import _catalogue as catalogue
from openharness.signal_store_sqlite._names import WantedNames
from openharness.signal_store_sqlite._reading import LogReading
from openharness.signal_store_sqlite._schema import SCHEMA
from openharness.signal_store_sqlite._search import Search
from openharness.signal_store_sqlite._writing import Job, write_jobs
from openharness.sqlite import SqliteStore, misled

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from openharness.core import LogEntry, Outcome, RecordingInfo, RecordingMatch, Signal
    from openharness.core.patterns import PatternLike
    from openharness.core.values import JSONValue
    from openharness.sqlite import Durability, Session

__all__ = ("SqliteSignalStore",)

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.1


class SqliteSignalStore(SqliteStore, SignalStore):
    """Keeps recordings in one SQLite file; it may be the file of a `SqliteRunStore`.

    Any number of tasks, and several processes of one machine, may use the same file. What is appended at the same time,
    by whichever runs, is written in one transaction, and each `append` returns when its own signals are durable.

    The store opens the file on first use, creating it if there is none. It belongs to the event loop it was first used
    in; when that is closed, it may be used in another. Use ``async with``, or call `close` at the end::

        async with SqliteSignalStore("runs.db") as store:
            await harness.run_reactive(..., store=store, mode="record")

    Args:
        filename: The path of the file. Its folder must exist, on a local disk.
        durability: What an append that has returned survives: ``"full"``, the default, also a power cut (on disks that
            keep what they say they have written); ``"process"`` the end of the process however it comes, but perhaps
            not that of the machine. It is faster where the disk is slow.
        busy_timeout: How many seconds to wait while other processes write, before `StoreBusyError`.
        max_bytes: How large the JSON text of one payload, of one blob, or of one recording's metadata may be; 16 MiB by
            default.

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
        self._write = partial(write_jobs, store=self._name)
        self._waiters = ChangeWaiters()

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
        await self._do(session, lambda tables: tables.create(header), size=len(header.metadata or b""))
        return header.id

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Append entries, all or none. See `SignalStore.append`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        encoded = encode_entries(entries, max_bytes=self._max_bytes)
        size = sum([entry.size for entry in encoded])
        await self._do(session, lambda tables: tables.append(recording_id, encoded), rows=len(encoded), size=size)
        self._waiters.wake(recording_id)

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. See `SignalStore.add_checkpoint`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        check_id(name, name="name")
        await self._do(session, lambda tables: tables.add_checkpoint(recording_id, name, seq))

    async def finalize(self, recording_id: str, *, outcome: Outcome | str, duration_ms: int | None = None) -> None:
        """Close the log. See `SignalStore.finalize`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        checked, duration = check_finalize(outcome, duration_ms)
        await self._do(session, lambda tables: tables.finalize(recording_id, checked, duration))
        self._waiters.wake(recording_id)

    async def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the fixture name means. See `SignalStore.publish`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        check_id(name, name="name")
        await self._do(session, lambda tables: tables.publish(recording_id, name))

    async def load_recording(self, recording_id: str) -> Recording | None:
        """Return a recording with all its signals, or None. See `SignalStore.load_recording`."""
        session = self._current()
        check_id(recording_id, name="recording_id")
        reading = LogReading(recording_id, start=0, stop=None, names=WantedNames(()), whole=True, store=self._name)
        signals: list[Signal] = []
        try:
            recording, checkpoints = await session.call(reading.begin)
            while (page := await session.call(reading.page)) is not None:
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
        reading = LogReading(recording_id, start=start, stop=stop, names=names, whole=False, store=self._name)
        await session.call(reading.begin)
        while (page := await self._current().call(reading.page)) is not None:
            for signal in page:
                yield signal
                self._check_open()

    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        """Return the recordings that match, newest first. See `SignalStore.list_recordings`.

        Raises:
            CorruptRecordError: What is known of one of them is damaged; the others are found by asking without it.
        """
        session = self._current()
        query = query or RecordingQuery()
        rows = await session.read(catalogue.select_recordings(query))
        infos = await decode_rows(rows, partial(catalogue.found_recording, store=self._name))
        return catalogue.checked_recordings(infos, query, store=self._name)

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        """Return what is known of a recording, or None. See `SignalStore.get_recording_info`."""
        session = self._current()
        rows = await session.read(catalogue.select_recording(check_id(recording_id, name="recording_id")))
        if not rows:
            return None
        info = catalogue.found_recording(rows[0], store=self._name)
        if info.id != recording_id:
            raise misled(f"it leads from {recording_id!r} to {info.id!r}", store=self._name)
        return info

    async def count_recordings(self, query: RecordingQuery | None = None) -> int:
        """Return how many recordings match. See `SignalStore.count_recordings`."""
        rows = await self._current().read(catalogue.count_recordings(query or RecordingQuery()))
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
        search = Search(PatternSequence(patterns), query or RecordingQuery(), store=self._name)
        while await session.call(search.step):
            self._check_open()
        return search.found

    async def wait_for_change(self, known: RecordingInfo) -> None:
        """Wait until a recording is appended to, ends or is gone. See `SignalStore.wait_for_change`.

        What this store writes itself is known at once. For what others write the file is asked, every 10 ms at first and
        ten times a second where nothing happens for long; that costs some tens of microseconds.
        """
        pause = _FIRST_PAUSE
        while True:
            rows = await self._current().read(catalogue.select_progress(known.id))
            if rows != [(known.signal_count, known.outcome.encode())]:
                return
            await self._waiters.wait(known.id, pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    async def restore_recording(self, info: RecordingInfo) -> None:
        """Create the empty recording that another store has. See `SignalStore.restore_recording`."""
        session = self._current()
        header = restored_header(info, max_bytes=self._max_bytes)
        await self._do(session, lambda tables: tables.restore(header), size=len(header.metadata or b""))

    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return the recording published under a fixture name, or None. See `SignalStore.find_recording`.

        Raises:
            CorruptRecordError: What the name means is damaged.
        """
        session = self._current()
        rows = await session.read(catalogue.select_fixture(check_id(name, name="name")))
        return catalogue.found_fixture(rows, name, store=self._name)

    async def list_fixtures(self) -> list[str]:
        """Return the fixture names that are published, sorted."""
        rows = await self._current().read(catalogue.select_fixtures())
        return catalogue.fixture_names(rows, store=self._name)

    async def delete_recording(self, recording_id: str) -> None:
        """Delete a recording. See `SignalStore.delete_recording`.

        The file keeps its size; the room is used for the next recordings.

        Raises:
            StoreError: It could not be deleted. A full disk is one reason: SQLite writes down what it deletes.
        """
        session = self._current()
        check_id(recording_id, name="recording_id")
        await self._do(session, lambda tables: tables.delete(recording_id))
        self._waiters.wake(recording_id)

    async def close(self) -> None:
        """Wait for what was begun and close the file. Closing twice, or at once, is no error."""
        self._waiters.wake_all()
        await super().close()

    async def _do(self, session: Session, job: Job, *, rows: int = 1, size: int = 0) -> None:
        await session.writer.add(self._write, job, rows=rows, size=size)
