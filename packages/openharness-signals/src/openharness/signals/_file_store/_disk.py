"""Operations on files that are durable when they return, and errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING, Final

from openharness.core.errors import (
    CorruptRecordError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = (
    "Signature",
    "create_file",
    "explained",
    "link_or_copy",
    "locked",
    "make_folder",
    "ordinary_mode",
    "read_at",
    "reading",
    "replace",
    "signature",
    "sync",
    "sync_folder",
    "write_all",
)

PRIVATE: Final = 0o600
"""The mode of recordings that are not published: prompts and answers are nobody else's business."""

LOCK_TIMEOUT: Final = 30.0
"""Seconds to wait for a file that another process is writing."""

_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
# Opening a pipe would wait until somebody writes to it.
_NEVER_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# What opening says of folders (to write; on Windows also to read), of sockets, and of pipes nobody reads.
_NO_FILE: Final = frozenset({errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EOPNOTSUPP})
_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})

Signature = tuple[int, int, int, int]
"""Device, inode, size and time of change of a file: as long as it is the same, so is the content."""


@contextlib.contextmanager
def explained(store: str) -> Generator[None]:
    """Turn errors of the operating system into errors of a store.

    Args:
        store: The store as it names itself.

    Raises:
        StoreFullError: There is no room.
        StoreReadOnlyError: Writing is not allowed there.
        StoreOpenError: The folder is none, or cannot be reached.
        StoreError: Anything else.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
        if error.errno in _FULL:
            raise StoreFullError(f"{what}. Nothing was written; try again when there is room.", store=store) from error
        if error.errno in _READ_ONLY:
            raise StoreReadOnlyError(f"{what}. Give the folder the right to be written to.", store=store) from error
        if error.errno in _NO_PLACE:
            raise StoreOpenError(
                f"{what}. The store needs a path that is, or can become, a folder.", store=store
            ) from error
        raise StoreError(f"{what}.", store=store) from error


def signature(status: os.stat_result) -> Signature:
    """Return what tells one state of a file from another."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether two descriptions are of one file."""
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def open_file(path: Path, flags: int, mode: int = PRIVATE) -> int:
    """Open a file for bytes, in no other process that this one starts, and never wait for it.

    Raises:
        CorruptRecordError: It is no ordinary file: a folder, a pipe, a device, a link that leads to itself.
    """
    try:
        descriptor = os.open(path, flags | _BINARY | _NEVER_WAIT, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            reason = "it is a symbolic link that leads to itself"
        elif error.errno in _NO_FILE and path.exists() and not path.is_file():
            reason = "it is no ordinary file"
        else:
            raise
        raise CorruptRecordError(path.name, reason=reason) from error
    if stat.S_ISREG(kind := os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    what = next((what for is_one, what in _KINDS if is_one(kind)), "no ordinary file")
    raise CorruptRecordError(path.name, reason=f"it is {what}, and a recording is an ordinary file")


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data: with one call, unless the system takes only a part of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def reading(path: Path) -> Generator[tuple[int, os.stat_result]]:
    """Open a file to read. Yields its descriptor and what the file was then.

    All that is read from the descriptor is of one file, also when another one takes its name meanwhile.
    """
    descriptor = open_file(path, os.O_RDONLY)
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Return a part of a file, shorter at its end."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def sync(descriptor: int) -> None:
    """Wait until what was written to a file is on the disk."""
    _sync(descriptor)


def _choose_sync() -> Callable[[int], object]:
    with contextlib.suppress(ImportError):
        import fcntl

        # On macOS, fsync leaves the data in the cache of the disk.
        full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
        if full_sync is not None:
            return lambda descriptor: fcntl.fcntl(descriptor, full_sync)
    return getattr(os, "fdatasync", os.fsync)


_sync = _choose_sync()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Windows does that by itself and knows no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it where they do not exist; durable when it returns.

    That a folder is there does not mean that it stays: another thread or process may have made it just now, and what it
    is in may not be on the disk yet. So all of them are brought to the disk, as far up as somebody like us could have
    made one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)
    for made in folder.parents:
        above = made.parent
        if above == made or not os.access(above, os.R_OK | os.W_OK):
            return
        sync_folder(above)


def create_file(path: Path, data: bytes, *, temporary: Path, mode: int = PRIVATE) -> None:
    """Write a file that is there whole or not at all, in place of what was there before; durable when it returns.

    Args:
        path: Where it shall be.
        data: What it shall hold.
        temporary: Where to write it first: in the same file system, and nobody else's at this time.
        mode: Who may read and write it.
    """
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()  # left by a process that died; its mode may be another
    descriptor = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def replace(source: Path, target: Path) -> None:
    """Give a file another name, in place of what has that name. On Windows, wait for those who just read it."""
    patience = 50 if os.name == "nt" else 0
    while True:
        try:
            os.replace(source, target)  # noqa: PTH105 - Path.replace says no more
        except PermissionError:
            if patience == 0:
                raise
            patience -= 1
            time.sleep(0.02)
        else:
            return


def link_or_copy(source: Path, target: Path, *, temporary: Path) -> None:
    """Give a file a second name; where the file system knows no second names, a copy. Durable when it returns."""
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
        descriptor = open_file(temporary, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    replace(temporary, target)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()  # renaming one name of a file to another name of it does nothing at all
    sync_folder(target.parent)


def ordinary_mode(folder: Path, probe: str) -> int:
    """Return the mode that new files have here, as the process's umask says.

    There is no way to ask for the umask without changing it for every other thread, so a file is made and looked at.
    """
    path = folder / probe
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        path.unlink()


@contextlib.contextmanager
def locked(path: Path, *, store: str = "") -> Generator[None]:
    """Keep all others from doing something: other threads, other stores, and other processes.

    The lock belongs to an open file, so that it ends with a process that dies; the file itself means nothing. Whoever
    has the lock may remove the file: those who wait notice.

    Args:
        path: The file that stands for what is locked; created where it does not exist.
        store: The store as it names itself, for errors.

    Raises:
        StoreBusyError: Another process did not let go of it in time.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(descriptor, path, deadline, store)
            if _is_still(path, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return same_file(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, path: Path, deadline: float, store: str) -> None:
    pause = 0.001
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            raise StoreBusyError(
                f"{path} was locked by another process for {LOCK_TIMEOUT:g} s. Nothing was written; try again.",
                store=store,
            )
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    import msvcrt  # type: ignore[import-not-found,unused-ignore]

    _FAR_AWAY: Final = 0x7FFFFFFE
    """Locked bytes cannot be read by others, so the byte that stands for the file is one it does not have."""

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR_AWAY, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
else:

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
