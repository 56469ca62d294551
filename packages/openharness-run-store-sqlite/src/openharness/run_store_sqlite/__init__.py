"""Run history in one SQLite file.

One class is public, `SqliteRunStore`. What is about SQLite and not about runs is in `openharness.sqlite`. From the top:

* ``_store``: what `RunStore` promises
* ``_query``: queries as SQL; ``_writing``: what is written; ``_rows``: runs as rows
* ``_schema``: what is in the file
"""

from __future__ import annotations

from openharness.run_store_sqlite._store import SqliteRunStore

__all__ = ("SqliteRunStore",)
