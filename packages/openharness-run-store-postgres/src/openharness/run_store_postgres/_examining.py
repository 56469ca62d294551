"""Every run, read for nothing but its checksums, and whether its metadata leads to it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import attrs

from openharness.core import CorruptRecordError
from openharness.core.storage import RUN_COLUMNS, run_from_columns
from openharness.run_store_postgres._rows import COLUMNS, run_to_row

if TYPE_CHECKING:
    from openharness.postgres import Examination, Row

__all__ = ("examine",)

_INDEX: Final = COLUMNS.index("metadata_index")
_ADVICE: Final = (
    "Make it anew: `DELETE FROM {entries}; INSERT INTO {entries} (key, value, created_at, run_id) SELECT pair.key, "
    "pair.value, created_at, id FROM {runs}, jsonb_each_text(metadata_index) AS pair`."
)


async def examine(examination: Examination) -> None:
    """Add a finding for each run that is not as it was saved, and for what does not find runs as it should."""
    columns = ", ".join((*RUN_COLUMNS, "state", "metadata_index::text"))
    count = 0
    async for row in examination.rows("runs", columns, label="id"):
        try:
            _check(row)
        except CorruptRecordError as error:
            examination.damaged(error, what="run")
        else:
            count += 1
    examination.facts["runs"] = count
    runs, entries = examination.names("runs"), examination.names("run_metadata")
    advice = _ADVICE.format(runs=runs, entries=entries)
    await examination.none_of(
        f"SELECT DISTINCT runs.id FROM {runs} AS runs, jsonb_each_text(runs.metadata_index) AS pair "  # noqa: S608
        f"WHERE NOT EXISTS (SELECT FROM {entries} AS entry WHERE entry.key = pair.key AND entry.value = pair.value "
        "AND entry.created_at = runs.created_at AND entry.run_id = runs.id)",
        "damaged-index",
        "Runs are not found by their metadata",
        advice=advice,
    )
    await examination.none_of(
        f"SELECT DISTINCT entry.run_id FROM {entries} AS entry WHERE NOT EXISTS (SELECT FROM {runs} AS runs "  # noqa: S608
        "WHERE runs.id = entry.run_id AND runs.created_at = entry.created_at "
        "AND runs.metadata_index ->> entry.key = entry.value)",
        "damaged-index",
        "Runs are found by metadata that they do not have",
        advice=advice,
    )


def _check(row: Row) -> None:
    *columns, index, _ = row
    run = run_from_columns(columns, store="")
    stored: Any = index
    expected: Any = run_to_row(attrs.evolve(run, state=None), max_bytes=sys.maxsize)[_INDEX]
    if (None if stored is None else json.loads(stored)) != (None if expected is None else json.loads(expected)):
        raise CorruptRecordError(run.id, reason="what it is found by does not agree with its metadata")
