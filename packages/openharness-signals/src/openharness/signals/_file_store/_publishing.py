"""Fixture names: giving a recording one, taking it from the one before, and deleting."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import attrs

from openharness.core.errors import CorruptRecordError, RecordingNotFoundError, StoreVersionError
from openharness.signals._file_store import _disk as disk
from openharness.signals._file_store._log_file import file_content
from openharness.signals._file_store._names import file_stem, stem_as_name

if TYPE_CHECKING:
    from pathlib import Path

    from openharness.signals._file_store._folder import Folder
    from openharness.signals._file_store._log_file import LogFiles
    from openharness.signals._header import Header

__all__ = ("delete", "delete_fixture", "delete_unpublished", "publish")


def publish(folder: Folder, logs: LogFiles, recording_id: str, name: str, *, store: str) -> None:
    """Make a recording the one that a fixture name means: its file takes the place of the one before in one step.

    The one before is given its unpublished name first. A process that dies in between leaves it with both.

    Raises:
        RecordingNotFoundError: There is no such recording.
    """
    if folder.find(recording_id) is None:
        raise RecordingNotFoundError(recording_id, store=store)
    with folder.lock(recording_id) as over, folder.lock_names():
        content = logs.read(recording_id)
        paths = folder.paths(recording_id)
        if content is None or not paths:
            over()
            raise RecordingNotFoundError(recording_id, store=store)
        target = folder.fixture_path(name)
        header = _header_for(content.header, name)
        displaced = None
        if target not in paths:
            displaced = _make_room(folder, target)
        if header != content.header:
            data = file_content(attrs.evolve(content, header=header))
            mode = disk.ordinary_mode(folder.private, f".{file_stem(recording_id)}.mode")
            disk.create_file(target, data, temporary=folder.temporary_path(recording_id), mode=mode)
            _remove(folder.private_path(recording_id))
        elif target not in paths:
            _move(folder, recording_id, paths[0], target)
        if displaced is not None:
            displaced.chmod(disk.PRIVATE)
        if content.summary.outcome != "incomplete":
            over()
        logs.forget(recording_id)


def _header_for(header: Header, name: str) -> Header:
    """The header a published file needs: where the file's name cannot spell the fixture's, it must."""
    spelt = stem_as_name(file_stem(name)) is not None or header.name == name
    return attrs.evolve(header, published_as=None if spelt else name)


def _make_room(folder: Folder, target: Path) -> Path | None:
    """Keep what is published now under its unpublished name; return that where it is the file's only other name."""
    try:
        header = folder.header(target)
    except FileNotFoundError:
        return None
    except (CorruptRecordError, StoreVersionError):
        # Not ours to destroy, and not ours to understand.
        disk.link_or_copy(
            target, _unused(folder.private / f"{target.name}.replaced"), temporary=folder.temporary_path("-")
        )
        return None
    if len(folder.paths(header.id)) > 1:
        return None
    kept = folder.private_path(header.id)
    disk.link_or_copy(target, kept, temporary=folder.temporary_path(header.id))
    return kept


def _unused(path: Path) -> Path:
    number = 1
    while (numbered := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return numbered


def _move(folder: Folder, recording_id: str, source: Path, target: Path) -> None:
    if source.parent != folder.private:
        # Published under another name, which it keeps.
        disk.link_or_copy(source, target, temporary=folder.temporary_path(recording_id))
        return
    source.chmod(disk.ordinary_mode(folder.private, f".{file_stem(recording_id)}.mode"))
    disk.replace(source, target)
    disk.sync_folder(target.parent)
    disk.sync_folder(source.parent)


def delete(folder: Folder, logs: LogFiles, recording_id: str) -> None:
    """Remove all files of a recording; if there are none, that is no error."""
    _delete(folder, logs, recording_id, only_unpublished=False)


def delete_unpublished(folder: Folder, logs: LogFiles, recording_id: str) -> bool:
    """Remove all files of a recording and return True, unless a fixture name means it, also since a moment ago."""
    return _delete(folder, logs, recording_id, only_unpublished=True)


def _delete(folder: Folder, logs: LogFiles, recording_id: str, *, only_unpublished: bool) -> bool:
    if folder.find(recording_id) is None:
        return False
    with folder.lock(recording_id) as over, folder.lock_names():
        paths = folder.paths(recording_id)
        if only_unpublished and any(path.parent != folder.private for path in paths):
            return False
        for path in paths:
            _remove(path)
            folder.forget(path)
        for leftover in (folder.temporary_path(recording_id), folder.private / f"{file_stem(recording_id)}.torn"):
            _remove(leftover)
        disk.sync_folder(folder.private)
        disk.sync_folder(folder.path)
        logs.forget(recording_id)
        over()
    return True


def delete_fixture(folder: Folder, logs: LogFiles, name: str) -> None:
    """Remove the file that a fixture name means; if there is none, that is no error. Other files are left alone.

    Raises:
        CorruptRecordError: Its header is damaged.
        StoreVersionError: It was written by a newer version.
    """
    path = folder.fixture_path(name)
    try:
        header = folder.header(path)
    except FileNotFoundError:
        return
    with folder.lock(header.id) as over, folder.lock_names():
        over()
        with contextlib.suppress(FileNotFoundError):
            if folder.header(path) == header and folder.fixture_name(path, header) == name:
                path.unlink()
                disk.sync_folder(folder.path)
        folder.forget(path)
        logs.forget(header.id)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
