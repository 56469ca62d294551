"""Rows as SQLite gives them, whatever is in them."""

from __future__ import annotations

import pytest

from openharness.core import CorruptRecordError, RunRecord
from openharness.run_store_sqlite._rows import COLUMNS, run_from_row, run_to_row

RUN = RunRecord(
    "run_1",
    created_at=1_700_000_000_000,
    completed_at=1_700_000_000_005,
    state={"a": 1},
    metadata={"b": 2},
    error="no",
    recording_id="rec_1",
    parent_run_id="run_0",
)
WRITTEN = dict(zip(COLUMNS, run_to_row(RUN, max_bytes=1_000), strict=True))
READ = {
    name: value.encode() if isinstance(value, str) else value
    for name, value in WRITTEN.items()
    if name != "metadata_index"
}


@pytest.mark.parametrize("value", [None, 7, 7.5, 1_700_000_000_000.0, b"", b"7", b"1700000000000", b"\xff"])
@pytest.mark.parametrize("column", READ)
def test_a_column_of_another_type_or_value_is_damage(column: str, value: float | bytes | None) -> None:
    """No column can be anything else than what was written, of whatever type; the error names the run."""
    damaged = {**READ, column: value}
    shown = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    rows = [tuple(damaged.values())] if column == "state" else [tuple(damaged.values()), tuple(damaged.values())[:-1]]
    for row in rows:
        with pytest.raises(CorruptRecordError) as caught:
            run_from_row(row, store="S()")
        assert (caught.value.record_id, caught.value.store) == (shown if column == "id" else RUN.id, "S()")


def test_a_row_is_the_run_it_was_made_of() -> None:
    """The row as it was written is the run, with its state where that was read."""
    assert run_from_row(tuple(READ.values()), store="S()") == RUN
    assert run_from_row(tuple(READ.values())[:-1], store="S()").state is None
