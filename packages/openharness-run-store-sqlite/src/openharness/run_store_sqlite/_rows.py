"""Runs as rows and back: the columns, and the two checksums beside them.

``state_checksum`` is the checksum of the id and the state, ``checksum`` that of every other column and of
``state_checksum``. So a listing that does not read the states still notices any damage to what it does read. Rows that
version 1 of the schema wrote have checksums of BLAKE2b, and keep them; all others have those of SHA-256.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError
from openharness.core.storage import EncodedRun, decode_run, encode_run, has_checksum, sha256_checksum
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from openharness.core import JSONValue, RunRecord
    from openharness.sqlite import Row, Value

__all__ = ("COLUMNS", "HEADER", "row_size", "run_from_row", "run_to_row", "state_size")

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

_TEXTS: Final = (0, 3, 8, 9)
_OPTIONAL_TEXTS: Final = (4, 5, 6, 7)


def run_to_row(run: RunRecord, *, max_bytes: int) -> Row:
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


def state_size(row: Row) -> int:
    """Return how many characters the state of a row to be written has."""
    return len(cast("str", row[-1]))


def row_size(row: Row) -> int:
    """Return about how many bytes a row takes in the file."""
    return 256 + state_size(row) + 3 * len(cast("str", row[7] or ""))


def run_from_row(row: Row, *, store: str) -> RunRecord:
    """Return the run that a row holds.

    Args:
        row: The values of `HEADER` as they are in the file, followed by the state if it was read. Without it, the
            record's state is None.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was saved.
    """
    run_id = _shown_id(row[0])
    texts = [_text(value) if index in _TEXTS or index in _OPTIONAL_TEXTS else value for index, value in enumerate(row)]
    if not _has_right_types(texts):
        raise CorruptRecordError(run_id, reason="a column has the wrong type or is not UTF-8", store=store)
    include_state = len(row) > len(HEADER)
    state = _text(row[len(HEADER)]) if include_state else ""
    encoded = EncodedRun(
        id=cast("str", texts[0]),
        created_at=cast("int", texts[1]),
        completed_at=cast("int | None", texts[2]),
        status=cast("str", texts[3]),
        error=cast("str | None", texts[4]),
        recording_id=cast("str | None", texts[5]),
        parent_run_id=cast("str | None", texts[6]),
        metadata=cast("str | None", texts[7]),
        state=state if isinstance(state, str) else "",
    )
    of_state = cast("str", texts[8])
    if not has_checksum(cast("str", texts[9]), *_header(encoded, of_state)):
        raise CorruptRecordError(run_id, reason="its checksum does not match", store=store)
    if include_state and (not isinstance(state, str) or not has_checksum(of_state, encoded.id, state)):
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
    return "{" + ",".join(f"{key}:{_quoted(value)}" for key, value in pairs) + "}"


def _quoted(text: str) -> str:
    value: JSONValue = text
    return dump_json(value).decode()


def _text(value: Value) -> Value:
    """Text as `str`; what is not UTF-8 stays bytes, and is refused as the wrong type."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value


def _has_right_types(values: list[Value]) -> bool:
    return (
        all(type(values[index]) is str for index in _TEXTS)
        and all(values[index] is None or type(values[index]) is str for index in _OPTIONAL_TEXTS)
        and type(values[1]) is int
        and (values[2] is None or type(values[2]) is int)
    )


def _shown_id(value: Value) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
