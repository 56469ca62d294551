"""The signal store in files."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import attrs

from openharness.core.errors import InvalidValueError
from openharness.core.interfaces import SignalStore
from openharness.core.records import Recording, RecordingQuery, RunStatus, check_id, time_ms
from openharness.core.storage import (
    ChangeWaiters,
    EncodedBlob,
    SignalDecoder,
    check_finalize,
    check_range,
    encode_entries,
    name_filter,
    new_header,
    ordered_checkpoints,
    restored_header,
    select_recordings,
)
from openharness.core.values import MAX_BYTES
from openharness.signals._file_store._disk import explained
from openharness.signals._file_store._examining import examine
from openharness.signals._file_store._folder import Folder, reach_of
from openharness.signals._file_store._log_file import LogFiles
from openharness.signals._file_store._pages import SignalPages
from openharness.signals._file_store._publishing import delete, delete_fixture, delete_unpublished, publish
from openharness.signals._file_store._threads import Worker
from openharness.signals._format import MAX_ENTRIES, MAX_RECORDING_BYTES, Limits
from openharness.signals._header import Header
from openharness.signals._upcasting import Upcasting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from typing import Self

    from openharness.core.patterns import PatternLike
    from openharness.core.records import DoctorReport, LogEntry, Moment, Outcome, RecordingInfo, Signal
    from openharness.core.values import JSONValue
    from openharness.signals._upcasting import SignalUpcasters

__all__ = ("FileSignalStore",)

T = TypeVar("T")

_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.1


class FileSignalStore(SignalStore):
    """Keeps each recording in one ``.jsonl`` file, made for version control.

    The recording that is published under a fixture name is the file of that name in the folder: ``my-test.jsonl``. All
    others are in its subfolder ``unpublished``, which tells git to ignore it; they can be read by their owner only, as
    nobody has looked yet at what prompts and answers are in them. Published files have the mode that new files have.

    What was appended is on the disk when `append` returns. Several stores, tasks and processes may use one folder at a
    time; a recording is written by one of them, and a second one with other content gets a `RecordingConflictError`.
    A process that dies leaves its recording ``incomplete``, readable up to its last whole line, and nothing else behind.
    Nothing is ever deleted by itself; `prune_unpublished` deletes what is old and was never published.

    The format of the files is specified on the page "Log format v1" of the documentation.

    Args:
        folder: The folder. Created, with those above it, when the first recording is.
        max_bytes: How large the JSON text of one payload, of one blob, or of one recording's metadata may be; 16 MiB by
            default.
        max_recording_bytes: How large one file may be, written or read; 1 GiB by default.
        max_entries: How many signals, blobs and checkpoints one recording may have together; 2,000,000 by default.
        upcasters: Functions that bring payloads of the program's own signals, as its older releases recorded them, to
            the form of today, by the name of the signal: ``{"order:created": add_currency}``. Each takes a payload and
            returns it, for every payload ever recorded under this name, those of today included; several are applied in
            turn. They are applied when signals are read; the files stay as they are (`migrate` rewrites them).
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        max_recording_bytes: int = MAX_RECORDING_BYTES,
        max_entries: int = MAX_ENTRIES,
        upcasters: SignalUpcasters | None = None,
    ) -> None:
        if not os.fspath(folder):
            raise InvalidValueError("folder", value=folder, expected="the path of a folder ('.' for the current one)")
        # Now, because a program that changes its current folder means the one it had here.
        self._path = Path(folder).absolute()
        self._name = f"FileSignalStore({str(self._path)!r})"
        self._max_bytes = max_bytes
        self._upcast = Upcasting(upcasters, store=self._name)
        self._limits = Limits(max_bytes=max_bytes, max_recording_bytes=max_recording_bytes, max_entries=max_entries)
        self._folder = Folder(self._path, limits=self._limits, store=self._name)
        self._logs = LogFiles(self._folder, limits=self._limits, store=self._name)
        self._worker = Worker(self._name)
        self._waiters = ChangeWaiters()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return a store for ``file:tests/fixtures``, ``file:///var/recordings`` and the like.

        Args:
            url: The scheme ``file``, and a path; characters that mean something in a URL are written as ``%20``.

        Raises:
            InvalidValueError: It is no such URL.
        """
        parts = urlsplit(url)
        if (
            parts.scheme != "file"
            or parts.netloc not in ("", "localhost")
            or parts.query
            or parts.fragment
            or not parts.path
        ):
            raise InvalidValueError(
                "url", value=url, expected="'file:' and the path of a folder ('?' as %3F, '#' as %23)"
            )
        return cls(url2pathname(parts.path))

    @property
    def max_bytes(self) -> int:
        """How large the JSON text of one payload may be, in bytes."""
        return self._max_bytes

    def __repr__(self) -> str:
        """Say where the recordings are."""
        return self._name

    @property
    def folder(self) -> Path:
        """The folder, as an absolute path."""
        return self._path

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
        self._worker.check_open()
        header = new_header(
            run_id=run_id,
            name=name,
            tags=tags,
            metadata=metadata,
            resumed_from=resumed_from,
            max_bytes=self._max_bytes,
        )
        await self._run(partial(self._logs.create, Header.of(header)), header.id)
        return header.id

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Append entries, all or none; on the disk when it returns. See `SignalStore.append`."""
        self._worker.check_open()
        check_id(recording_id, name="recording_id")
        encoded = encode_entries(entries, max_bytes=self._max_bytes)
        await self._run(partial(self._logs.append, recording_id, encoded), recording_id)
        self._waiters.wake(recording_id)

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. See `SignalStore.add_checkpoint`."""
        check_id(recording_id, name="recording_id")
        name = check_id(name, name="name")
        await self._run(partial(self._logs.add_checkpoint, recording_id, name, seq), recording_id)

    async def finalize(self, recording_id: str, *, outcome: Outcome | str, duration_ms: int | None = None) -> None:
        """Close the log and give its file the final form. See `SignalStore.finalize`."""
        check_id(recording_id, name="recording_id")
        checked, duration = check_finalize(outcome, duration_ms)
        await self._run(partial(self._logs.finalize, recording_id, checked, duration), recording_id)
        self._waiters.wake(recording_id)

    async def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the fixture name means: one atomic rename. See `SignalStore.publish`."""
        check_id(recording_id, name="recording_id")
        name = check_id(name, name="name")
        await self._run(partial(publish, self._folder, self._logs, recording_id, name, store=self._name), recording_id)

    async def load_recording(self, recording_id: str) -> Recording | None:
        """Return a recording with all its signals, or None. See `SignalStore.load_recording`."""
        check_id(recording_id, name="recording_id")
        return await self._run(partial(self._load, recording_id))

    async def iter_signals(
        self,
        recording_id: str,
        *,
        start: int = 0,
        stop: int | None = None,
        patterns: PatternLike | Sequence[PatternLike] = (),
    ) -> AsyncIterator[Signal]:
        """Yield signals in order of seq, read a page at a time. See `SignalStore.iter_signals`."""
        self._worker.check_open()
        check_id(recording_id, name="recording_id")
        check_range(start, stop)
        pages = SignalPages(
            self._folder,
            recording_id,
            start=start,
            stop=stop,
            wanted=name_filter(patterns),
            upcast=self._upcast,
            limits=self._limits,
            store=self._name,
        )
        while (page := await self._run(pages.next_page)) is not None:
            for signal in page:
                yield signal
                self._worker.check_open()

    async def follow(
        self, recording_id: str, *, start: int = 0, patterns: PatternLike | Sequence[PatternLike] = ()
    ) -> AsyncIterator[Signal]:
        """Yield signals as they are appended, until the recording ends. See `SignalStore.follow`.

        What this store appends itself is known at once. For what others append the end of the file is looked at, every
        10 ms at first and ten times a second where nothing happens for long.
        """
        self._worker.check_open()
        check_id(recording_id, name="recording_id")
        check_range(start, None)
        pages = SignalPages(
            self._folder,
            recording_id,
            start=start,
            stop=None,
            wanted=name_filter(patterns),
            upcast=self._upcast,
            limits=self._limits,
            store=self._name,
            follow=True,
        )
        pause = _FIRST_PAUSE
        while (page := await self._run(pages.next_page)) is not None:
            for signal in page:
                yield signal
                self._worker.check_open()
            if pages.is_waiting:
                await self._waiters.wait(recording_id, pause)
                pause = min(1.5 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        """Return what is known of a recording, or None. See `SignalStore.get_recording_info`."""
        check_id(recording_id, name="recording_id")
        return await self._run(lambda: self._info(self._folder.find(recording_id), recording_id))

    async def count_recordings(self, query: RecordingQuery | None = None) -> int:
        """Return how many recordings match. See `SignalStore.count_recordings`."""
        return len(await self.list_recordings(query))

    async def restore_recording(self, info: RecordingInfo) -> None:
        """Create the empty recording that another store has. See `SignalStore.restore_recording`."""
        self._worker.check_open()
        header = Header.of(restored_header(info, max_bytes=self._max_bytes))
        await self._run(partial(self._logs.restore, header), header.id)

    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        """Return the recordings that match, newest first. See `SignalStore.list_recordings`.

        The header and the footer of each file are read; only what is not finalized is read through. Files that cannot
        be read are left out, with a warning in the log of this package.
        """
        return await self._run(partial(self._list, query or RecordingQuery()))

    async def iter_recordings(self, query: RecordingQuery | None = None) -> AsyncIterator[RecordingInfo]:
        """Yield the recordings that match; the folder is gone through once. See `SignalStore.iter_recordings`."""
        for info in await self.list_recordings(query):
            yield info
            self._worker.check_open()

    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return the recording published under a fixture name, or None. See `SignalStore.find_recording`.

        Raises:
            CorruptRecordError: The header of its file is damaged.
            StoreVersionError: Its file was written by a newer version.
        """
        check_id(name, name="name")
        return await self._run(partial(self._find, name))

    async def list_fixtures(self) -> list[str]:
        """Return the fixture names that are published, sorted."""
        return await self._run(self._fixtures)

    async def delete_recording(self, recording_id: str) -> None:
        """Delete a recording. See `SignalStore.delete_recording`."""
        check_id(recording_id, name="recording_id")
        await self._run(partial(delete, self._folder, self._logs, recording_id), recording_id)
        self._waiters.wake(recording_id)

    async def delete_fixture(self, name: str) -> None:
        """Delete the file that a fixture name means; if there is none, that is no error.

        Unlike `delete_recording`, it leaves the files of other names alone, also where they hold the same recording: the
        copy of a fixture is another fixture.

        Args:
            name: The fixture name.

        Raises:
            CorruptRecordError: The header of the file is damaged.
            StoreVersionError: The file was written by a newer version.
        """
        check_id(name, name="name")
        await self._run(partial(delete_fixture, self._folder, self._logs, name))

    async def prune_unpublished(
        self,
        *,
        older_than: Moment | None = None,
        keep_last: int | None = None,
        outcome: Outcome | str | Iterable[Outcome | str] | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete old recordings of the subfolder ``unpublished`` and return how many. Nothing else ever deletes them.

        What a fixture name means stays, also when it is given one meanwhile, and so does what a recording that stays
        was resumed from. Files that cannot be read stay, too; `doctor` names them. What was cut off of a recording is
        deleted with it.

        Args:
            older_than: Delete only recordings that were created before this time.
            keep_last: Keep this many of the newest, counted among the unpublished ones with the given outcome, and delete
                only from the rest.
            outcome: Delete only recordings with this outcome, or one of several. Those that are ``incomplete``, as they
                go on or may be resumed, are deleted only if this says so.
            dry_run: Count, but delete nothing.

        Raises:
            InvalidValueError: Neither ``older_than`` nor ``keep_last`` is given (deleting everything should be said:
                ``keep_last=0``), or one is not valid.
        """
        if older_than is None and keep_last is None:
            raise InvalidValueError("prune_unpublished", value=None, expected="given older_than, keep_last, or both")
        before = None if older_than is None else time_ms(older_than, name="older_than")
        wanted = set(RunStatus) if outcome is None else outcome
        query = RecordingQuery(outcome=wanted, offset=0 if keep_last is None else keep_last)
        return await self._run(partial(self._prune, query, before, dry_run=dry_run))

    async def doctor(self) -> DoctorReport:
        """Examine the folder, and report what is wrong instead of raising it. See `SignalStore.doctor`.

        Every recording is read. Files that are in no listing, because their header is damaged or newer, are found as well,
        and recordings with zeros at their end: a power loss leaves them, and so does damage to what was there.
        """
        report = await super().doctor()
        found = await self._run(lambda: list(examine(self._folder, self._logs)))
        return attrs.evolve(report, findings=(*report.findings, *found))

    async def close(self) -> None:
        """Wait for what was begun. There is nothing to give back: no file stays open between two calls."""
        self._waiters.wake_all()
        await self._worker.close()

    async def _run(self, work: Callable[[], T], key: str | None = None) -> T:
        def explained_work() -> T:
            with explained(self._name):
                return work()

        return await self._worker.run(explained_work, key=key)

    def _load(self, recording_id: str) -> Recording | None:
        content = self._logs.read(recording_id)
        if content is None:
            return None
        blobs: dict[str, bytes] = {}
        decoder = SignalDecoder(blobs, recording_id=recording_id, store=self._name)
        signals: list[Signal] = []
        for entry in content.entries:
            if isinstance(entry, EncodedBlob):
                blobs[entry.digest] = entry.data
            else:
                signals.append(self._upcast(decoder.decode(entry), recording_id=recording_id))
        return Recording(
            info=content.header.info(content.summary),
            signals=signals,
            checkpoints=ordered_checkpoints(content.checkpoints),
        )

    def _list(self, query: RecordingQuery) -> list[RecordingInfo]:
        infos: dict[str, RecordingInfo] = {}
        for path, header in self._folder.files():
            # Most conditions are about the header; what cannot match need not be read any further.
            if (query.run_id is not None and header.run_id != query.run_id) or (
                query.name is not None and header.name != query.name
            ):
                continue
            info = self._info(path, header.id)
            # Of several files of one recording, that which is read.
            if info is not None and (info.id not in infos or reach_of(info) > reach_of(infos[info.id])):
                infos[info.id] = info
        return select_recordings(infos.values(), query)

    def _prune(self, query: RecordingQuery, before: int | None, *, dry_run: bool) -> int:
        infos = self._list(RecordingQuery())
        published = {header.id for _, header in self._folder.published()}
        unpublished = [info for info in infos if info.id not in published]
        chosen = select_recordings(unpublished, query)
        doomed = {info.id for info in chosen if before is None or info.created_at < before}
        # The newest first: what one that stays continues comes after it.
        for info in infos:
            if info.id not in doomed:
                doomed.discard(info.resumed_from or "")
        if dry_run:
            return len(doomed)
        return sum(delete_unpublished(self._folder, self._logs, recording_id) for recording_id in sorted(doomed))

    def _info(self, path: Path | None, recording_id: str) -> RecordingInfo | None:
        """The info of a recording, also when its file is given another name in this moment."""
        for _ in range(_ATTEMPTS):
            if path is None:
                return None
            with contextlib.suppress(FileNotFoundError):
                info = self._folder.info(path)
                if info.id == recording_id:
                    return info
            path = self._folder.find(recording_id)
        return None

    def _find(self, name: str) -> RecordingInfo | None:
        path = self._folder.fixture_path(name)
        try:
            header = self._folder.header(path)
            return self._folder.info(path) if self._folder.fixture_name(path, header) == name else None
        except FileNotFoundError:
            return None

    def _fixtures(self) -> list[str]:
        names = (self._folder.fixture_name(path, header) for path, header in self._folder.published())
        return sorted(name for name in names if name is not None)
