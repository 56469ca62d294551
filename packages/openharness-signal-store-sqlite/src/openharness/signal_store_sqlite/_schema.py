"""The tables that hold the recordings."""

from __future__ import annotations

from typing import Final

from openharness.sqlite import Schema

__all__ = ("SCHEMA",)

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

SCHEMA: Final = Schema(component="signals", kind="signal store", migrations=(_VERSION_1,))
"""Recordings, their signals, blobs and checkpoints, and what fixture names mean."""
