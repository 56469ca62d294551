"""Signals, blobs and what is known of a recording as rows, each with a checksum beside it.

The columns of a signal are many and short, so it has the checksum of the log's files, CRC-32; all others have the one of
the run store. Every checksum covers the id of the recording, so that a row that came to another recording is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from zlib import crc32

import attrs

from openharness.core import CorruptRecordError, OpenHarnessError, SignalSource
from openharness.core.records import check_outcome
from openharness.core.storage import EncodedSignal, LogPosition, RecordingHeader, RecordingSummary, checksum
from openharness.core.values import decode_json, dump_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from openharness.core import RecordingInfo
    from openharness.core.values import JSONValue
    from openharness.sqlite import Row, Value

__all__ = (
    "RECORDING_COLUMNS",
    "SIGNAL_COLUMNS",
    "StoredRecording",
    "is_utf8",
    "json_text",
    "recording_from_row",
    "recording_to_row",
    "signal_from_row",
    "signal_to_row",
    "text_of",
)

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

RECORDING_COLUMNS: Final = (
    "number",
    "id",
    "run_id",
    "name",
    "created_at",
    "tags",
    "metadata",
    "resumed_from",
    "outcome",
    "duration_ms",
    "signal_count",
    "provider_types",
    "checksum",
)

_NUL: Final = "\0"
"""Stands for NULL in what a checksum covers."""


@attrs.frozen(kw_only=True)
class StoredRecording:
    """What is known of a recording without its signals.

    Attributes:
        number: What stands for it in the other tables; None until it has one.
        header: What was fixed when it was created.
        summary: What it amounts to by now; `blob_count` and `checkpoint_count` are not counted.
    """

    number: int | None
    header: RecordingHeader
    summary: RecordingSummary

    def position(self, blobs: Collection[str] = ()) -> LogPosition:
        """Return how far its log has been written."""
        summary = self.summary
        return LogPosition(self.header.id, summary.signal_count, blobs, summary.outcome, summary.duration_ms)

    def info(self, *, store: str) -> RecordingInfo:
        """Return it as its readers see it.

        Raises:
            CorruptRecordError: The metadata is no JSON value.
        """
        try:
            return self.header.info(self.summary)
        except OpenHarnessError as error:
            raise CorruptRecordError(self.header.id, reason=str(error), store=store) from error


# --- Signals ----------------------------------------------------------------------------------------------------------


def signal_to_row(number: int, recording_id: str, signal: EncodedSignal) -> Row:
    """Return the number of the recording and the values of `SIGNAL_COLUMNS`.

    Text that is no UTF-8, because half a character is in it, comes as bytes.
    """
    source = signal.source
    agent, provider, parent, activation = source.agent, source.provider, source.parent, source.activation
    payload = signal.payload
    head = (
        f"{recording_id}\x1f{signal.seq}\x1f{signal.id}\x1f{signal.name}\x1f{signal.timestamp}"
        f"\x1f{_NUL if agent is None else agent}\x1f{_NUL if provider is None else provider}"
        f"\x1f{_NUL if parent is None else parent}\x1f{_NUL if activation is None else activation}\x1f"
    )
    return (
        number,
        signal.seq,
        signal.id,
        signal.name,
        signal.timestamp,
        agent,
        provider,
        parent,
        activation,
        crc32(payload, crc32(head.encode("utf-8", "surrogatepass"))),
        payload.decode(),
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
                SignalSource(
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


# --- Recordings -------------------------------------------------------------------------------------------------------


def recording_to_row(recording: StoredRecording) -> Row:
    """Return the values of `RECORDING_COLUMNS` for a recording."""
    header, summary = recording.header, recording.summary
    fields = (
        header.id,
        header.run_id,
        header.name,
        header.created_at,
        json_text(list(header.tags)),
        None if header.metadata is None else header.metadata.decode(),
        header.resumed_from,
        summary.outcome,
        summary.duration_ms,
        summary.signal_count,
        json_text(list(summary.provider_types)),
    )
    return (recording.number, *fields, checksum(*fields))


def recording_from_row(row: Row, *, store: str) -> StoredRecording:
    """Return the recording that a row speaks of.

    Args:
        row: The values of `RECORDING_COLUMNS`, text as bytes.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was written.
    """
    try:
        return _recording(row)
    except (OpenHarnessError, TypeError, ValueError) as error:
        shown = row[1].decode("utf-8", "backslashreplace") if isinstance(row[1], bytes) else str(row[1])
        raise CorruptRecordError(shown, reason=f"what is known of it is damaged ({error})", store=store) from error


def _recording(row: Row) -> StoredRecording:
    number, *values = row
    fields = [text_of(value) for value in values]
    if checksum(*cast("Sequence[str | int | None]", fields[:-1])) != fields[-1]:
        raise ValueError("its checksum does not match")
    header = RecordingHeader(
        id=cast("str", fields[0]),
        run_id=cast("str", fields[1]),
        name=cast("str | None", fields[2]),
        created_at=cast("int", fields[3]),
        tags=_words(fields[4]),
        metadata=cast("bytes | None", values[5]),
        resumed_from=cast("str | None", fields[6]),
    )
    summary = RecordingSummary(
        outcome=check_outcome(fields[7]),
        duration_ms=cast("int | None", fields[8]),
        signal_count=cast("int", fields[9]),
        provider_types=_words(fields[10]),
    )
    return StoredRecording(number=cast("int", number), header=header, summary=summary)


def json_text(value: JSONValue) -> str:
    """Return JSON that any database takes as text."""
    return dump_json(value).decode()


def text_of(value: Value) -> str | int | float | None:
    """Return text as `str`.

    Raises:
        UnicodeDecodeError: It is no UTF-8.
    """
    return value.decode() if isinstance(value, bytes) else value


def _words(value: Value) -> tuple[str, ...]:
    return tuple(cast("list[str]", decode_json(cast("str", value))))
