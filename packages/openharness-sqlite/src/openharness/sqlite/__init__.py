"""What the stores on SQLite have in common: how a file is opened, written in groups, read, and given up.

How the modules depend on each other, from the top:

* ``_store``: the arguments of a store, and what can be done with its file
* ``_doctor``: the examination of a file; ``_backup``: a copy of one that is in use
* ``_session``: the two connections of a store in one event loop; ``_exit`` ends them when nobody did
* ``_writer``: group commit; ``_channel``: one connection
* ``_guard``: whether a newer release has brought it forward meanwhile
* ``_place``: whether the path still leads to the file; ``_opening``: how it is opened; ``_schema``: which version it has, and how it is brought forward
* ``_turns``: whose turn it is to write; ``_transaction``: several statements as one
* ``_location``: paths and URLs; ``_failures``: SQLite's errors as ours; ``_statement``: what goes in and comes out
"""

from __future__ import annotations

from openharness.sqlite._backup import BackupExistsError, backup_sqlite
from openharness.sqlite._channel import Channel
from openharness.sqlite._doctor import doctor
from openharness.sqlite._failures import misled
from openharness.sqlite._opening import Durability, Settings, open_reader, open_writer
from openharness.sqlite._schema import APPLICATION_ID, Schema
from openharness.sqlite._session import Session
from openharness.sqlite._statement import Row, Statement, Value
from openharness.sqlite._store import SqliteStore
from openharness.sqlite._transaction import transaction
from openharness.sqlite._writer import MAX_ROWS, GroupWriter, Kind

__all__ = (
    "APPLICATION_ID",
    "MAX_ROWS",
    "BackupExistsError",
    "Channel",
    "Durability",
    "GroupWriter",
    "Kind",
    "Row",
    "Schema",
    "Session",
    "Settings",
    "SqliteStore",
    "Statement",
    "Value",
    "backup_sqlite",
    "doctor",
    "misled",
    "open_reader",
    "open_writer",
    "transaction",
)
