"""Runs as rows and back: the columns, and the two checksums beside them.

``state_checksum`` is the checksum of the id and the state, ``checksum`` that of every other column and of
``state_checksum``, ``metadata_index`` excepted. So a listing that does not read the states still notices any damage to
what it does read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

from openharness.core import CorruptRecordError
from openharness.core.storage import EncodedRun, decode_run, encode_run, has_checksum, sha256_checksum
from openharness.core.values import decode_json, dump_json
from openharness.postgres import bounded

if TYPE_CHECKING:
    from openharness.core import JSONValue, RunRecord
    from openharness.postgres import Row

__all__ = ("COLUMNS", "HEADER", "Values", "row_size", "run_from_row", "run_to_row")

Values: TypeAlias = "tuple[str | int | None, ...]"
"""The values of `COLUMNS`."""

HEADER: Final = (
    "id",
    "created_at",
    "completed_at",
    "status",
    "error",
    "recording_id",
    "parent_run_id",
    "metadata",
    "state_checksum",
    "checksum",
)
"""The columns that are read without the state."""

COLUMNS: Final = (*HEADER, "metadata_index", "state")
"""The columns that are written. ``metadata_index`` is for the triggers, see the schema."""


def run_to_row(run: RunRecord, *, max_bytes: int) -> Values:
    """Return the values of `COLUMNS` for a run.

    Args:
        run: The run; nothing of it is kept.
        max_bytes: The limit for the text of the state, and for that of the metadata.

    Raises:
        SerializationError: The state or the metadata cannot be stored, or is too large.
    """
    encoded = encode_run(run, max_bytes=max_bytes)
    of_state = sha256_checksum(encoded.id, encoded.state)
    return (
        encoded.id,
        encoded.created_at,
        encoded.completed_at,
        encoded.status,
        encoded.error,
        encoded.recording_id,
        encoded.parent_run_id,
        encoded.metadata,
        of_state,
        sha256_checksum(*_header(encoded, of_state)),
        _index_text(encoded),
        encoded.state,
    )


def row_size(row: Values) -> int:
    """Return about how many bytes a row takes."""
    return 256 + len(cast("str", row[-1])) + 3 * len(cast("str", row[7] or ""))


def run_from_row(row: Row, *, store: str) -> RunRecord:
    """Return the run that a row holds.

    Args:
        row: The values of `HEADER`, followed by the state if it was read. Without it, the record's state is None.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was saved.
    """
    include_state = len(row) > len(HEADER)
    run_id, created_at, completed_at, status, error, recording_id, parent_run_id, metadata, of_state, of_header = row[
        : len(HEADER)
    ]
    encoded = EncodedRun(
        id=run_id,
        created_at=created_at,
        completed_at=completed_at,
        status=status,
        error=error,
        recording_id=recording_id,
        parent_run_id=parent_run_id,
        metadata=metadata,
        state=row[len(HEADER)] if include_state else "",
    )
    if not has_checksum(of_header, *_header(encoded, of_state)):
        raise CorruptRecordError(run_id, reason="its checksum does not match", store=store)
    if include_state and not has_checksum(of_state, run_id, encoded.state):
        raise CorruptRecordError(run_id, reason="the checksum of its state does not match", store=store)
    return decode_run(encoded, include_state=include_state)


def _header(run: EncodedRun, of_state: str) -> tuple[str | int | None, ...]:
    return (
        run.id,
        run.created_at,
        run.completed_at,
        run.status,
        run.error,
        run.recording_id,
        run.parent_run_id,
        run.metadata,
        of_state,
    )


def _index_text(run: EncodedRun) -> str | None:
    """An object of each metadata key that can be compared, to the canonical text of its value."""
    pairs = run.metadata_index()
    if not pairs:
        return None
    return "{" + ",".join(f"{_key(key)}:{_quoted(bounded(value))}" for key, value in pairs) + "}"


def _key(text: str) -> str:
    """The text of a key, which is quoted already."""
    key = cast("str", decode_json(text))
    return text if bounded(key) == key else _quoted(bounded(key))


def _quoted(text: str) -> str:
    value: JSONValue = text
    return dump_json(value).decode()
