"""Run history in a PostgreSQL database.

One class is public, `PostgresRunStore`. What is about PostgreSQL and not about runs is in `openharness.postgres`. From
the top:

* ``_store``: what `RunStore` promises
* ``_query``: queries as SQL; ``_writing``: what is written; ``_rows``: runs as rows
* ``_schema``: the tables
"""

from __future__ import annotations

from openharness.run_store_postgres._store import PostgresRunStore

__all__ = ("PostgresRunStore",)
