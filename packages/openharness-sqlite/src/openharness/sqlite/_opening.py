"""Opening the file, synchronously, on the thread that the connection will live on.

Nothing but SQLite ever opens the file: closing any other descriptor of it in this process would drop the locks SQLite
holds (POSIX ties them to the process), and another process could then destroy what was just written.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import attrs

from openharness.core import StoreOpenError, StoreReadOnlyError
from openharness.sqlite._failures import is_busy, store_error
from openharness.sqlite._location import file_uri
from openharness.sqlite._schema import Schema, found_version, migrate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("BUSY_STEP", "OLDEST_SQLITE", "Durability", "Settings", "open_reader", "open_writer")

T = TypeVar("T")

Durability: TypeAlias = Literal["full", "process"]

OLDEST_SQLITE: Final = (3, 37, 0)
"""The first with STRICT tables."""

BUSY_STEP: Final = 0.25
"""How long SQLite itself waits for a lock, in seconds. We try again until the user's busy_timeout is over: in SQLite's
own waiting nobody could close the store or end the process, and who has waited longest does not come first."""

_STATEMENTS: Final = 32
"""How many prepared statements are kept, one for each size of a batch; the largest take some 300 KB."""

_CHECKPOINT_PAGES: Final = 2560
"""After how many pages (10 MiB) in the -wal file a commit also copies them into the database. SQLite's default of 1,000
makes one commit in a hundred late, which is what a 99th percentile tells of. With more than here that commit takes longer,
and so does a new -wal file to grow: a sync of a file that grows takes a third longer on a disk. It is done on the connection
that writes, because SQLite before 3.51.3 can damage a file when one connection writes at the very moment another completes
a checkpoint."""

_WAL_BYTES: Final = 64 * 1024 * 1024
"""What the -wal file is cut back to after it had to grow beyond that."""

_CACHE_KIB: Final = 16 * 1024
_SYNCHRONOUS: Final[dict[str, int]] = {"full": 2, "process": 1}


@attrs.frozen(kw_only=True)
class Settings:
    """How a store's file is opened.

    Attributes:
        path: The file, absolute.
        schema: What the store keeps in it.
        durability: See `SqliteStore`.
        busy_timeout: Seconds to wait for other processes.
        store: What the store calls itself in errors.
        abandoned: Set when nobody waits any more, so that waiting for a lock ends.
    """

    path: Path
    schema: Schema
    durability: Durability
    busy_timeout: float
    store: str
    abandoned: threading.Event


def open_writer(settings: Settings) -> sqlite3.Connection:
    """Return the connection that writes; the file and its schema are created or brought forward where needed.

    Raises:
        StoreError: One for each thing that can be wrong with the file; then nothing in it was changed.
    """
    _check_sqlite(settings)

    def attempt() -> sqlite3.Connection:
        version = _look(settings)
        connection = _connect(settings, "rwc")
        try:
            _pragma(connection, settings, "cache_size", -_CACHE_KIB)
            _pragma(connection, settings, "foreign_keys", 1)
            _pragma(connection, settings, "journal_mode", "wal")
            _pragma(connection, settings, "synchronous", _SYNCHRONOUS[settings.durability])
            _pragma(connection, settings, "wal_autocheckpoint", _CHECKPOINT_PAGES)
            _pragma(connection, settings, "journal_size_limit", _WAL_BYTES)
            # On macOS a plain fsync leaves data in the drive's cache; elsewhere these two do nothing.
            full = int(settings.durability == "full")
            _pragma(connection, settings, "fullfsync", full)
            _pragma(connection, settings, "checkpoint_fullfsync", full)
            if version < settings.schema.version:
                _bring_forward(connection, settings, version)
                # The schema must not depend on the -wal file: who copies only the database finds at least its tables.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    return _patiently(attempt, settings)


def open_reader(settings: Settings) -> sqlite3.Connection:
    """Return a connection that cannot write, for a file that `open_writer` has opened. It gives text as bytes.

    Raises:
        StoreError: As for `open_writer`.
    """

    def attempt() -> sqlite3.Connection:
        connection = _connect(settings, "rw")
        try:
            _pragma(connection, settings, "cache_size", -_CACHE_KIB)
            _pragma(connection, settings, "query_only", 1)
            # A damaged character must not fail the whole page it is on; the row it is in says so itself.
            connection.text_factory = bytes
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    return _patiently(attempt, settings)


def _bring_forward(connection: sqlite3.Connection, settings: Settings, version: int) -> None:
    """Create the tables, or make older ones those of this version.

    Raises:
        StoreReadOnlyError: The file may only be read.
    """
    try:
        migrate(connection, settings.schema, store=settings.store)
    except sqlite3.Error as error:
        made = store_error(error, store=settings.store)
        if version == 0 or not isinstance(made, StoreReadOnlyError):
            raise
        raise StoreReadOnlyError(
            f"the tables are of version {version}, and this code reads version {settings.schema.version}: they must be "
            "brought forward first, and the file or its folder may only be read. Give write permission for the first "
            f"opening, or copy the file to where you have it. (SQLite says: {error})",
            store=settings.store,
        ) from error


def _check_sqlite(settings: Settings) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreOpenError(
            f"SQLite {oldest} or newer is needed, this Python has {sqlite3.sqlite_version}. Use a newer Python build.",
            store=settings.store,
        )


def _look(settings: Settings) -> int:
    """Return the version of the file before anything that could change it: a refused file stays as it is."""
    if settings.path.is_dir():
        raise StoreOpenError("the path is that of a folder; give it the name of a file.", store=settings.store)
    if not settings.path.exists():
        return 0
    try:
        return _look_in_mode(settings, "ro")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
    # A process died just when it created the file, or switched it to a write-ahead log: what it had begun must be taken
    # back before there is anything to look at. SQLite does that for whoever opens the file and may write.
    return _look_in_mode(settings, "rw")


def _look_in_mode(settings: Settings, mode: str) -> int:
    connection = _connect(settings, mode)
    try:
        return found_version(connection, settings.schema, store=settings.store)
    finally:
        connection.close()


def _connect(settings: Settings, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file_uri(settings.path, mode),
        uri=True,
        timeout=min(BUSY_STEP, settings.busy_timeout),
        isolation_level=None,
        # At the end of the process another thread ends what is left.
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    try:
        # The file may come from a stranger: its triggers and views get no functions with side effects.
        connection.execute("PRAGMA trusted_schema = OFF").fetchall()
        connection.execute("PRAGMA cell_size_check = ON").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _pragma(connection: sqlite3.Connection, settings: Settings, name: str, value: int | str) -> None:
    """Set one, and see that it took: SQLite ignores what it cannot do."""
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    row = connection.execute(f"PRAGMA {name}").fetchone()
    if row is not None and row[0] != value:
        reason = (
            " A write-ahead log needs shared memory, which network file systems do not have; use a local disk."
            if name == "journal_mode"
            else ""
        )
        raise StoreOpenError(
            f"SQLite did not accept PRAGMA {name} = {value} and says {row[0]!r}.{reason}", store=settings.store
        )


def _patiently(attempt: Callable[[], T], settings: Settings) -> T:
    """Call ``attempt`` until no lock is in its way. Switching to a write-ahead log does not wait for locks by itself."""
    deadline = time.monotonic() + settings.busy_timeout
    while True:
        try:
            return attempt()
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise store_error(error, store=settings.store) from error
            # Not in step with the others that wait.
            if settings.abandoned.wait(random.uniform(0.001, 0.03)):  # noqa: S311 - no secret
                raise store_error(error, store=settings.store) from error
