"""Which file holds which recording, and which fixture name means it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.errors import CorruptRecordError, StoreError, StoreVersionError
from openharness.core.storage import RecordingSummary
from openharness.signals._file_store import _disk as disk
from openharness.signals._file_store._names import SUFFIX, file_stem, stem_as_name
from openharness.signals._format import LogReader, read_footer, read_header, released
from openharness.signals._header import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from openharness.core.records import RecordingInfo
    from openharness.signals._format import Limits

__all__ = ("PRIVATE_FOLDER", "Folder", "reach_of")

PRIVATE_FOLDER: Final = "unpublished"
"""The subfolder of the recordings that no fixture name means."""

_IGNORE: Final = b"# Recordings that are not published; git shall not see them.\n*\n"
_GLANCE: Final = 64 * 1024
_MOST_REMEMBERED: Final = 4096

_logger = logging.getLogger("openharness.signals")


@attrs.frozen
class _Known:
    """What a file said when it was looked at, and the state it was in."""

    signature: disk.Signature
    header: Header
    summary: RecordingSummary | None


class Folder:
    """A folder of recordings. Its methods do I/O and may be called by any thread.

    Args:
        path: The folder; it need not exist yet.
        limits: How much to take from a file.
        store: The store as it names itself, for errors.

    Attributes:
        path: The folder, with the published recordings in it.
        private: Its subfolder, with all others.
    """

    def __init__(self, path: Path, *, limits: Limits, store: str) -> None:
        self.path = path
        self.private = path / PRIVATE_FOLDER
        self._limits = limits
        self._store = store
        self._known: dict[Path, _Known] = {}
        self._is_made = False

    def make(self) -> None:
        """Create the folder and its subfolder where they do not exist; durable when it returns."""
        if not (self._is_made and self.private.is_dir()):
            disk.make_folder(self.private)
            self._is_made = True
        ignore = self.private / ".gitignore"
        if not ignore.exists():
            # Several processes and threads may be the first.
            temporary = self.private / f".gitignore.{os.getpid()}.{threading.get_ident()}.tmp"
            disk.create_file(ignore, _IGNORE, temporary=temporary, mode=0o666)

    def private_path(self, recording_id: str) -> Path:
        """Return where a recording is as long as it is not published."""
        return self.private / (file_stem(recording_id) + SUFFIX)

    def fixture_path(self, name: str) -> Path:
        """Return where the recording is that a fixture name means."""
        return self.path / (file_stem(name) + SUFFIX)

    def temporary_path(self, recording_id: str) -> Path:
        """Return where new content of a recording is written before it takes its place."""
        return self.private / f".{file_stem(recording_id)}.tmp"

    @contextlib.contextmanager
    def lock(self, recording_id: str) -> Generator[Callable[[], None]]:
        """Keep all others from changing a recording. Yields a function that tells that there will be no more changes."""
        path = self.private / f".{file_stem(recording_id)}.lock"
        self.make()
        with disk.locked(path, store=self._store):
            over: list[Path] = []
            try:
                yield lambda: over.append(path)
            finally:
                for unneeded in over:
                    with contextlib.suppress(OSError):  # Windows removes no file that somebody waits for.
                        unneeded.unlink()

    @contextlib.contextmanager
    def lock_names(self) -> Generator[None]:
        """Keep all others from giving files of this folder other names. Taken after the lock of a recording."""
        self.make()
        with disk.locked(self.private / ".names.lock", store=self._store):
            yield

    def find(self, recording_id: str) -> Path | None:
        """Return the file of a recording, or None if there is none.

        Of several with other content, as exports of one run at two times are, the one that goes furthest.
        """
        paths = self.paths(recording_id)
        if not paths and (private := self.private_path(recording_id)).is_file():
            return private  # It was published, and given its unpublished name again while this looked elsewhere.
        return max(paths, key=self._reach) if len(paths) > 1 else next(iter(paths), None)

    def paths(self, recording_id: str) -> list[Path]:
        """Return all files of a recording: it may be published under several names."""
        private = self.private_path(recording_id)
        return [*([private] if private.is_file() else []), *self._published_paths(recording_id)]

    def header(self, path: Path) -> Header:
        """Return the header of a file.

        Raises:
            CorruptRecordError: It has none, or a damaged one.
            StoreVersionError: It was written by a newer version.
        """
        return self._look(path).header

    def fixture_name(self, path: Path, header: Header) -> str | None:
        """Return the fixture name that means a file; None for files that none means."""
        if path.parent != self.path:
            return None
        stem = path.name.removesuffix(SUFFIX)
        if (name := stem_as_name(stem)) is not None:
            return name
        names = (name for name in (header.published_as, header.name) if name is not None)
        return next((name for name in names if file_stem(name) == stem), None)

    def info(self, path: Path) -> RecordingInfo:
        """Return what there is to know about the recording in a file, from its first and its last line if they suffice.

        Raises:
            CorruptRecordError: Its header is damaged. Damage further down shows when the signals are read.
            StoreVersionError: It was written by a newer version.
        """
        known = self._look(path)
        if known.summary is None:
            known = self._count(path)
        assert known.summary is not None  # noqa: S101 - for type checkers
        return known.header.info(known.summary)

    def files(self) -> Iterator[tuple[Path, Header]]:
        """Yield every file once, the published ones first. One that cannot be read is told of in the log."""
        seen: set[tuple[Path, str]] = set()
        # Files are renamed meanwhile. What is published is in the one folder before it is gone from the other, and what
        # is replaced likewise; so whoever looks at all three finds everything.
        for folder in (self.path, self.private, self.path):
            for path in _files_of(folder):
                header = self._readable(path)
                if header is not None and (path, header.id) not in seen:
                    seen.add((path, header.id))
                    yield path, header

    def all_paths(self) -> list[Path]:
        """Return every file, also those that cannot be read."""
        return [*_files_of(self.path), *_files_of(self.private)]

    def published(self) -> Iterator[tuple[Path, Header]]:
        """Yield every published file that can be read."""
        for path in _files_of(self.path):
            header = self._readable(path)
            if header is not None:
                yield path, header

    def forget(self, path: Path) -> None:
        """Look at a file anew the next time."""
        self._known.pop(path, None)

    def _published_paths(self, recording_id: str) -> Iterator[Path]:
        return (path for path, header in self.published() if header.id == recording_id)

    def _reach(self, path: Path) -> tuple[bool, int, bool]:
        """How far the recording in a file goes: one that ended goes further than one that has not."""
        try:
            ended, count = reach_of(self.info(path))
        except (OSError, CorruptRecordError, StoreVersionError):
            return False, -1, False
        # Of equals: what goes on is written where it is not published, and what has ended may have been migrated.
        return ended, count, ended == (path.parent == self.path)

    def _readable(self, path: Path) -> Header | None:
        try:
            return self.header(path)
        except FileNotFoundError:
            return None  # It was given another name in this moment.
        except (CorruptRecordError, StoreVersionError) as error:
            _logger.warning("%s cannot be read and is left out: %s", path, error)
            return None

    def _look(self, path: Path) -> _Known:
        known = self._known.get(path)
        if known is not None and known.signature == disk.signature(path.stat()):
            return known
        with disk.reading(path) as (descriptor, status):
            start, header = self._beginning(path, descriptor)
            rest, end = len(start), start
            if status.st_size > rest:
                end = disk.read_at(descriptor, max(rest, status.st_size - _GLANCE), _GLANCE)
        last = end.rstrip(b"\r\n").rpartition(b"\n")[2]
        # Only a reader knows what a line of an older version means.
        footer = read_footer(last) if header.version == released().current else None
        return self._remember(path, _Known(disk.signature(status), header, footer))

    def _beginning(self, path: Path, descriptor: int) -> tuple[bytes, Header]:
        """Return the first bytes of a file, with all of its header, and that."""
        start = disk.read_at(descriptor, 0, _GLANCE)
        if b"\n" not in start and len(start) == _GLANCE:
            start = disk.read_at(descriptor, 0, self._limits.max_line + 1)
        return start, read_header(start.partition(b"\n")[0], file=path.name, store=self._store)

    def _count(self, path: Path) -> _Known:
        """Read a recording that is not finalized as far as it can be read."""
        reader = LogReader(path.name, limits=self._limits, store=self._store)
        with disk.reading(path) as (descriptor, status):
            # Again: it may be another file than the one that was looked at.
            _, header = self._beginning(path, descriptor)
            try:
                offset = 0
                while data := disk.read_at(descriptor, offset, 16 * _GLANCE):
                    reader.feed(data)
                    offset += len(data)
                reader.finish()
            except StoreError as error:
                _logger.warning("%s can be read in part only: %s", path, error)
        return self._remember(path, _Known(disk.signature(status), header, reader.summary))

    def _remember(self, path: Path, known: _Known) -> _Known:
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[path] = known
        return known


def reach_of(info: RecordingInfo) -> tuple[bool, int]:
    """Return how far a recording goes: whether it has ended, then the number of its signals."""
    return info.outcome != "incomplete", info.signal_count


def _files_of(folder: Path) -> list[Path]:
    try:
        # Also what is no file: whoever looks at it tells of it in the log.
        return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
