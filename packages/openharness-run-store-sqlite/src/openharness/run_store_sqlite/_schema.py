"""What the file holds: its tables, its version, and how a file of an older version becomes one of this.

``PRAGMA application_id`` tells that a file is a run store, ``PRAGMA user_version`` which version of the schema it has.
Both are written in the transaction that creates or changes the tables, so a process that dies in between leaves the
file as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core import StoreCorruptError, StoreVersionError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ("APPLICATION_ID", "MIGRATIONS", "found_version", "migrate")

APPLICATION_ID: Final = 0x4F485253
"""``OHRS``: OpenHarness run store."""

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

MIGRATIONS: Final[tuple[Sequence[str], ...]] = (_VERSION_1,)
"""The statements that lead from version n to n + 1, at index n; a new file begins at version 0."""


def found_version(connection: sqlite3.Connection, *, supported: int, store: str) -> int:
    """Return the schema version of a file without changing it; 0 for an empty one.

    Args:
        connection: An open connection to the file.
        supported: The newest version this code knows.
        store: What the store calls itself in errors.

    Raises:
        StoreVersionError: The file is of a newer version.
        StoreCorruptError: It is a SQLite database of something else.
    """
    application_id, version, tables = _identity(connection)
    if application_id == APPLICATION_ID:
        if version > supported:
            raise StoreVersionError(found=version, supported=supported, store=store)
        if version > 0:
            return version
    if application_id == 0 and version == 0 and not tables:
        return 0
    raise StoreCorruptError(
        "the file is a SQLite database, but not a run store of OpenHarness (expected the application_id "
        f"{APPLICATION_ID:#x}, found {application_id:#x}; user_version {version}; tables: {', '.join(tables) or 'none'}). "
        "It was left as it is; give the store a file of its own.",
        store=store,
    )


def _identity(connection: sqlite3.Connection) -> tuple[int, int, list[str]]:
    """The application_id, the user_version and some of the tables, all of one moment: others may be creating them."""
    outside = not connection.in_transaction
    if outside:
        connection.execute("BEGIN")
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 5").fetchall()
    finally:
        if outside and connection.in_transaction:
            connection.execute("ROLLBACK")
    return application_id, version, [name for (name,) in found]


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]], *, store: str) -> None:
    """Create the schema, or bring an older one forward, in one transaction.

    Any number of processes may do this at once: the first that gets the write lock does the work, the others find it
    done.

    Args:
        connection: A connection in autocommit mode.
        migrations: `MIGRATIONS`.
        store: What the store calls itself in errors.

    Raises:
        sqlite3.Error: Nothing was changed.
        StoreVersionError: Another process has made it a newer version meanwhile.
        StoreCorruptError: Another process has made it something else meanwhile.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = found_version(connection, supported=len(migrations), store=store)
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
