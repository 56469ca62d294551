r"""Signals and what is known of a recording as rows, each with a checksum beside it.

The checksums are those of the SQLite store: CRC-32 over the columns of a signal, BLAKE2b over those of everything else.
Each covers the id of the recording, so that a row that came to another recording is noticed.

PostgreSQL keeps no NUL and no half of a character in a text. Where they may be, they are written as ``\u0000``, and a
backslash as two. Character by character, so that what begins with a text begins with it when both are so written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast
from zlib import crc32

import attrs

from openharness.core import CorruptRecordError, OpenHarnessError, SignalSource
from openharness.core.records import check_outcome
from openharness.core.storage import EncodedSignal, LogPosition, RecordingHeader, RecordingSummary, checksum
from openharness.core.values import decode_json, dump_json
from openharness.postgres import bounded

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from openharness.core import RecordingInfo
    from openharness.core.values import JSONValue
    from openharness.postgres import Row

__all__ = (
    "RECORDING_COLUMNS",
    "SIGNAL_COLUMNS",
    "StoredRecording",
    "indexed_name",
    "json_text",
    "name_from",
    "recording_from_row",
    "recording_to_row",
    "signal_from_row",
    "signal_to_row",
    "stored_text",
)

SIGNAL_COLUMNS: Final = (
    "seq",
    "timestamp",
    "checksum",
    "name",
    "long_name",
    "id",
    "agent",
    "provider",
    "parent",
    "activation",
    "payload",
)
"""What a signal is made of, without the number of its recording."""

RECORDING_COLUMNS: Final = (
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
"""What is known of a recording, without its number."""

_NUL: Final = "\0"
"""Stands for NULL in what a checksum covers."""

_ODD: Final = re.compile("[\\\\\0\ud800-\udfff]")
_WRITTEN: Final = re.compile(r"\\(?:\\|u([0-9a-f]{4}))")


def stored_text(text: str) -> str:
    """Return a text as the database keeps it."""
    return _ODD.sub(_write, text) if _ODD.search(text) else text


def _write(found: re.Match[str]) -> str:
    return "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}"


def _read_text(text: str) -> str:
    return _WRITTEN.sub(_read, text) if "\\" in text else text


def _read(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else "\\"


def indexed_name(name: str) -> tuple[str, str | None]:
    """Return a signal's name as it is in indexes and, where that is not all of it, the whole."""
    text = stored_text(name)
    short = bounded(text)
    return short, None if short == text else text


def name_from(name: str, long_name: str | None) -> str:
    """Return the name that `indexed_name` was given."""
    return _read_text(name if long_name is None else long_name)


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


def signal_to_row(recording_id: str, signal: EncodedSignal) -> tuple[object, ...]:
    """Return the values of `SIGNAL_COLUMNS`."""
    source = signal.source
    agent, provider, parent, activation = source.agent, source.provider, source.parent, source.activation
    name, long_name = indexed_name(signal.name)
    return (
        signal.seq,
        signal.timestamp,
        _signal_checksum(recording_id, signal),
        name,
        long_name,
        stored_text(signal.id),
        None if agent is None else stored_text(agent),
        None if provider is None else stored_text(provider),
        None if parent is None else stored_text(parent),
        None if activation is None else stored_text(activation),
        signal.payload.decode(),
    )


def _signal_checksum(recording_id: str, signal: EncodedSignal) -> int:
    source = signal.source
    agent, provider, parent, activation = source.agent, source.provider, source.parent, source.activation
    head = (
        f"{recording_id}\x1f{signal.seq}\x1f{signal.id}\x1f{signal.name}\x1f{signal.timestamp}"
        f"\x1f{_NUL if agent is None else agent}\x1f{_NUL if provider is None else provider}"
        f"\x1f{_NUL if parent is None else parent}\x1f{_NUL if activation is None else activation}\x1f"
    )
    return crc32(signal.payload, crc32(head.encode("utf-8", "surrogatepass")))


def signal_from_row(row: Row | Sequence[Any], *, recording_id: str, store: str) -> EncodedSignal:
    """Return the signal that a row holds.

    Args:
        row: The values of `SIGNAL_COLUMNS`; others may follow.
        recording_id: The recording it was looked for in.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was appended.
    """
    seq, timestamp, sealed, name, long_name, signal_id, agent, provider, parent, activation, payload = row[
        : len(SIGNAL_COLUMNS)
    ]
    signal = EncodedSignal(
        seq,
        _read_text(signal_id),
        name_from(name, long_name),
        timestamp,
        SignalSource(
            None if agent is None else _read_text(agent),
            None if provider is None else _read_text(provider),
            None if parent is None else _read_text(parent),
            None if activation is None else _read_text(activation),
        ),
        payload.encode(),
    )
    if _signal_checksum(recording_id, signal) != sealed:
        raise CorruptRecordError(recording_id, reason=f"signal {seq!r}: its checksum does not match", store=store)
    return signal


# --- Recordings -------------------------------------------------------------------------------------------------------


def recording_to_row(recording: StoredRecording) -> tuple[Any, ...]:
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
    return (*fields, checksum(*fields))


def recording_from_row(row: Row | Sequence[Any], *, store: str) -> StoredRecording:
    """Return the recording that a row speaks of.

    Args:
        row: The number, and the values of `RECORDING_COLUMNS`; others may follow.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was written.
    """
    number, *fields = row[: len(RECORDING_COLUMNS) + 1]
    try:
        if checksum(*fields[:-1]) != fields[-1]:
            raise ValueError("its checksum does not match")  # noqa: TRY301 - one place for all that is damaged
        metadata = cast("str | None", fields[5])
        return StoredRecording(
            number=number,
            header=RecordingHeader(
                id=fields[0],
                run_id=fields[1],
                name=fields[2],
                created_at=fields[3],
                tags=_words(fields[4]),
                metadata=None if metadata is None else metadata.encode(),
                resumed_from=fields[6],
            ),
            summary=RecordingSummary(
                outcome=check_outcome(fields[7]),
                duration_ms=fields[8],
                signal_count=fields[9],
                provider_types=_words(fields[10]),
            ),
        )
    except (OpenHarnessError, TypeError, ValueError) as error:
        reason = f"what is known of it is damaged ({error})"
        raise CorruptRecordError(str(fields[0]), reason=reason, store=store) from error


def json_text(value: JSONValue) -> str:
    """Return JSON that any database takes as text."""
    return dump_json(value).decode()


def _words(value: str) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", decode_json(value)))
