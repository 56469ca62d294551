"""What a program does to a disk, as data: every write, sync and change of a name, in order.

`watch_files` and `watch_sqlite` make such a log below the stores; `power_loss` makes of it what may be left when the
power fails at some moment of it.
"""

from __future__ import annotations

import threading
from pathlib import Path

import attrs

__all__ = ("DiskLog", "Named", "Operation", "Resized", "Synced", "SyncedFolder", "Unnamed", "Written")


@attrs.frozen
class Written:
    """Bytes were written to a file.

    Attributes:
        file: The file, by its number.
        offset: Where.
        data: What.
    """

    file: int
    offset: int
    data: bytes


@attrs.frozen
class Resized:
    """A file got another length.

    Attributes:
        file: The file, by its number.
        size: The length.
    """

    file: int
    size: int


@attrs.frozen
class Synced:
    """A program waited until a file's content and length were on the disk.

    Attributes:
        file: The file, by its number.
    """

    file: int


@attrs.frozen
class Named:
    """A folder got an entry, in place of the one of this name.

    Attributes:
        folder: The folder.
        name: The entry.
        file: The number of the file; None for a folder.
    """

    folder: Path
    name: str
    file: int | None


@attrs.frozen
class Unnamed:
    """A folder lost an entry.

    Attributes:
        folder: The folder.
        name: The entry.
        after: The place in the log of the `Named` without which this does not happen: a file that is renamed is never
            without a name. None for what is deleted.
    """

    folder: Path
    name: str
    after: int | None = None


@attrs.frozen
class SyncedFolder:
    """A program waited until the entries of a folder were on the disk.

    Attributes:
        folder: The folder.
    """

    folder: Path


Operation = Written | Resized | Synced | Named | Unnamed | SyncedFolder


class DiskLog:
    """A log of one folder and what is below it, which must be empty when the log begins.

    Args:
        root: The folder.

    Attributes:
        root: The folder.
        operations: What was done, in order.
        faults: What the watching could not follow; a log with any is worth nothing.
        lock: Held while something is done and noted, so that the order of the notes is that of the deeds.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self.faults: list[str] = []
        self.lock = threading.RLock()
        self._files: dict[Path, int] = {}
        self._count = 0

    @property
    def position(self) -> int:
        """How much has been done so far."""
        return len(self.operations)

    def concerns(self, path: Path) -> bool:
        """Tell whether a path is in the folder."""
        return path.is_relative_to(self.root)

    def file_at(self, path: Path) -> int | None:
        """Return the number of the file that has this path."""
        return self._files.get(path)

    def did(self, operation: Operation) -> None:
        """Note something about a file."""
        with self.lock:
            self.operations.append(operation)

    def created(self, path: Path) -> int:
        """Note that a file was created; return its number. A second note of the same one changes nothing."""
        with self.lock:
            known = self._files.get(path)
            if known is not None:
                return known
            self._count += 1
            self._files[path] = self._count
            self.operations.append(Named(path.parent, path.name, self._count))
            return self._count

    def made_folder(self, path: Path) -> None:
        """Note that a folder was made."""
        self.did(Named(path.parent, path.name, None))

    def linked(self, source: Path, target: Path) -> None:
        """Note that a file got a second name."""
        with self.lock:
            self._files[target] = self._files[source]
            self.operations.append(Named(target.parent, target.name, self._files[source]))

    def renamed(self, source: Path, target: Path) -> None:
        """Note that a file got another name; of two names of one file both stay."""
        with self.lock:
            if self._files[source] == self._files.get(target):
                return
            self.linked(source, target)
            del self._files[source]
            self.operations.append(Unnamed(source.parent, source.name, len(self.operations) - 1))

    def removed(self, path: Path) -> None:
        """Note that a name was removed."""
        with self.lock:
            if self._files.pop(path, None) is not None:
                self.operations.append(Unnamed(path.parent, path.name))
