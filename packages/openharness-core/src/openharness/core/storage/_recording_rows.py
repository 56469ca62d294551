"""Recordings as rows of a table: the columns, and the checksums beside them.

The columns of a signal are many and short, so it has the checksum of the log's files, CRC-32; what is known of a recording
has BLAKE2b. Both cover the id of the recording, so that a row that came to another recording is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from zlib import crc32

import attrs

from openharness.core.errors import CorruptRecordError, OpenHarnessError
from openharness.core.records import check_outcome
from openharness.core.storage._log_header import RecordingHeader, RecordingSummary
from openharness.core.storage._log_rules import LogPosition
from openharness.core.values import checksum, decode_json, dump_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from openharness.core.records import RecordingInfo
    from openharness.core.storage._log_entries import EncodedSignal

__all__ = (
    "RECORDING_COLUMNS",
    "StoredRecording",
    "recording_columns",
    "recording_from_columns",
    "signal_checksum",
    "tag_index",
)

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
"""What a row has of a recording beside its number. The last five change while it is appended to."""

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


def recording_columns(recording: StoredRecording) -> tuple[str | int | None, ...]:
    """Return the values of `RECORDING_COLUMNS` for a recording."""
    header, summary = recording.header, recording.summary
    covered = (
        header.id,
        header.run_id,
        header.name,
        header.created_at,
        _json_text(header.tags),
        None if header.metadata is None else header.metadata.decode(),
        header.resumed_from,
        summary.outcome,
        summary.duration_ms,
        summary.signal_count,
        _json_text(summary.provider_types),
    )
    return (*covered, checksum(*covered))


def recording_from_columns(row: Iterable[Any], *, store: str) -> StoredRecording:
    """Return the recording that a row speaks of.

    Args:
        row: The number of the recording, and the values of `RECORDING_COLUMNS`, texts as `str`.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was written.
    """
    number, *covered, sealed = row
    recording_id, run_id, name, created_at, tags, metadata, resumed_from, outcome, duration_ms, count, providers = (
        covered
    )
    try:
        if checksum(*covered) != sealed:
            raise ValueError("its checksum does not match")  # noqa: TRY301 - one place for all that is damaged
        header = RecordingHeader(
            id=recording_id,
            run_id=run_id,
            name=name,
            created_at=created_at,
            tags=_words(tags),
            metadata=None if metadata is None else metadata.encode(),
            resumed_from=resumed_from,
        )
        summary = RecordingSummary(
            outcome=check_outcome(outcome),
            duration_ms=duration_ms,
            signal_count=count,
            provider_types=_words(providers),
        )
    except (OpenHarnessError, TypeError, ValueError) as error:
        reason = f"what is known of it is damaged ({error})"
        raise CorruptRecordError(str(recording_id), reason=reason, store=store) from error
    return StoredRecording(number=number, header=header, summary=summary)


def signal_checksum(recording_id: str, signal: EncodedSignal) -> int:
    """Return the CRC-32 of a signal in the log of a recording.

    It is taken over the id of the recording, `seq`, `id`, `name`, `timestamp`, the agent, the provider, the parent and the
    activation of its source, each followed by the character U+001F, and the payload. What is None is U+0000.
    """
    source = signal.source
    agent, provider, parent, activation = source.agent, source.provider, source.parent, source.activation
    head = (
        f"{recording_id}\x1f{signal.seq}\x1f{signal.id}\x1f{signal.name}\x1f{signal.timestamp}"
        f"\x1f{_NUL if agent is None else agent}\x1f{_NUL if provider is None else provider}"
        f"\x1f{_NUL if parent is None else parent}\x1f{_NUL if activation is None else activation}\x1f"
    )
    return crc32(signal.payload, crc32(head.encode("utf-8", "surrogatepass")))


def tag_index(tags: Iterable[str]) -> list[str]:
    """Return what an index of tags holds: each tag once, as JSON text that every database takes."""
    return [dump_json(tag).decode() for tag in dict.fromkeys(tags)]


def _json_text(words: Iterable[str]) -> str:
    return dump_json(list(words)).decode()


def _words(value: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", decode_json(value)))
