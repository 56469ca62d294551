"""The encoded form of a run that every run store keeps: the same text, the same refusals, the same checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs

from openharness.core.errors import CorruptRecordError, OpenHarnessError
from openharness.core.records import RunQuery, RunRecord, RunStatus
from openharness.core.storage._metadata_index import metadata_index
from openharness.core.values import MAX_BYTES, JSONObject, checksum, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("EncodedRun", "decode_run", "encode_run", "run_order", "select_runs")


@attrs.frozen(kw_only=True)
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
    return EncodedRun(
        id=run.id,
        created_at=run.created_at,
        completed_at=run.completed_at,
        status=run.status.value,
        error=run.error,
        recording_id=run.recording_id,
        parent_run_id=run.parent_run_id,
        metadata=metadata,
        state=encode_json(run.state, path="state", max_bytes=max_bytes).decode(),
    )


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
    try:
        return RunRecord(
            row.id,
            created_at=row.created_at,
            completed_at=row.completed_at,
            state=decode_json(row.state, path="state") if include_state else None,
            metadata=None if row.metadata is None else cast("JSONObject", decode_json(row.metadata, path="metadata")),
            status=RunStatus(row.status),
            error=row.error,
            recording_id=row.recording_id,
            parent_run_id=row.parent_run_id,
        )
    except (OpenHarnessError, ValueError) as error:
        raise CorruptRecordError(row.id, reason=str(error)) from error


def select_runs(runs: Iterable[RunRecord], query: RunQuery) -> list[RunRecord]:
    """Filter, order and page runs as `RunQuery` says: for stores that look at every record.

    Args:
        runs: All runs, in any order.
        query: What is wanted.
    """
    newest = query.order == "newest"
    found = sorted((run for run in runs if query.matches(run)), key=run_order, reverse=newest)
    if query.after is not None:
        created_at, run_id = query.after
        position = created_at, run_id.encode()
        found = [run for run in found if (run_order(run) < position) == newest and run_order(run) != position]
    stop = None if query.limit is None else query.offset + query.limit
    return found[query.offset : stop]


def run_order(run: RunRecord) -> tuple[int, bytes]:
    """The key that puts runs in their total order, oldest first."""
    return run.created_at, run.id.encode()
