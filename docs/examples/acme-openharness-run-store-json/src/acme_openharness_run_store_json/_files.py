"""Files that are replaced whole: what a reader finds is the old text or the new one, also after a crash."""

from __future__ import annotations

import hashlib
import os
import pathlib
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Folder",)

_SUFFIX = ".json"


class Folder:
    """Texts by name, a file each. Everything in it blocks, so it is called in a thread.

    Args:
        path: The folder; made when the first text is written.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def file(self, name: str) -> pathlib.Path:
        """Return the file of a name.

        A name may hold slashes, be longer than a file's may, or differ from another one in case alone; its digest is
        none of that.
        """
        return self.path / f"{hashlib.sha256(name.encode()).hexdigest()}{_SUFFIX}"

    def write(self, name: str, text: str) -> None:
        """Write a text, replacing the one of the same name, and return when it is on the disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        # A name of its own: another process may be writing the same run.
        descriptor, path = tempfile.mkstemp(suffix=".tmp", dir=self.path)
        temporary = pathlib.Path(path)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.file(name))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._sync()

    def read(self, name: str) -> str | None:
        """Return the text of a name, or None."""
        return _read(self.file(name))

    def read_all(self) -> Iterator[tuple[str, str]]:
        """Yield each file's name and text, in no order."""
        for file in self.path.glob(f"*{_SUFFIX}"):
            text = _read(file)
            # None when it was deleted a moment ago.
            if text is not None:
                yield file.name, text

    def delete(self, name: str) -> None:
        """Delete the text of a name, if there is one, and return when that is on the disk."""
        self.file(name).unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        """Make what a folder holds survive a power cut, which is a thing of its own on POSIX and no thing on Windows."""
        if os.name == "posix" and self.path.exists():
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _read(file: pathlib.Path) -> str | None:
    try:
        # Damaged bytes are for the checksum to find.
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
