"""Where the files of these tests are."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("folder_in_memory",)

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it


@contextlib.contextmanager
def folder_in_memory() -> Generator[Path]:
    """Make a folder, in memory where there is such a place: where syncing proves nothing, it only takes long."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as name:
        yield Path(name)
