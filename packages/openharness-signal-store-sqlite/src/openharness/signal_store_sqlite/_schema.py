"""The tables that hold the recordings."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from openharness.core import SerializationError
from openharness.core.storage import metadata_index
from openharness.signal_store_sqlite._examining import examine
from openharness.sqlite import Schema

if TYPE_CHECKING:
    import sqlite3

__all__ = ("INSERT_METADATA", "SCHEMA")

INSERT_METADATA: Final = (
    "INSERT OR REPLACE INTO recording_metadata (key, value, created_at, id, recording) VALUES (?, ?, ?, ?, ?)"
)
"""A key and a value of a recording that can be compared; the time, the id and the number of the recording."""

_VERSION_1: Final = (
    # A number is never given twice, so that who still reads a deleted recording does not get another's signals.
    """
CREATE TABLE recordings (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL,
    name TEXT,
    created_at INTEGER NOT NULL,
    tags TEXT NOT NULL,
    metadata TEXT,
    resumed_from TEXT,
    outcome TEXT NOT NULL,
    duration_ms INTEGER,
    signal_count INTEGER NOT NULL,
    provider_types TEXT NOT NULL,
    checksum TEXT NOT NULL
) STRICT
""",
    "CREATE INDEX recordings_by_time ON recordings (created_at, id)",
    "CREATE INDEX recordings_by_run ON recordings (run_id, created_at, id)",
    "CREATE INDEX recordings_by_name ON recordings (name, created_at, id) WHERE name IS NOT NULL",
    """
CREATE TABLE recording_tags (
    tag TEXT NOT NULL,
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    PRIMARY KEY (recording, tag)
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX recording_tags_by_tag ON recording_tags (tag)",
    # The payload comes after what signals are chosen by, which is read without walking through a large one's pages.
    """
CREATE TABLE signals (
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    agent TEXT,
    provider TEXT,
    parent TEXT,
    activation TEXT,
    checksum INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (recording, seq)
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX signals_by_name ON signals (recording, name, seq)",
    """
CREATE TABLE blobs (
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    checksum TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (recording, digest)
) WITHOUT ROWID, STRICT
""",
    """
CREATE TABLE checkpoints (
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (recording, name)
) WITHOUT ROWID, STRICT
""",
    """
CREATE TABLE fixtures (
    name TEXT NOT NULL PRIMARY KEY,
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    checksum TEXT NOT NULL
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX fixtures_by_recording ON fixtures (recording)",
)


def _index_metadata(connection: sqlite3.Connection) -> None:
    """Values are compared as canonical JSON, which SQL cannot write."""
    # As bytes: what is damaged is no reason not to open the file, and says so itself when it is read.
    rows = connection.execute(
        "SELECT number, id, created_at, CAST(metadata AS BLOB) FROM recordings WHERE metadata IS NOT NULL"
    ).fetchall()
    for number, recording_id, created_at, metadata in rows:
        with contextlib.suppress(SerializationError):
            connection.executemany(
                INSERT_METADATA,
                [(key, value, created_at, recording_id, number) for key, value in metadata_index(metadata)],
            )


_VERSION_2: Final = (
    # In the order of the listing, so that a page of it is read from this index.
    """
CREATE TABLE recording_metadata (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    id TEXT NOT NULL,
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    PRIMARY KEY (key, value, created_at, id)
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX recording_metadata_by_recording ON recording_metadata (recording)",
    # Which recordings have signals of a name: few rows beside those of the signals, and the way from a name to them.
    """
CREATE TABLE signal_names (
    name TEXT NOT NULL,
    recording INTEGER NOT NULL REFERENCES recordings (number) ON DELETE CASCADE,
    PRIMARY KEY (name, recording)
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX signal_names_by_recording ON signal_names (recording, name)",
    "INSERT INTO signal_names (name, recording) SELECT DISTINCT name, recording FROM signals",
    _index_metadata,
)

SCHEMA: Final = Schema(component="signals", kind="signal store", migrations=(_VERSION_1, _VERSION_2), examine=examine)
"""Recordings, their signals, blobs and checkpoints, and what fixture names mean."""
