"""Recordings of runs: signal stores, the player and the causality tree."""

from __future__ import annotations

from openharness.signals._errors import CorruptLineError
from openharness.signals._file_store import FileSignalStore
from openharness.signals._memory_store import MemorySignalStore

__all__ = ("CorruptLineError", "FileSignalStore", "MemorySignalStore")
