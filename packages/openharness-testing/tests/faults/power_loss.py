"""What a disk may hold after the power failed, computed from a log of all that was done to it.

What was synced is there. Of what was not, each sector of each write, each change of a length and each change of a name
is there or is not; POSIX promises no more. A sector may also be torn: its first bytes are new and the rest is as before.
Bytes that nobody wrote do not change, and a file that is renamed is never without a name.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from typing import TYPE_CHECKING

from disk_log import Named, Operation, Resized, Synced, SyncedFolder, Unnamed, Written

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ("Disk", "Loss")


class Loss(enum.Enum):
    """What becomes of that which was not synced."""

    EVERYTHING = "all of it is lost"
    NOTHING = "nothing of it is lost, as when only the process dies"
    LATEST = "of each file the latest part is lost"
    SECTORS = "any sectors of 512 bytes are lost, one may be torn"
    PAGES = "any pages of 4,096 bytes are lost"


_SECTOR = {Loss.SECTORS: 512, Loss.PAGES: 4096}


class Disk:
    """A disk that is brought forward operation by operation, and may be looked at as it would be after a power cut.

    Args:
        root: The folder that was logged. It is there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._position = 0
        self._content: dict[int, bytearray] = defaultdict(bytearray)
        self._unsynced: dict[int, list[Written | Resized]] = defaultdict(list)
        self._names: dict[Path, dict[str, int | None]] = defaultdict(dict)
        self._unsynced_names: dict[Path, dict[int, Named | Unnamed]] = defaultdict(dict)

    def advance(self, operation: Operation) -> None:
        """Do the next operation of the log."""
        match operation:
            case Written() | Resized():
                self._unsynced[operation.file].append(operation)
            case Synced():
                for one in self._unsynced.pop(operation.file, ()):
                    _apply(self._content[operation.file], one)
            case Named() | Unnamed():
                self._unsynced_names[operation.folder][self._position] = operation
            case SyncedFolder():
                for place, one in self._unsynced_names.pop(operation.folder, {}).items():
                    self._change_name(place, one)
        self._position += 1

    def _change_name(self, place: int, operation: Named | Unnamed) -> None:
        if isinstance(operation, Named):
            self._names[operation.folder][operation.name] = operation.file
            return
        for waiting in self._unsynced_names.values():
            if operation.after in waiting:
                self._change_name(operation.after, waiting.pop(operation.after))
        self._names[operation.folder].pop(operation.name, None)

    def after_power_loss(self, loss: Loss, chance: random.Random) -> dict[Path, bytes | None]:
        """Return what is there after the power failed now: the files, and None for folders, by their paths.

        Args:
            loss: What becomes of that which was not synced.
            chance: Decides.
        """
        names = self._names_after(loss, chance)
        return {path: None if file is None else self._content_after(file, loss, chance) for path, file in names}

    def _names_after(self, loss: Loss, chance: random.Random) -> Iterator[tuple[Path, int | None]]:
        kept: set[int] = set()
        waiting = sorted((place, one) for some in self._unsynced_names.values() for place, one in some.items())
        last = chance.choice([-1, *(place for place, _ in waiting)])
        names = {folder: dict(entries) for folder, entries in self._names.items()}
        places = {place for place, _ in waiting}
        for place, operation in waiting:
            match loss:
                case Loss.EVERYTHING:
                    keep = False
                case Loss.NOTHING:
                    keep = True
                case Loss.LATEST:
                    keep = place <= last
                case _:
                    keep = chance.random() < 0.5
            if isinstance(operation, Unnamed) and operation.after in places and operation.after not in kept:
                keep = False
            if not keep:
                continue
            kept.add(place)
            entries = names.setdefault(operation.folder, {})
            if isinstance(operation, Named):
                entries[operation.name] = operation.file
            else:
                entries.pop(operation.name, None)
        yield from _walk(self._root, names)

    def _content_after(self, file: int, loss: Loss, chance: random.Random) -> bytes:
        content = bytearray(self._content.get(file, b""))
        unsynced = self._unsynced.get(file, [])
        match loss:
            case Loss.EVERYTHING:
                pass
            case Loss.NOTHING:
                for one in unsynced:
                    _apply(content, one)
            case Loss.LATEST:
                for one in unsynced[: chance.randint(0, len(unsynced))]:
                    _apply(content, one)
            case _:
                torn = chance.randrange(len(unsynced)) if unsynced and loss is Loss.SECTORS else -1
                for index, one in enumerate(unsynced):
                    if isinstance(one, Resized):
                        if chance.random() < 0.5:
                            _apply(content, one)
                    else:
                        _apply_some(content, one, _SECTOR[loss], chance, tears=index == torn)
        return bytes(content)


def _apply(content: bytearray, operation: Written | Resized) -> None:
    if isinstance(operation, Resized):
        _resize(content, operation.size)
        return
    end = operation.offset + len(operation.data)
    if len(content) < end:
        _resize(content, end)
    content[operation.offset : end] = operation.data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _apply_some(content: bytearray, write: Written, sector: int, chance: random.Random, *, tears: bool) -> None:
    end = write.offset + len(write.data)
    if len(content) < end and chance.random() < 0.5:
        _resize(content, end)  # the length is known to the disk and the data is not
    start = write.offset
    while start < end:
        stop = min(start - start % sector + sector, end)
        if chance.random() < 0.5:
            torn = start + chance.randrange(max(1, stop - start - 1)) if tears and chance.random() < 0.5 else stop
            _apply(content, Written(write.file, start, write.data[start - write.offset : torn - write.offset]))
        start = stop


def _walk(folder: Path, names: dict[Path, dict[str, int | None]]) -> Iterator[tuple[Path, int | None]]:
    for name, file in names.get(folder, {}).items():
        yield folder / name, file
        if file is None:
            yield from _walk(folder / name, names)
