"""Recordings in one SQLite file.

One class is public, `SqliteSignalStore`. What is about SQLite and not about recordings is in `openharness.sqlite`. From
the top:

* ``_store``: what `SignalStore` promises
* ``_writing``: what is written, in one transaction for several callers; ``_reading``: signals, a page at a time
* ``_search``: signals that followed each other
* ``_catalogue``: which recordings there are; ``_names``: which names of signals a reader wants
* ``_rows``: signals and what is known of a recording as rows; ``_schema``: what is in the file
"""

from __future__ import annotations

from openharness.signal_store_sqlite._store import SqliteSignalStore

__all__ = ("SqliteSignalStore",)
