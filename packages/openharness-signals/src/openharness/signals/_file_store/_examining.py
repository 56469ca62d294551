"""What an examination of a folder finds beside damaged signals: files that no listing has, and ends in doubt."""

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
    """Yield a finding for each file whose header cannot be read, and for each recording whose end is in doubt. Does I/O.

    Args:
        folder: Knows the files.
        logs: Reads them.
    """
    for path in folder.all_paths():
        try:
            finding = _finding(path, folder, logs)
        except FileNotFoundError:
            continue  # It was given another name in this moment.
        if finding is not None:
            yield finding


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
