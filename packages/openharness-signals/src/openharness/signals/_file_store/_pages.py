"""The signals of a file a page at a time, with nothing open and nothing locked in between."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from openharness.core.errors import CorruptRecordError, RecordingNotFoundError
from openharness.core.storage import EncodedBlob, SignalDecoder
from openharness.signals._file_store import _disk as disk
from openharness.signals._format import LogReader

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from openharness.core.records import Signal
    from openharness.core.storage import EncodedEntry
    from openharness.signals._file_store._folder import Folder
    from openharness.signals._format import Limits
    from openharness.signals._upcasting import Upcasting

__all__ = ("SignalPages",)

_logger = logging.getLogger("openharness.signals")

_PAGE: Final = 256 * 1024
_ATTEMPTS: Final = 5


class _Replaced(Exception):  # noqa: N818 - never leaves this module
    """The file is not the one that was read so far."""


class SignalPages:
    """Reads the signals of one recording that are wanted, in order.

    Between two pages the file may be finalized, published or moved. It is then read again from its beginning, and what
    was given out before is passed over.

    Args:
        folder: Knows which file holds the recording.
        recording_id: The recording.
        start: The first seq that is wanted.
        stop: The first that is not wanted any more; None for all.
        wanted: Tells whether signals of a name are wanted.
        upcast: Brings their payloads to the form of today.
        limits: How much to take from a file.
        store: The store as it names itself, for errors.
        follow: Whether to go on with what is appended meanwhile, until the recording ends.

    Attributes:
        is_waiting: Whether the last page had nothing, and there may be something later.
    """

    def __init__(
        self,
        folder: Folder,
        recording_id: str,
        *,
        start: int,
        stop: int | None,
        wanted: Callable[[str], bool],
        upcast: Upcasting,
        limits: Limits,
        store: str,
        follow: bool = False,
    ) -> None:
        self._folder = folder
        self._recording_id = recording_id
        self._next = start
        self._stop = stop
        self._wanted = wanted
        self._upcast = upcast
        self._limits = limits
        self._store = store
        self._follow = follow
        self._was_damaged = False
        self.is_waiting = False
        self._begin_again()

    def next_page(self) -> list[Signal] | None:
        """Return some more signals, perhaps none; None when there are no more at all. Does I/O.

        Raises:
            RecordingNotFoundError: There is no such recording, or no longer.
            CorruptRecordError: What was read is damaged.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._read()
            except (_Replaced, FileNotFoundError):
                self._begin_again()
            except CorruptRecordError:
                # An append that failed takes back what it wrote, which may have been read here already.
                if self._was_damaged:
                    raise
                self._was_damaged = True
                self._begin_again()
        raise RecordingNotFoundError(self._recording_id, store=self._store)

    def _begin_again(self) -> None:
        self._reader: LogReader | None = None
        self._path: Path | None = None
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self._end: int | None = None
        self._changed = 0
        self._blobs: dict[str, bytes] = {}
        self._decoder = SignalDecoder(self._blobs, recording_id=self._recording_id, store=self._store)

    def _read(self) -> list[Signal] | None:
        self.is_waiting = False
        if self._stop is not None and self._next >= self._stop:
            if self._end is None and self._folder.find(self._recording_id) is None:
                raise RecordingNotFoundError(self._recording_id, store=self._store)
            return None
        path, reader = self._opened()
        # What is appended from now on is not read: a caller that appends while it reads would never come to an end.
        size = _PAGE if self._end is None or self._follow else min(_PAGE, self._end - self._offset)
        with disk.reading(path) as (descriptor, status):
            data = disk.read_at(descriptor, self._offset, size)
        file = (status.st_dev, status.st_ino)
        if self._file not in (None, file) or self._was_taken_back(reader, status):
            raise _Replaced
        if self._end is None:
            self._end = status.st_size
        self._file = file
        self._offset += len(data)
        if self._follow and not data and reader.footer is None:
            self.is_waiting = True
            return []
        entries = reader.feed(data) if data else reader.finish()
        self._was_damaged = self._was_damaged and not (self._follow and data)
        if reader.header is not None and reader.header.id != self._recording_id:
            self._folder.forget(path)
            raise _Replaced
        if data:
            return self._decode(entries)
        if reader.doubt is not None:
            _logger.warning("%s: %s", path, reader.doubt)
        self._stop = reader.signal_count
        signals = self._decode(entries)
        self._next = self._stop
        return signals

    def _was_taken_back(self, reader: LogReader, status: os.stat_result) -> bool:
        """Whether of what was read so far the end may no longer be there: a part of an append that came to nothing."""
        before, self._changed = self._changed, status.st_mtime_ns
        if not self._follow or reader.size == self._offset:
            return False
        return status.st_size < self._offset or (status.st_size == self._offset and before != status.st_mtime_ns)

    def _opened(self) -> tuple[Path, LogReader]:
        if self._path is None or self._reader is None:
            self._path = self._folder.find(self._recording_id)
            if self._path is None:
                raise RecordingNotFoundError(self._recording_id, store=self._store)
            self._reader = LogReader(self._path.name, limits=self._limits, store=self._store)
        return self._path, self._reader

    def _decode(self, entries: list[EncodedEntry]) -> list[Signal]:
        signals: list[Signal] = []
        following = self._next
        for entry in entries:
            if isinstance(entry, EncodedBlob):
                self._blobs[entry.digest] = entry.data
            elif entry.seq >= following and (self._stop is None or entry.seq < self._stop):
                following = entry.seq + 1
                if self._wanted(entry.name):
                    signals.append(self._upcast(self._decoder.decode(entry), recording_id=self._recording_id))
        self._next = following
        return signals
