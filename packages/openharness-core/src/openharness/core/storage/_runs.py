"""The encoded form of a run that every run store keeps: the same text, the same refusals, the same checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.errors import CorruptRecordError, OpenHarnessError
from openharness.core.records import RunRecord, RunStatus, check_id, time_ms
from openharness.core.records._metadata import optional_metadata
from openharness.core.records._run import RunDraft, make_run_record, one_sentence
from openharness.core.storage._metadata_index import metadata_index
from openharness.core.values import MAX_BYTES, JSONObject, checksum, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core.values import JSONValue

__all__ = ("EncodedRun", "decode_run", "encode_run", "make_run")

_STATUSES: Final = {status.value: status for status in RunStatus}


@attrs.frozen(kw_only=True, weakref_slot=False)
class EncodedRun:
    """A run as columns of text and integers.

    Attributes:
        id: As in `RunRecord`, and so are `created_at`, `completed_at`, `status` (its word), `error`, `recording_id`
            and `parent_run_id`.
        metadata: The metadata as JSON text that keeps the order of keys; None when there is none.
        state: The state as JSON text that keeps the order of keys.
    """

    id: str
    created_at: int
    completed_at: int | None
    status: str
    error: str | None
    recording_id: str | None
    parent_run_id: str | None
    metadata: str | None
    state: str

    @property
    def checksum(self) -> str:
        """`openharness.core.values.checksum` over all columns, in the order above."""
        return checksum(
            self.id,
            self.created_at,
            self.completed_at,
            self.status,
            self.error,
            self.recording_id,
            self.parent_run_id,
            self.metadata,
            self.state,
        )

    def metadata_index(self) -> list[tuple[str, str]]:
        """Return what equality filters compare: each key with a scalar value, both as canonical JSON text."""
        return metadata_index(self.metadata)


def encode_run(run: RunRecord, *, max_bytes: int = MAX_BYTES) -> EncodedRun:
    """Return a run as columns.

    Args:
        run: The run; nothing of it is kept.
        max_bytes: The limit for the text of the state, and for that of the metadata.

    Raises:
        SerializationError: The state or the metadata cannot be stored, or is too large.
    """
    metadata = None
    if run.metadata is not None:
        metadata = encode_json(run.metadata, path="metadata", max_bytes=max_bytes).decode()
    # Made as `make_signal` makes signals, at a third of the constructor's price.
    draft: Any = RunDraft()
    draft.id = run.id
    draft.created_at = run.created_at
    draft.completed_at = run.completed_at
    draft.status = run.status._value_
    draft.error = run.error
    draft.recording_id = run.recording_id
    draft.parent_run_id = run.parent_run_id
    draft.metadata = metadata
    draft.state = encode_json(run.state, path="state", max_bytes=max_bytes).decode()
    draft.__class__ = EncodedRun
    encoded: EncodedRun = draft
    return encoded


def decode_run(row: EncodedRun, *, checksum: str | None = None, include_state: bool = True) -> RunRecord:
    """Return the run that was encoded, as a new object.

    Args:
        row: The columns.
        checksum: The checksum stored beside them; None skips the comparison.
        include_state: Whether to decode the state; without, the record's state is None.

    Raises:
        CorruptRecordError: The columns do not have that checksum, or make no run.
    """
    if checksum is not None and row.checksum != checksum:
        raise CorruptRecordError(row.id, reason="its checksum does not match")
    return make_run(
        row.id,
        row.created_at,
        row.completed_at,
        row.status,
        row.error,
        row.recording_id,
        row.parent_run_id,
        row.metadata,
        row.state if include_state else None,
    )


def make_run(  # noqa: PLR0917 - names would cost as much as is gained
    run_id: str,
    created_at: int,
    completed_at: int | None,
    status: str,
    error: str | None,
    recording_id: str | None,
    parent_run_id: str | None,
    metadata: str | None,
    state: str | None,
) -> RunRecord:
    """Return the run of some columns: what the constructor of `RunRecord` makes of them, at a fraction of its price.

    The columns are those of `EncodedRun`; the state is None where it is not wanted.

    Raises:
        CorruptRecordError: They make no run.
    """
    try:
        return make_run_record(
            check_id(run_id, name="id"),
            time_ms(created_at, name="created_at"),
            None if completed_at is None else time_ms(completed_at, name="completed_at"),
            None if state is None else decode_json(state, path="state"),
            None if metadata is None else _decoded_metadata(metadata),
            _STATUSES.get(status) or RunStatus(status),
            None if error is None else one_sentence(error),
            None if recording_id is None else check_id(recording_id, name="recording_id"),
            None if parent_run_id is None else check_id(parent_run_id, name="parent_run_id"),
        )
    except (OpenHarnessError, ValueError) as failure:
        raise CorruptRecordError(run_id, reason=str(failure)) from failure


def _decoded_metadata(text: str) -> Mapping[str, JSONValue] | None:
    value = decode_json(text, path="metadata")
    # Texts that metadata does not take cannot come from a JSON text without an escape and beyond-ASCII characters.
    if isinstance(value, dict) and text.isascii() and "\\u" not in text:
        return value
    return optional_metadata(cast("JSONObject", value))
