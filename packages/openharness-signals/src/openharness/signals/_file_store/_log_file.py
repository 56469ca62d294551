"""The file of one recording: appended to while the run goes on, written anew when it is finalized."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import storage as rules
from openharness.core.errors import (
    RecordingFinalizedError,
    RecordingNotFoundError,
    SerializationError,
    StoreReadOnlyError,
)
from openharness.core.storage import (
    EncodedBlob,
    EncodedEntry,
    EncodedSignal,
    MessagePool,
    RecordingSummary,
    encode_entries,
)
from openharness.signals._errors import RecordingTooLargeError
from openharness.signals._file_store import _disk as disk
from openharness.signals._file_store._names import file_stem
from openharness.signals._format import (
    LineWriter,
    LogReader,
    released,
    write_checkpoint,
    write_footer,
    write_header,
    write_recording,
)
from openharness.signals._header import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Sequence

    from openharness.core.records import LogEntry, Outcome, Signal
    from openharness.signals._file_store._folder import Folder
    from openharness.signals._format import Limits

__all__ = ("Content", "LogFiles", "file_content", "pooled_entries")

_MOST_OPEN: Final = 256
_ATTEMPTS: Final = 5

_logger = logging.getLogger("openharness.signals")


@attrs.frozen
class Content:
    """All that a file holds.

    Attributes:
        header: What its first line says.
        entries: Its signals and blobs, in order.
        checkpoints: The positions of its checkpoints, by name.
        summary: What that amounts to.
        torn: What was cut off at its end.
        doubt: Why that may be more than an append that nobody was told of; None where it cannot.
    """

    header: Header
    entries: list[EncodedEntry]
    checkpoints: dict[str, int]
    summary: RecordingSummary
    torn: bytes = b""
    doubt: str | None = None

    def position(self) -> rules.LogPosition:
        """How far the log has been written, as the rules of `openharness.core.storage` ask."""
        return _position(self.header, self.summary, count=self.summary.signal_count, digests=())


@attrs.define(eq=False)
class _Tail:
    """How far a log has been written: what an append must know, so that it need not read the file again."""

    path: Path
    file: tuple[int, int]
    size: int
    header: Header
    signal_count: int
    digests: set[str]
    checkpoints: dict[str, int]
    summary: RecordingSummary
    lacks_line_end: bool
    writer: LineWriter

    def position(self) -> rules.LogPosition:
        return _position(self.header, self.summary, count=self.signal_count, digests=self.digests)

    def added(self, entries: Sequence[EncodedEntry], size: int) -> None:
        for entry in entries:
            if isinstance(entry, EncodedBlob):
                self.digests.add(entry.digest)
            else:
                self.signal_count += 1
        self.size += size
        self.lacks_line_end = False


def _position(header: Header, summary: RecordingSummary, *, count: int, digests: Collection[str]) -> rules.LogPosition:
    return rules.LogPosition(header.id, count, digests, summary.outcome, summary.duration_ms)


def pooled_entries(signals: Iterable[Signal], *, max_bytes: int) -> list[EncodedEntry]:
    """Return signals whose payloads are whole as the entries of a log, what they repeat as blobs.

    Raises:
        SerializationError: A payload cannot be stored, or is too large.
    """
    entries: list[LogEntry] = []
    pool = MessagePool()
    for signal in signals:
        blobs, pooled = pool.pool(signal)
        entries += [*blobs, pooled]
    return encode_entries(entries, max_bytes=max_bytes)


def file_content(content: Content) -> bytes:
    """Return the bytes of a file, which depend on nothing but what it is to hold."""
    counted = attrs.evolve(
        content.summary,
        checkpoint_count=len(content.checkpoints),
    )
    return write_recording(content.header, content.entries, content.checkpoints, counted)


class LogFiles:
    """Changes the logs of the recordings in a folder. Its methods do I/O and may be called by any thread.

    Args:
        folder: Knows which file holds which recording.
        limits: How much to take from a file.
        store: The store as it names itself, for errors.
    """

    def __init__(self, folder: Folder, *, limits: Limits, store: str) -> None:
        self._folder = folder
        self._limits = limits
        self._store = store
        self._tails: OrderedDict[str, _Tail] = OrderedDict()

    def create(self, header: Header) -> None:
        """Write the file of a new recording."""
        line = write_header(header)
        if len(line) > self._limits.max_line:
            reason = f"with the tags it may take at most {self._limits.max_line:,} bytes"
            raise SerializationError("metadata", value=len(line), reason=reason)
        self._folder.make()
        path = self._folder.private_path(header.id)
        disk.create_file(path, line, temporary=self._folder.temporary_path(header.id))

    def restore(self, header: Header) -> None:
        """Write the file of a recording that another store has, unless it is there.

        Raises:
            RecordingConflictError: There is another recording of this id.
        """
        with self._folder.lock(header.id) as over:
            path = self._folder.find(header.id)
            known = None if path is None else self._folder.header(path)
            if rules.needs_restoring(known, header, store=self._store):
                self.create(header)
            elif path is not None and self._folder.info(path).outcome != "incomplete":
                over()

    def append(self, recording_id: str, entries: Sequence[EncodedEntry]) -> None:
        """Add entries at the end of a log: one write of whole lines, on the disk when it returns.

        Raises:
            RecordingNotFoundError: There is no such recording.
            RecordingFinalizedError: It is closed.
            RecordingConflictError: A signal is there with other content, or would leave a gap.
            SerializationError: A signal refers to a blob that is not there.
            CorruptRecordError: What is there is damaged.
            StoreFullError: There is no room.
            RecordingTooLargeError: It would become larger than the limits allow.
        """
        with self._changing(recording_id), self._opened(recording_id) as (descriptor, tail):
            position = tail.position()
            new = rules.plan_append(position, entries, self._existing(tail), store=self._store)
            lines = tail.writer.write_append(new)
            self._check_room(tail, len(new), len(lines))
            # Also with nothing new: what is repeated may have been written by an append that failed to make it durable.
            self._extend(descriptor, tail, lines)
            tail.added(new, len(lines))

    def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. What is finalized is written anew, so that the footer stays at the end.

        Raises:
            RecordingConflictError: The name stands for another position, or there is no such signal.
        """
        with self._changing(recording_id) as over:
            with self._opened(recording_id) as (descriptor, tail):
                is_new = rules.needs_checkpoint(tail.position(), tail.checkpoints, name, seq, store=self._store)
                is_open = tail.summary.outcome == "incomplete"
                if is_new and is_open:
                    line = write_checkpoint(name, seq)
                    self._check_room(tail, 1, len(line))
                    self._extend(descriptor, tail, line)
                    tail.added((), len(line))
                    tail.checkpoints[name] = seq
            if is_open:
                return
            if is_new:
                with self._folder.lock_names():
                    content = self._content(recording_id)
                    content.checkpoints[name] = seq
                    self.rewrite(content)
            over()

    def finalize(self, recording_id: str, outcome: Outcome, duration_ms: int | None) -> None:
        """Close a log: the file is written anew in its final form, which then takes the place of the old one.

        Raises:
            RecordingFinalizedError: It was closed with another outcome or duration.
        """
        with self._changing(recording_id) as over, self._folder.lock_names():
            content = self._content(recording_id)
            if rules.needs_finalizing(content.position(), outcome, duration_ms, store=self._store):
                summary = attrs.evolve(content.summary, outcome=outcome, duration_ms=duration_ms)
                try:
                    self.rewrite(attrs.evolve(content, summary=summary))
                except PermissionError:
                    # Windows replaces no file that somebody reads. A footer closes the log as well; it is only less neat.
                    self._append_footer(recording_id, summary)
            over()
        self._tails.pop(recording_id, None)

    def read(self, recording_id: str) -> Content | None:
        """Return all that a recording holds, or None if there is none.

        Raises:
            CorruptRecordError: A part of it is damaged.
        """
        for _ in range(_ATTEMPTS):
            path = self._folder.find(recording_id)
            if path is None:
                return None
            with contextlib.suppress(FileNotFoundError):
                content = self.read_file(path)
                if content.header.id == recording_id:
                    return content
            # It was given another name in this moment.
            self._folder.forget(path)
        return None

    def rewrite(self, content: Content) -> None:
        """Write all files of a recording anew, in their final form. Both locks are held.

        Args:
            content: What they shall hold; its counts need not be right.

        Raises:
            RecordingNotFoundError: There are none: somebody who knows no locks removed them.
        """
        recording_id = content.header.id
        paths = self._folder.paths(recording_id)
        if not paths:
            raise RecordingNotFoundError(recording_id, store=self._store)
        first, *others = paths
        data = file_content(content)
        if content.torn:
            self._set_aside(recording_id, content.torn)
        temporary = self._folder.temporary_path(recording_id)
        disk.create_file(first, data, temporary=temporary, mode=first.stat().st_mode & 0o777)
        for path in others:
            disk.link_or_copy(first, path, temporary=temporary)
        self._tails.pop(recording_id, None)

    def forget(self, recording_id: str) -> None:
        """Forget how far a log has been written, because its file was given another name or removed."""
        self._tails.pop(recording_id, None)

    @contextlib.contextmanager
    def _changing(self, recording_id: str) -> Generator[Callable[[], None]]:
        # Before the lock, which would leave a file behind for every id that somebody thinks of.
        if recording_id not in self._tails and self._folder.find(recording_id) is None:
            raise RecordingNotFoundError(recording_id, store=self._store)
        with self._folder.lock(recording_id) as over:
            try:
                yield over
            except (RecordingNotFoundError, RecordingFinalizedError):
                over()
                raise

    @contextlib.contextmanager
    def _opened(self, recording_id: str) -> Generator[tuple[int, _Tail]]:
        """Open the file of a recording for appending, and find out how far it has been written."""
        for _ in range(_ATTEMPTS):
            known = self._tails.get(recording_id)
            path = self._folder.find(recording_id) if known is None else known.path
            if path is None:
                break
            try:
                descriptor = disk.open_file(path, os.O_RDWR | os.O_APPEND)
            except FileNotFoundError:
                self._tails.pop(recording_id, None)
                continue
            try:
                status = os.fstat(descriptor)
                tail: _Tail | None
                if known is not None and (known.file, known.size) == ((status.st_dev, status.st_ino), status.st_size):
                    tail = known
                else:
                    tail = self._read_tail(descriptor, path, recording_id)
                if tail is None:
                    self._tails.pop(recording_id, None)
                    self._folder.forget(path)
                    continue
                if tail.header.version != released().current:
                    raise StoreReadOnlyError(
                        f"{path} is written in version {tail.header.version} of the format, and this code adds to files "
                        f"of version {released().current} only. Bring it to that version with openharness.signals.migrate.",
                        store=self._store,
                    )
                self._remember(recording_id, tail)
                yield descriptor, tail
            finally:
                os.close(descriptor)
            return
        raise RecordingNotFoundError(recording_id, store=self._store)

    def _remember(self, recording_id: str, tail: _Tail) -> None:
        self._tails[recording_id] = tail
        self._tails.move_to_end(recording_id)
        while len(self._tails) > _MOST_OPEN:
            self._tails.popitem(last=False)

    def _read_tail(self, descriptor: int, path: Path, recording_id: str) -> _Tail | None:
        """Find out how far a file has been written, and cut off a torn end; None if it is another recording's."""
        status = os.fstat(descriptor)
        reader = self._reader(path)
        reader.feed(disk.read_at(descriptor, 0, status.st_size))
        # Before anything is cut off: the lock of another recording is not held.
        if reader.header is not None and reader.header.id != recording_id:
            return None
        reader.finish()
        assert reader.header is not None  # noqa: S101 - `finish` would have raised
        if reader.torn:
            self._set_aside(reader.header.id, reader.torn)
            os.ftruncate(descriptor, reader.size)
            disk.sync(descriptor)
        return _Tail(
            path=path,
            file=(status.st_dev, status.st_ino),
            size=reader.size,
            header=reader.header,
            signal_count=reader.signal_count,
            digests=reader.digests,
            checkpoints=reader.checkpoints,
            summary=reader.summary,
            lacks_line_end=reader.lacks_line_end,
            writer=LineWriter(reader.header),
        )

    def _set_aside(self, recording_id: str, fragment: bytes) -> None:
        """Keep what was cut off: it was never acknowledged, but somebody may want to see it."""
        path = self._folder.private / f"{file_stem(recording_id)}.torn"
        descriptor = disk.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            disk.write_all(descriptor, fragment + b"\n")
            disk.sync(descriptor)
        finally:
            os.close(descriptor)
        _logger.warning(
            "recording %s was cut off; the %d bytes at its end are kept in %s", recording_id, len(fragment), path
        )

    def _extend(self, descriptor: int, tail: _Tail, lines: bytes) -> None:
        size = tail.size
        if tail.lacks_line_end and lines:
            lines = b"\n" + lines
            tail.size += 1
        try:
            disk.write_all(descriptor, lines)
            disk.sync(descriptor)
        except BaseException:
            self._tails.pop(tail.header.id, None)
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise

    def _existing(self, tail: _Tail) -> rules.ExistingSignals:
        def existing(start: int, stop: int) -> list[EncodedSignal]:
            entries = self.read_file(tail.path).entries
            signals = [entry for entry in entries if isinstance(entry, EncodedSignal)]
            return signals[start:stop]

        return existing

    def _content(self, recording_id: str) -> Content:
        content = self.read(recording_id)
        if content is None:
            raise RecordingNotFoundError(recording_id, store=self._store)
        return content

    def read_file(self, path: Path) -> Content:
        """Return all that a file holds.

        Raises:
            CorruptRecordError: A part of it is damaged.
            RecordingTooLargeError: It is larger than the limits allow.
        """
        return self.content_of(path, self.read_bytes(path))

    def read_bytes(self, path: Path) -> bytes:
        """Return the bytes of a file.

        Raises:
            RecordingTooLargeError: There are more than the limits allow.
        """
        with disk.reading(path) as (descriptor, status):
            if status.st_size > self._limits.max_recording_bytes:
                raise self._too_large(path.name, "max_recording_bytes")
            return disk.read_at(descriptor, 0, status.st_size)

    def content_of(self, path: Path, data: bytes) -> Content:
        """Return what the bytes of a file mean.

        Raises:
            CorruptRecordError: A part of them is damaged.
            RecordingTooLargeError: There is more of something than the limits allow.
        """
        reader = self._reader(path)
        entries = reader.feed(data)
        entries += reader.finish()
        assert reader.header is not None  # noqa: S101 - `finish` would have raised
        if reader.doubt is not None:
            _logger.warning("%s: %s", path, reader.doubt)
        return Content(reader.header, entries, reader.checkpoints, reader.summary, reader.torn, reader.doubt)

    def _check_room(self, tail: _Tail, entries: int, size: int) -> None:
        if tail.size + size > self._limits.max_recording_bytes:
            raise self._too_large(tail.header.id, "max_recording_bytes")
        if tail.signal_count + len(tail.digests) + len(tail.checkpoints) + entries > self._limits.max_entries:
            raise self._too_large(tail.header.id, "max_entries")

    def _too_large(self, recording_id: str, limit: str) -> RecordingTooLargeError:
        allowed: int = getattr(self._limits, limit)
        return RecordingTooLargeError(recording_id, limit=limit, allowed=allowed, store=self._store)

    def _reader(self, path: Path) -> LogReader:
        return LogReader(path.name, limits=self._limits, store=self._store)

    def _append_footer(self, recording_id: str, summary: RecordingSummary) -> None:
        with self._opened(recording_id) as (descriptor, tail):
            self._extend(descriptor, tail, write_footer(summary))
