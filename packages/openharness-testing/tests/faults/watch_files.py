"""Logs what Python code does to files: `os` is what it reaches the system by.

What is opened for writing in any other way is noticed by an audit hook, and is a fault of the log.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disk_log import DiskLog, Resized, Synced, SyncedFolder, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("watching_files",)

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_current: list[_Watch] = []


class _Watch:
    def __init__(self, log: DiskLog) -> None:
        self.log = log
        self.open: dict[int, tuple[int | Path, bool]] = {}
        self.in_open = 0

    def call(self, method: Callable[..., Any], *about: Any, **more: Any) -> Any:
        with self.log.lock:
            return method(*about, **more)

    def os_open(self, honest: Callable[..., int], path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
        absolute = Path(path)
        if not self.log.concerns(absolute):
            return honest(path, flags, mode, **rest)
        self.in_open += 1
        try:
            descriptor = honest(path, flags, mode, **rest)
        finally:
            self.in_open -= 1
        if absolute.is_dir():
            self.open[descriptor] = absolute, False
            return descriptor
        file = self.log.created(absolute) if flags & os.O_CREAT else self.log.file_at(absolute)
        if file is None:
            self.log.faults.append(f"{path} is of unknown origin")
        else:
            self.open[descriptor] = file, bool(flags & os.O_APPEND)
        if flags & os.O_TRUNC:
            self.log.faults.append(f"{path} was cut when it was opened")
        return descriptor

    def close(self, honest: Callable[..., None], descriptor: int) -> None:
        self.open.pop(descriptor, None)
        honest(descriptor)

    def write(self, honest: Callable[..., int], descriptor: int, data: Any) -> int:
        target = self.open.get(descriptor)
        if target is None:
            return honest(descriptor, data)
        file, appends = target
        assert isinstance(file, int)
        # Only one process writes here, and the stores have locks of their own.
        offset = os.fstat(descriptor).st_size if appends else os.lseek(descriptor, 0, os.SEEK_CUR)
        written = honest(descriptor, data)
        self.log.did(Written(file, offset, bytes(data[:written])))
        return written

    def sync(self, honest: Callable[..., None], descriptor: int) -> None:
        honest(descriptor)
        target = self.open.get(descriptor)
        if target is not None:
            self.log.did(SyncedFolder(target[0]) if isinstance(target[0], Path) else Synced(target[0]))

    def resize(self, honest: Callable[..., None], descriptor: int, size: int) -> None:
        honest(descriptor, size)
        target = self.open.get(descriptor)
        if target is not None:
            assert isinstance(target[0], int)
            self.log.did(Resized(target[0], size))

    def replace(self, honest: Callable[..., None], source: Any, target: Any, **rest: Any) -> None:
        honest(source, target, **rest)
        if self.log.concerns(Path(source)):
            self.log.renamed(Path(source), Path(target))

    def link(self, honest: Callable[..., None], source: Any, target: Any, **rest: Any) -> None:
        honest(source, target, **rest)
        if self.log.concerns(Path(source)):
            self.log.linked(Path(source), Path(target))

    def unlink(self, honest: Callable[..., None], path: Any, **rest: Any) -> None:
        honest(path, **rest)
        self.log.removed(Path(path))

    def mkdir(self, honest: Callable[..., None], path: Any, *rest: Any, **more: Any) -> None:
        honest(path, *rest, **more)
        if self.log.concerns(Path(path)):
            self.log.made_folder(Path(path))


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _current:
        return
    watch = _current[-1]
    path, _, flags = arguments
    writes = isinstance(flags, int) and flags & _WRITING
    if writes and not watch.in_open and isinstance(path, str) and watch.log.concerns(Path(path)):
        watch.log.faults.append(f"{path} was opened for writing behind the log's back")


_METHODS = {
    "open": "os_open",
    "close": "close",
    "write": "write",
    "fsync": "sync",
    "fdatasync": "sync",
    "ftruncate": "resize",
    "replace": "replace",
    "rename": "replace",
    "link": "link",
    "unlink": "unlink",
    "remove": "unlink",
    "mkdir": "mkdir",
}

_audited: list[None] = []


@contextlib.contextmanager
def watching_files(log: DiskLog) -> Generator[None]:
    """Log what is done to files meanwhile. Modules that keep a function of `os` must be imported inside."""
    if not _audited:
        sys.addaudithook(_audit)
        _audited.append(None)
    watch = _Watch(log)
    honest = {name: getattr(os, name) for name in _METHODS}
    for name, method in _METHODS.items():
        setattr(os, name, functools.partial(watch.call, getattr(watch, method), honest[name]))
    _current.append(watch)
    try:
        yield
    finally:
        _current.pop()
        for name, function in honest.items():
            setattr(os, name, function)
