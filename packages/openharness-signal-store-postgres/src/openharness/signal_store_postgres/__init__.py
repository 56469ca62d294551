"""Recordings in a PostgreSQL database.

One class is public, `PostgresSignalStore`. What is about PostgreSQL and not about recordings is in `openharness.postgres`.
From the top:

* ``_store``: what `SignalStore` promises
* ``_writing``: what is written, in one statement for several callers; ``_batch``: what it is, by the rules of a log
* ``_reading``: signals, a page at a time; ``_following``: who waits for signals, and is told of them
* ``_search``: signals that followed each other
* ``_catalogue``: which recordings there are; ``_names``: which names of signals a reader wants
* ``_rows``: signals and what is known of a recording as rows; ``_schema``: the tables
"""

from __future__ import annotations

from openharness.signal_store_postgres._store import PostgresSignalStore

__all__ = ("PostgresSignalStore",)
