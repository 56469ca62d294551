"""Everything in a file of recordings, read for nothing but its checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError, Finding
from openharness.core.storage import RECORDING_COLUMNS, checksum
from openharness.signal_store_sqlite._rows import (
    SIGNAL_COLUMNS,
    recording_from_row,
    signal_from_row,
    text_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from openharness.sqlite import Value

__all__ = ("examine",)

_RECORDINGS: Final = f"SELECT {', '.join(('number', *RECORDING_COLUMNS))} FROM recordings ORDER BY number"  # noqa: S608
_SIGNALS: Final = f"SELECT {', '.join(SIGNAL_COLUMNS)} FROM signals WHERE recording = ? ORDER BY seq"  # noqa: S608
_BLOBS: Final = "SELECT digest, data, checksum FROM blobs WHERE recording = ?"
_CHECKPOINTS: Final = "SELECT name, seq, checksum FROM checkpoints WHERE recording = ?"
_FIXTURES: Final = "SELECT name, checksum FROM fixtures WHERE recording = ?"


def examine(connection: sqlite3.Connection) -> Iterator[Finding | None]:
    """Yield None for each recording that is as it was written, and a finding for each that is not."""
    for row in connection.execute(_RECORDINGS):
        try:
            recording = recording_from_row(row, store="")
            recording_id, number = recording.header.id, cast("int", recording.number)
            _check_signals(connection, number, recording_id, recording.summary.signal_count)
            for digest, data, sealed in connection.execute(_BLOBS, (number,)):
                _check(recording_id, f"the blob {digest!r}", sealed, recording_id, _text(digest), data)
            for name, seq, sealed in connection.execute(_CHECKPOINTS, (number,)):
                _check(recording_id, f"the checkpoint {name!r}", sealed, recording_id, _text(name), seq)
            for name, sealed in connection.execute(_FIXTURES, (number,)):
                _check(recording_id, f"the fixture name {name!r}", sealed, _text(name), recording_id)
        except CorruptRecordError as error:
            yield Finding.damaged(error, what="recording")
        else:
            yield None


def _check_signals(connection: sqlite3.Connection, number: int, recording_id: str, count: int) -> None:
    following = 0
    for row in connection.execute(_SIGNALS, (number,)):
        signal_from_row(row, recording_id=recording_id, store="")
        if row[0] != following:
            break
        following += 1
    if following != count:
        raise CorruptRecordError(recording_id, reason=f"signal {following} is not there, or is one too many")


def _check(recording_id: str, what: str, sealed: Value, *fields: object) -> None:
    try:
        whole = checksum(*cast("tuple[str | bytes | int | None, ...]", fields)) == text_of(sealed)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise CorruptRecordError(recording_id, reason=f"{what} does not have its checksum")


def _text(value: Value) -> object:
    """Text as `str`; what is none stays as it is, and has no checksum that matches."""
    try:
        return text_of(value)
    except UnicodeDecodeError:
        return value
