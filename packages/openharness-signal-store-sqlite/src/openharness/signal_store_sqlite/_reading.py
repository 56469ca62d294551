"""The signals of a recording, a page at a time, with no lock and no transaction held in between.

A log only grows, and what is in it never changes. So how many signals there are is found out once, and the pages up to
there belong together, whatever is appended meanwhile. Only the deletion of the recording can come in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError, RecordingNotFoundError
from openharness.core.storage import RECORDING_COLUMNS, SignalDecoder, WantedSignals, checksum
from openharness.signal_store_sqlite._rows import (
    SIGNAL_COLUMNS,
    recording_from_row,
    signal_from_row,
    text_of,
)
from openharness.sqlite import misled, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from openharness.core import Signal
    from openharness.core.storage import EncodedSignal, StoredRecording
    from openharness.signal_store_sqlite._names import WantedNames
    from openharness.sqlite import Row, Value

__all__ = ("LogReading", "find_row")

_PAGE_BYTES: Final = 1024 * 1024
"""After how many bytes of payloads a page ends; a single payload may be larger."""
_PAGE_ROWS: Final = 500

_COLUMNS: Final = ", ".join(f"signals.{name}" for name in SIGNAL_COLUMNS)
_RECORDING: Final = f"SELECT {', '.join(('number', *RECORDING_COLUMNS))} FROM recordings WHERE id = ?"  # noqa: S608 - names of our own
_ALL: Final = (
    f"SELECT {_COLUMNS} FROM signals WHERE recording = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT {_PAGE_ROWS}"  # noqa: S608
)
_BLOB: Final = "SELECT data, checksum FROM blobs WHERE recording = ? AND digest = ?"
_CHECKPOINTS: Final = "SELECT name, seq, checksum FROM checkpoints WHERE recording = ?"


@lru_cache(maxsize=64)
def _of_names(count: int) -> str:
    """The first page of several names together is in the first pages of each.

    Its parameters are recording, name, start and stop for each name, and the recording.
    """
    limit = f"ORDER BY seq LIMIT {_PAGE_ROWS}"
    # Numbered parameters (?1) would be shorter, but Python 3.12 and 3.14 take them for named ones.
    one = f"SELECT * FROM (SELECT seq FROM signals WHERE recording = ? AND name = ? AND seq >= ? AND seq < ? {limit})"  # noqa: S608 - numbers of our own
    each = " UNION ALL ".join([one] * count)
    return (
        f"SELECT {_COLUMNS} FROM (SELECT seq FROM ({each}) {limit}) AS wanted "  # noqa: S608
        "CROSS JOIN signals ON signals.recording = ? AND signals.seq = wanted.seq ORDER BY wanted.seq"
    )


def find_row(connection: sqlite3.Connection, recording_id: str, *, store: str) -> StoredRecording | None:
    """Return what is known of a recording, or None."""
    row = connection.execute(_RECORDING, (recording_id,)).fetchone()
    return None if row is None else recording_from_row(row, store=store)


class LogReading:
    """One reading of a log. Its methods run on the thread of a connection that gives text as bytes.

    Args:
        recording_id: The recording.
        start: The first seq that is wanted.
        stop: The first that is not wanted any more; None for all there are.
        names: Which names are wanted.
        whole: Whether all that is read is kept by the caller, so that signals may share the values of blobs; otherwise
            only those of one page do.
        store: What the store calls itself in errors.
    """

    def __init__(
        self, recording_id: str, *, start: int, stop: int | None, names: WantedNames, whole: bool, store: str
    ) -> None:
        self._recording_id = recording_id
        self._next = start
        self._stop = stop
        self._names = names
        self._whole = whole
        self._store = store
        self._number = 0
        self._wanted = WantedSignals()
        self._blobs = _Blobs(recording_id, store)
        self._decoder: SignalDecoder | None = None

    def begin(self, connection: sqlite3.Connection) -> tuple[StoredRecording, dict[str, int]]:
        """Find the recording and what there is to read; return it with its checkpoints.

        Raises:
            RecordingNotFoundError: There is none.
            CorruptRecordError: What is known of it is damaged.
        """
        with transaction(connection, "DEFERRED"):
            recording = find_row(connection, self._recording_id, store=self._store)
            if recording is None:
                raise RecordingNotFoundError(self._recording_id, store=self._store)
            self._number = cast("int", recording.number)
            count = recording.summary.signal_count
            # Not more than there are now: who appends while it reads would otherwise never come to an end.
            self._stop = count if self._stop is None else min(self._stop, count)
            self._wanted = self._names.of(connection, self._number)
            return recording, self._checkpoints(connection)

    def page(self, connection: sqlite3.Connection) -> list[Signal] | None:
        """Return some more signals, perhaps none; None when there are no more.

        Raises:
            RecordingNotFoundError: It was deleted meanwhile.
            CorruptRecordError: What was read is damaged.
        """
        if self._next >= cast("int", self._stop):
            return None
        with transaction(connection, "DEFERRED"):
            recording = find_row(connection, self._recording_id, store=self._store)
            if recording is None or recording.number != self._number:
                raise RecordingNotFoundError(self._recording_id, store=self._store)
            self._blobs.connection, self._blobs.number = connection, self._number
            if self._decoder is None or not self._whole:
                self._decoder = SignalDecoder(self._blobs, recording_id=self._recording_id, store=self._store)
            return self._all(connection) if self._wanted.names is None else self._named(connection, self._wanted.names)

    def _all(self, connection: sqlite3.Connection) -> list[Signal]:
        rows, _ = _some(connection, _ALL, (self._number, self._next, cast("int", self._stop)))
        if not rows or any(row[0] != seq for seq, row in enumerate(rows, self._next)):
            there = {row[0] for row in rows}
            missing = next(seq for seq in range(self._next, self._next + len(rows) + 1) if seq not in there)
            raise CorruptRecordError(self._recording_id, reason=f"signal {missing} is not there", store=self._store)
        self._next += len(rows)
        if self._wanted.matches is None:
            decode = cast("SignalDecoder", self._decoder).decode
            return [decode(signal) for signal in self._encoded(rows)]
        return [self._decode(signal) for signal in self._encoded(rows) if self._is_wanted(signal)]

    def _named(self, connection: sqlite3.Connection, names: Sequence[str]) -> list[Signal]:
        stop = cast("int", self._stop)
        if not names:
            self._next = stop
            return []
        parameters = [value for name in names for value in (self._number, name, self._next, stop)]
        rows, is_last = _some(connection, _of_names(len(names)), (*parameters, self._number))
        signals: list[Signal] = []
        for encoded in self._encoded(rows):
            if not self._next <= encoded.seq < stop or not self._is_wanted(encoded):
                reason = f"it leads from {names} at {self._next} to {encoded.name!r} at {encoded.seq}"
                raise misled(reason, store=self._store)
            self._next = encoded.seq + 1
            signals.append(self._decode(encoded))
        if is_last:
            self._next = stop
        return signals

    def _encoded(self, rows: Sequence[Row]) -> Iterator[EncodedSignal]:
        return (signal_from_row(row, recording_id=self._recording_id, store=self._store) for row in rows)

    def _is_wanted(self, signal: EncodedSignal) -> bool:
        return self._wanted.matches is None or self._wanted.matches(signal.name)

    def _decode(self, signal: EncodedSignal) -> Signal:
        return cast("SignalDecoder", self._decoder).decode(signal)

    def _checkpoints(self, connection: sqlite3.Connection) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, seq, sealed in connection.execute(_CHECKPOINTS, (self._number,)).fetchall():
            try:
                text = cast("str", text_of(name))
                whole = checksum(self._recording_id, text, seq) == text_of(sealed)
            except (TypeError, UnicodeDecodeError):
                whole, text = False, repr(name)
            if not whole:
                reason = f"the checkpoint {text!r} does not have its checksum"
                raise CorruptRecordError(self._recording_id, reason=reason, store=self._store)
            found[text] = seq
        return found


def _some(connection: sqlite3.Connection, sql: str, parameters: Sequence[Value]) -> tuple[list[Row], bool]:
    """Return as many rows as a page may hold, and whether there are no others."""
    rows: list[Row] = []
    size = 0
    cursor = connection.execute(sql, parameters)
    try:
        for row in cursor:
            rows.append(row)
            size += len(cast("bytes", row[-1]))
            if size > _PAGE_BYTES:
                return rows, False
    finally:
        cursor.close()
    return rows, len(rows) < _PAGE_ROWS


class _Blobs(Mapping[str, bytes]):
    """The blobs of a recording, each read when a signal refers to it."""

    def __init__(self, recording_id: str, store: str) -> None:
        self._recording_id = recording_id
        self._store = store
        self.connection: sqlite3.Connection | None = None
        self.number = 0

    def __getitem__(self, digest: str) -> bytes:
        rows = cast("sqlite3.Connection", self.connection).execute(_BLOB, (self.number, digest)).fetchall()
        if not rows:
            raise KeyError(digest)
        ((data, sealed),) = rows
        if not isinstance(data, bytes) or checksum(self._recording_id, digest, data) != text_of(sealed):
            reason = f"the blob {digest!r} does not have its checksum"
            raise CorruptRecordError(self._recording_id, reason=reason, store=self._store)
        return data

    def __iter__(self) -> Iterator[str]:
        raise TypeError("blobs are asked for one by one")

    def __len__(self) -> int:
        raise TypeError("blobs are asked for one by one")
