"""Logs what SQLite does to files, and makes it fail: a VFS in the very library that the module sqlite3 uses.

A VFS is SQLite's layer between itself and the system. This one is the system's own with a few of its functions replaced,
and it is the default while it is installed, so that the stores use it as they are. It needs no compiler: the functions
are Python's, through ctypes. That takes a sqlite3 module whose library can be reached by name, which is so wherever
SQLite is a shared library; `is_possible` tells.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import os
import sqlite3  # noqa: F401 - its library must be there before it is looked for
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disk_log import Resized, Synced, SyncedFolder, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from disk_log import DiskLog, Operation

__all__ = ("SQLITE_FULL", "SQLITE_IOERR", "is_possible", "watching_sqlite")

SQLITE_FULL = 13
SQLITE_IOERR = 10
_IOERR = {"read": 1 << 8, "write": 3 << 8, "sync": 4 << 8, "truncate": 6 << 8}
_OPEN_CREATE = 0x4

_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_OpenDirectory = CFUNCTYPE(c_int, c_char_p, c_void_p)
_SetSystemCall = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GetSystemCall = CFUNCTYPE(c_void_p, c_void_p, c_char_p)


class _Methods(Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    )


class _Vfs(Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_ = (
        ("version", c_int),
        ("size", c_int),
        ("longest", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("others", c_void_p * 11),
        ("set_system_call", c_void_p),
        ("get_system_call", c_void_p),
        ("next_system_call", c_void_p),
    )


def _library() -> Any:
    # Names are also looked for in what the module itself was linked with.
    library: Any = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = (c_char_p,)
    library.sqlite3_vfs_register.argtypes = (POINTER(_Vfs), c_int)
    library.sqlite3_vfs_unregister.argtypes = (POINTER(_Vfs),)
    return library


def is_possible() -> bool:
    """Tell whether the library of this Python's sqlite3 can be reached."""
    try:
        found = _library().sqlite3_vfs_find(None)
    except (AttributeError, OSError):
        return False
    return os.name == "posix" and bool(found) and found.contents.version >= 3 and found.contents.name == b"unix"


class _Watch:
    def __init__(self, log: DiskLog | None, fails: Callable[[str], int] | None) -> None:
        self._log = log
        self._fails = fails
        self._files: dict[int, int] = {}
        self._methods: dict[int, _Methods] = {}
        self._kept: list[object] = []
        self.library = _library()
        self.honest = self.library.sqlite3_vfs_find(b"unix")
        self._open = _Open(self.honest.contents.open)
        self._delete = _Delete(self.honest.contents.delete)
        self.vfs = _Vfs.from_buffer_copy(self.honest.contents)
        self.vfs.name = b"openharness-watched"
        self.vfs.next = None
        self.vfs.open = self._keep(_Open(self.open))
        self.vfs.delete = self._keep(_Delete(self.delete))
        get = _GetSystemCall(self.honest.contents.get_system_call)
        self._honest_folder = get(None, b"openDirectory")
        self._open_folder = _OpenDirectory(self._honest_folder)
        self._watched_folder = self._keep(_OpenDirectory(self.open_folder))

    def _keep(self, function: Any) -> Any:
        self._kept.append(function)
        return ctypes.cast(function, c_void_p).value

    def install(self) -> None:
        self._set_folder_call(self._watched_folder)
        assert self.library.sqlite3_vfs_register(ctypes.byref(self.vfs), 1) == 0

    def remove(self) -> None:
        assert self.library.sqlite3_vfs_unregister(ctypes.byref(self.vfs)) == 0
        assert self.library.sqlite3_vfs_register(self.honest, 1) == 0
        self._set_folder_call(self._honest_folder)

    def _set_folder_call(self, function: Any) -> None:
        set_call = _SetSystemCall(self.honest.contents.set_system_call)
        assert set_call(ctypes.cast(self.honest, c_void_p), b"openDirectory", function) == 0

    def _failure(self, what: str) -> int:
        code = 0 if self._fails is None else self._fails(what)
        return code | _IOERR[what] if code == SQLITE_IOERR else code

    def open(self, vfs: int, name: int | None, file: int, flags: int, given: int | None) -> int:
        path = None if name is None else Path(os.fsdecode(ctypes.string_at(name)))
        is_new = path is not None and not path.exists()
        code = self._open(vfs, name, file, flags, given)
        if code != 0 or path is None:
            return code
        if self._log is not None and self._log.concerns(path):
            if is_new and flags & _OPEN_CREATE:
                self._files[file] = self._log.created(path)
            elif (number := self._log.file_at(path)) is not None:
                self._files[file] = number
            else:
                self._log.faults.append(f"{path} is of unknown origin")
        pointer = ctypes.cast(file, POINTER(c_void_p))
        pointer[0] = ctypes.addressof(self._watched(pointer[0] or 0))
        return code

    def _watched(self, address: int) -> _Methods:
        if address not in self._methods:
            honest = _Methods.from_address(address)
            watched = _Methods.from_buffer_copy(honest)
            watched.write = self._noting(
                "write",
                _Write,
                honest.write,
                lambda file, data, size, offset: Written(file, offset, ctypes.string_at(data, size)),
            )
            watched.truncate = self._noting("truncate", _Truncate, honest.truncate, Resized)
            watched.sync = self._noting("sync", _Sync, honest.sync, lambda file, flags: Synced(file))
            if self._fails is not None:
                read = _Write(honest.read)
                watched.read = self._keep(_Write(lambda *about: self._failure("read") or read(*about)))
            self._methods[address] = watched
        return self._methods[address]

    def _noting(self, what: str, kind: Any, address: int, operation: Callable[..., Operation]) -> Any:
        """Make a method of a file that does what the one at an address does, and notes it."""
        honest = kind(address)

        def method(file: int, *about: int) -> int:
            if failure := self._failure(what):
                return failure
            if self._log is None or file not in self._files:
                return int(honest(file, *about))
            with self._log.lock:
                code = int(honest(file, *about))
                if code == 0:
                    self._log.did(operation(self._files[file], *about))
            return code

        return self._keep(kind(method))

    def delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        path = Path(os.fsdecode(name))
        code = self._delete(vfs, name, 0)
        if code == 0 and self._log is not None and self._log.concerns(path):
            self._log.removed(path)
        if code == 0 and sync_folder:
            # Asked for in one call; seen as two, it is known what came first.
            code = self._sync_folder(path.parent)
        return code

    def _sync_folder(self, folder: Path) -> int:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if self._log is not None and self._log.concerns(folder):
            self._log.did(SyncedFolder(folder))
        return 0

    def open_folder(self, name: bytes, descriptor: int) -> int:
        # SQLite opens a folder for nothing else but to sync it.
        code = self._open_folder(name, descriptor)
        folder = Path(os.fsdecode(name)).parent
        if code == 0 and self._log is not None and self._log.concerns(folder):
            os.fsync(ctypes.cast(descriptor, POINTER(c_int))[0])
            self._log.did(SyncedFolder(folder))
        return code


@contextlib.contextmanager
def watching_sqlite(log: DiskLog | None = None, *, fails: Callable[[str], int] | None = None) -> Generator[None]:
    """Watch every connection that is opened meanwhile. All of them must be closed before the end.

    Args:
        log: Gets what is done to files in its folder.
        fails: Asked before each ``read``, ``write``, ``sync`` and ``truncate``: 0, or the error that it ends with.
    """
    watch = _Watch(log, fails)
    watch.install()
    try:
        yield
    finally:
        watch.remove()
