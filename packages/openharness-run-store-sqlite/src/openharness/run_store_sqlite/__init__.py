"""Run history in one SQLite file.

One class is public, `SqliteRunStore`. How the modules depend on each other, from the top:

* ``_store``: what `RunStore` promises
* ``_session``: the two connections of a store in one event loop; ``_exit`` ends them when nobody did
* ``_writer``: group commit; ``_channel``: one connection; ``_query``: queries as SQL
* ``_opening``: how the file is opened; ``_schema``: what is in it; ``_rows``: runs as rows
* ``_location``: paths and URLs; ``_failures``: SQLite's errors as ours
"""

from __future__ import annotations

from openharness.run_store_sqlite._store import SqliteRunStore

__all__ = ("SqliteRunStore",)
