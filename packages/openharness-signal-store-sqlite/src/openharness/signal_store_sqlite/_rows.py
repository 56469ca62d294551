"""Signals and what is known of a recording as rows and back, the way SQLite gives them: text as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from openharness.core import CorruptRecordError
from openharness.core.storage import EncodedSignal, make_source, recording_from_columns, signal_checksum

if TYPE_CHECKING:
    from openharness.core.storage import StoredRecording
    from openharness.sqlite import Row, Value

__all__ = ("SIGNAL_COLUMNS", "is_utf8", "recording_from_row", "signal_from_row", "signal_to_row", "text_of")

SIGNAL_COLUMNS: Final = (
    "seq",
    "id",
    "name",
    "timestamp",
    "agent",
    "provider",
    "parent",
    "activation",
    "checksum",
    "payload",
)
"""What a signal is made of, without the number of its recording."""


def signal_to_row(number: int, recording_id: str, signal: EncodedSignal) -> Row:
    """Return the number of the recording and the values of `SIGNAL_COLUMNS`.

    Text that is no UTF-8, because half a character is in it, is there as it is; see `is_utf8`.
    """
    source = signal.source
    return (
        number,
        signal.seq,
        signal.id,
        signal.name,
        signal.timestamp,
        source.agent,
        source.provider,
        source.parent,
        source.activation,
        signal_checksum(recording_id, signal),
        signal.payload.decode(),
    )


def is_utf8(row: Row) -> bool:
    """Tell whether all texts of a row can be bound as text: half a character cannot."""
    try:
        for value in row:
            if isinstance(value, str) and not value.isascii():
                value.encode()
    except UnicodeEncodeError:
        return False
    return True


def signal_from_row(row: Row, *, recording_id: str, store: str) -> EncodedSignal:
    """Return the signal that a row holds.

    Args:
        row: The values of `SIGNAL_COLUMNS`, text as bytes.
        recording_id: The recording it was looked for in.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was appended.
    """
    # Whatever the columns hold: what is no text has no bytes to be joined, and no checksum that matches.
    columns: tuple[Any, ...] = row
    seq, signal_id, name, timestamp, agent, provider, parent, activation, sealed, payload = columns
    try:
        covered = b"%b\x1f%d\x1f%b\x1f%b\x1f%d\x1f%b\x1f%b\x1f%b\x1f%b\x1f" % (
            recording_id.encode(),
            seq,
            signal_id,
            name,
            timestamp,
            b"\0" if agent is None else agent,
            b"\0" if provider is None else provider,
            b"\0" if parent is None else parent,
            b"\0" if activation is None else activation,
        )
        if crc32(payload, crc32(covered)) == sealed and type(timestamp) is int:
            return EncodedSignal(
                seq,
                signal_id.decode("utf-8", "surrogatepass"),
                name.decode("utf-8", "surrogatepass"),
                timestamp,
                make_source(
                    agent if agent is None else agent.decode("utf-8", "surrogatepass"),
                    provider if provider is None else provider.decode("utf-8", "surrogatepass"),
                    parent if parent is None else parent.decode("utf-8", "surrogatepass"),
                    activation if activation is None else activation.decode("utf-8", "surrogatepass"),
                ),
                payload,
            )
    except (TypeError, UnicodeDecodeError):
        # A column has the wrong type, or a character is broken.
        pass
    raise CorruptRecordError(recording_id, reason=f"signal {seq!r}: its checksum does not match", store=store)


def recording_from_row(row: Row, *, store: str) -> StoredRecording:
    """Return the recording that a row speaks of.

    Args:
        row: Its number and the values of `RECORDING_COLUMNS`, text as bytes.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was written.
    """
    try:
        values = [text_of(value) for value in row]
    except UnicodeDecodeError as error:
        shown = row[1].decode("utf-8", "backslashreplace") if isinstance(row[1], bytes) else str(row[1])
        raise CorruptRecordError(shown, reason=f"what is known of it is damaged ({error})", store=store) from error
    return recording_from_columns(values, store=store)


def text_of(value: Value) -> str | int | float | None:
    """Return text as `str`.

    Raises:
        UnicodeDecodeError: It is no UTF-8.
    """
    return value.decode() if isinstance(value, bytes) else value
