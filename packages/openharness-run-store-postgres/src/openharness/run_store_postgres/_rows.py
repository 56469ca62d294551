"""Runs as rows, and what of their metadata is found through an index, which takes short texts only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

from openharness.core.storage import RUN_COLUMNS, encode_run, metadata_index_text, run_columns
from openharness.core.values import decode_json, dump_json
from openharness.postgres import bounded

if TYPE_CHECKING:
    from openharness.core import RunRecord

__all__ = ("COLUMNS", "Values", "row_size", "run_to_row")

Values: TypeAlias = "tuple[str | int | None, ...]"
"""The values of `COLUMNS`."""

COLUMNS: Final = (*RUN_COLUMNS, "metadata_index", "state")
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
    index = metadata_index_text((_key(key), bounded(value)) for key, value in encoded.metadata_index())
    return (*run_columns(encoded), index, encoded.state)


def row_size(row: Values) -> int:
    """Return about how many bytes a row takes."""
    return 256 + len(cast("str", row[-1])) + 3 * len(cast("str", row[7] or ""))


def _key(text: str) -> str:
    """The text of a key, which is quoted already."""
    key = cast("str", decode_json(text))
    short = bounded(key)
    return text if short == key else dump_json(short).decode()
