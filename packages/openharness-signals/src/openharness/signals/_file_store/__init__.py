"""Recordings in files: one ``.jsonl`` each, published fixtures in the folder itself, all others in a subfolder.

From the bottom up: `_names` (fixture names to file names), `_disk` (durable operations on files), `_threads` (blocking
work off the event loop), `_folder` (which file holds what), `_log_file` (one recording), `_store` (the interface).
"""

from __future__ import annotations

from openharness.signals._file_store._store import FileSignalStore

__all__ = ("FileSignalStore",)
