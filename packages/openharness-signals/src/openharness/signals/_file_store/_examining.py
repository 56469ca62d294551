"""What an examination of a folder finds beside damaged signals: unlisted files, ends in doubt, and damaged copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core.errors import CorruptRecordError, StoreVersionError
from openharness.core.records import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openharness.signals._file_store._folder import Folder
    from openharness.signals._file_store._log_file import LogFiles

__all__ = ("examine",)


def examine(folder: Folder, logs: LogFiles) -> Iterator[Finding]:
    """Yield a finding for each file that cannot be read or whose end is in doubt, and for each damaged copy. Does I/O.

    A recording may be in several files: published under several names, or exported at several times. Whoever reads it
    reads one of them, so that damage to another shows here only.

    Args:
        folder: Knows the files.
        logs: Reads them.
    """
    files: dict[str, list[Path]] = {}
    for path in folder.all_paths():
        try:
            finding = _finding(path, folder, logs)
        except FileNotFoundError:
            continue  # It was given another name in this moment.
        if finding is not None:
            yield finding
    for path, header in folder.files():
        files.setdefault(header.id, []).append(path)
    for recording_id, paths in files.items():
        read = folder.find(recording_id) if len(paths) > 1 else paths[0]
        for path in dict.fromkeys(paths):
            if path != read and (damage := _damage(path, logs)) is not None:
                yield Finding(
                    Severity.ERROR,
                    "damaged-copy",
                    f"The recording {recording_id} is in several files, and {path}, which is read only when the others "
                    f"are gone, is damaged: {damage}.",
                    advice="Delete it, or publish the recording under this name again.",
                    record_id=recording_id,
                )


def _damage(path: Path, logs: LogFiles) -> str | None:
    try:
        logs.read_file(path)
    except CorruptRecordError as error:
        return error.reason
    except FileNotFoundError:
        return None  # It was given another name in this moment.
    return None


def _finding(path: Path, folder: Folder, logs: LogFiles) -> Finding | None:
    try:
        header = folder.header(path)
    except CorruptRecordError as error:
        return Finding(
            Severity.ERROR,
            "unreadable-file",
            f"The file {path} is in no listing: {error.reason}.",
            advice="Restore it from a backup, or move it out of the folder.",
        )
    except StoreVersionError as error:
        return Finding(
            Severity.WARNING,
            "newer-version",
            f"The file {path} is in no listing: it is of version {error.found} of the format, newer than this code.",
            advice="Update openharness-signals.",
        )
    if folder.info(path).outcome != "incomplete":
        return None
    try:
        doubt = logs.read_file(path).doubt
    except CorruptRecordError:
        return None  # Whoever reads the signals finds that.
    if doubt is None:
        return None
    return Finding(Severity.WARNING, "doubtful-end", f"In {path} {doubt}", record_id=header.id)
