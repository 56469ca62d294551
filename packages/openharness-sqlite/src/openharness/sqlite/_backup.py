"""A copy of the file as it is at one moment, made by SQLite itself while others read and write.

A plain copy of a database that is in use is none: what was written last is in another file, and closing a copied file
drops the locks that SQLite holds in this process. So SQLite reads, in one snapshot, and writes a new file. That file is
checked, made durable, and only then gets its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from openharness.core import StoreCorruptError, StoreError, StoreOpenError
from openharness.sqlite._failures import store_error
from openharness.sqlite._location import checked_path, file_uri

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ("BackupExistsError", "backup_sqlite", "on_a_thread")

_PAGES: Final = 2048
"""How many pages are copied before it is asked whether anybody still waits."""


class BackupExistsError(StoreError):
    """There is something where the backup was to be; it was left as it is.

    Attributes:
        path: Where.
    """

    def __init__(self, path: str, *, store: str = "") -> None:
        self.path = path
        super().__init__(f"there is something at {path!r} already; give the backup another name.", store=store)


class _Abandoned(Exception):  # noqa: N818 - never leaves this module
    """Nobody waits any more."""


async def backup_sqlite(filename: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Write a copy of a SQLite file as it is at this moment, while any number of processes go on writing to it.

    The copy is one file, without a write-ahead log beside it. It has been checked by SQLite and is on the disk when it
    gets its name, in one step, so that there is never half a backup under it. Nothing is ever overwritten. Who is
    cancelled leaves nothing behind; a process that dies may leave a file whose name begins with a dot and ends in
    ``.tmp``, which may be deleted.

    Args:
        filename: The file; it is read by SQLite alone.
        target: Where the copy shall be, in a folder that exists.

    Returns:
        The absolute path of the copy.

    Raises:
        BackupExistsError: There is something there already.
        StoreOpenError: The file or the folder cannot be opened.
        StoreCorruptError: The file is damaged, or is no database.
        StoreFullError: There is no room for the copy.
    """
    source, path = checked_path(filename), checked_path(target)
    await on_a_thread(partial(_back_up, source, path))
    return path


async def on_a_thread(work: Callable[[threading.Event], Any]) -> Any:
    """Call a function on another thread; when the caller is cancelled, it is told to stop, and waited for.

    Args:
        work: Gets an event that is set when nobody waits any more.
    """
    stop = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, work, stop)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((future,))
        future.exception()
        raise


def _back_up(source: Path, target: Path, stop: threading.Event) -> None:
    store = f"backup of {str(source)!r}"
    if os.path.lexists(target):
        raise BackupExistsError(str(target), store=store)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        _create(temporary, source)
        _copy(source, temporary, stop)
        _sync(temporary)
        _give_name(temporary, target)
        _sync(target.parent)
    except _Abandoned:
        pass
    except FileExistsError:
        raise BackupExistsError(str(target), store=store) from None
    except sqlite3.Error as error:
        raise store_error(error, store=store) from error
    except OSError as error:
        raise StoreOpenError(f"the backup cannot be written: {error}", store=store) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                temporary.with_name(temporary.name + suffix).unlink()


def _create(temporary: Path, source: Path) -> None:
    """With the permissions of the source: what is in it is no more anybody's business here than there."""
    mode = source.stat().st_mode & 0o777
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))


def _copy(source: Path, temporary: Path, stop: threading.Event) -> None:
    def look(status: int, remaining: int, total: int) -> None:
        del status, remaining, total
        if stop.is_set():
            raise _Abandoned

    with (
        contextlib.closing(sqlite3.connect(file_uri(source, "ro"), uri=True, isolation_level=None)) as reading,
        contextlib.closing(sqlite3.connect(file_uri(temporary, "rw"), uri=True, isolation_level=None)) as writing,
    ):
        # One snapshot: without it the copy would begin again whenever somebody else writes.
        reading.execute("BEGIN")
        (application_id,) = reading.execute("PRAGMA application_id").fetchone()
        reading.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        reading.backup(writing, pages=_PAGES, progress=look)
        reading.execute("COMMIT")
        # All in one file. The next store that opens it makes a write-ahead log again.
        writing.execute("PRAGMA journal_mode = DELETE").fetchall()
        writing.set_progress_handler(stop.is_set, 100_000)
        try:
            found = writing.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.OperationalError:
            if stop.is_set():
                raise _Abandoned from None
            raise
        (same,) = writing.execute("PRAGMA application_id").fetchone()
        if found != "ok" or same != application_id:
            raise StoreCorruptError(
                f"the file is damaged, and so would be its copy ({found}). Nothing was written; `doctor` says more.",
                store=f"backup of {str(source)!r}",
            )


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(temporary: Path, target: Path) -> None:
    """In one step, and only where there is nothing."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links. On Windows renaming replaces nothing; elsewhere a moment is left open.
        if os.path.lexists(target):
            raise FileExistsError(str(target)) from None
        temporary.rename(target)
