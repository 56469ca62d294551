"""The tables that hold the runs."""

from __future__ import annotations

from typing import Final

from openharness.run_store_sqlite._examining import examine
from openharness.sqlite import Schema

__all__ = ("SCHEMA",)

# The triggers keep run_metadata in step with runs whoever changes a row, and in the same statement: saving many runs
# is one INSERT, which SQLite makes atomic without a BEGIN and a COMMIT. They read runs.metadata_index rather than
# runs.metadata, because equality is by canonical JSON (1 equals 1.0), which SQL cannot write.
_REMOVE_OLD_METADATA = """
    DELETE FROM run_metadata WHERE (key, value, created_at, run_id) IN
        (SELECT entry.key, entry.value, old.created_at, old.id FROM json_each(old.metadata_index) AS entry);"""
_INSERT_NEW_METADATA = """
    INSERT OR REPLACE INTO run_metadata (key, value, created_at, run_id)
        SELECT entry.key, entry.value, new.created_at, new.id FROM json_each(new.metadata_index) AS entry;"""

_VERSION_1: Final = (
    # The state comes last: what stands before it is read without walking through a large state's pages.
    """
CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    status TEXT NOT NULL,
    error TEXT,
    recording_id TEXT,
    parent_run_id TEXT,
    metadata TEXT,
    metadata_index TEXT,
    checksum TEXT NOT NULL,
    state_checksum TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT
""",
    "CREATE INDEX runs_by_time ON runs (created_at, id)",
    # Nearly every run is completed in the end, and those are found by time; the rest stay few and cheap to index.
    "CREATE INDEX runs_by_status ON runs (status, created_at, id) WHERE status <> 'completed'",
    """
CREATE TABLE run_metadata (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (key, value, created_at, run_id)
) WITHOUT ROWID, STRICT
""",
    f"""
CREATE TRIGGER run_inserted AFTER INSERT ON runs WHEN new.metadata_index IS NOT NULL BEGIN{_INSERT_NEW_METADATA}
END
""",
    f"""
CREATE TRIGGER run_updated AFTER UPDATE ON runs
WHEN old.metadata_index IS NOT new.metadata_index OR old.created_at <> new.created_at OR old.id <> new.id
BEGIN{_REMOVE_OLD_METADATA}{_INSERT_NEW_METADATA}
END
""",
    f"""
CREATE TRIGGER run_deleted AFTER DELETE ON runs WHEN old.metadata_index IS NOT NULL BEGIN{_REMOVE_OLD_METADATA}
END
""",
)

# Rows are written with checksums that code for version 1 does not know, and would take for damage. Those that are there
# are read as they are.
_VERSION_2: Final = ()

SCHEMA: Final = Schema(component="runs", kind="run store", migrations=(_VERSION_1, _VERSION_2), examine=examine)
"""Runs, and what finds them by their metadata."""
