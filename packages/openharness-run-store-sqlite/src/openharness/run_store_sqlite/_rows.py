"""Runs as rows and back, the way SQLite gives them: text as bytes, whatever type a damaged column has.

Rows that version 1 of the schema wrote have checksums of BLAKE2b, and keep them; all others have those of SHA-256.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError
from openharness.core.storage import RUN_COLUMNS, encode_run, metadata_index_text, run_columns, run_from_columns
from openharness.sqlite import misled

if TYPE_CHECKING:
    from openharness.core import RunRecord
    from openharness.sqlite import Row, Value

__all__ = ("COLUMNS", "position_from_row", "row_size", "run_from_row", "run_to_row", "state_size")

COLUMNS: Final = (*RUN_COLUMNS, "metadata_index", "state")
"""The columns that are written. ``metadata_index`` is for the triggers, see the schema."""

_OPTIONAL_TEXT: Final = (str, type(None))
_TYPES: Final = frozenset(
    itertools.product((str,), (int,), (int, type(None)), (str,), *[_OPTIONAL_TEXT] * 4, (str,), (str,))
)
"""Which types the values of `RUN_COLUMNS` can have, each row of them."""


def run_to_row(run: RunRecord, *, max_bytes: int) -> Row:
    """Return the values of `COLUMNS` for a run.

    Args:
        run: The run; nothing of it is kept.
        max_bytes: The limit for the text of the state, and for that of the metadata.

    Raises:
        SerializationError: The state or the metadata cannot be stored, or is too large.
    """
    encoded = encode_run(run, max_bytes=max_bytes)
    return (*run_columns(encoded), metadata_index_text(encoded.metadata_index()), encoded.state)


def state_size(row: Row) -> int:
    """Return how many characters the state of a row to be written has."""
    return len(cast("str", row[-1]))


def row_size(row: Row) -> int:
    """Return about how many bytes a row takes in the file."""
    return 256 + state_size(row) + 3 * len(cast("str", row[7] or ""))


def run_from_row(row: Row, *, store: str) -> RunRecord:
    """Return the run that a row holds.

    Args:
        row: The values of `RUN_COLUMNS` as they are in the file, followed by the state if it was read. Without it, the
            record's state is None.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was saved.
    """
    try:
        return run_from_columns([value.decode() if type(value) is bytes else value for value in row], store=store)
    except (UnicodeDecodeError, TypeError, CorruptRecordError) as failure:
        # Looked at only now: no checksum fits columns of other types.
        fits = tuple(map(_type, row[: len(RUN_COLUMNS)])) in _TYPES
        if fits and isinstance(failure, CorruptRecordError):
            raise
        reason = "its state is not UTF-8" if fits else "a column has the wrong type or is not UTF-8"
        raise CorruptRecordError(_shown_id(row[0]), reason=reason, store=store) from None


def position_from_row(row: Row, *, store: str) -> tuple[int, str]:
    """Return when a run began and its id, which an index says.

    Raises:
        StoreCorruptError: They are not of their types: the index is damaged.
    """
    if tuple(map(_type, row)) != (int, str):
        raise misled("what it has for a time and an id are none", store=store)
    created_at, run_id = row
    return cast("int", created_at), cast("bytes", run_id).decode()


def _type(value: Value) -> type:
    """The type of a column; text is `str`, and what is not UTF-8 stays bytes."""
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return bytes
        return str
    return type(value)


def _shown_id(value: Value) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
