"""What the stores on PostgreSQL have in common: how they connect, write in groups, read, come back, and are given up.

How the modules depend on each other, from the top:

* ``_store``: the arguments of a store, and what can be done with its tables
* ``_session``: the connections of a store in one event loop
* ``_writer``: group commit; ``_pool``: the connections that read; ``_listener``: the one that is told of changes;
  ``_channel``: one connection, which comes back
* ``_connecting``: how a connection is opened; ``_schema``: which version the tables have, and how they are brought forward
* ``_doctor``: the examination of a store; ``_examination``: of its rows; ``_objects``: of its tables and indexes;
  ``_environment`` and ``_defects``: of its server
* ``_names``: schema, prefix and tables; ``_address``: URLs; ``_failures``: the server's errors as ours; ``_driver``: types
  of the driver; ``_bounded``: texts of any length in an index; ``_conditions``: of queries that have many
"""

from __future__ import annotations

from openharness.postgres._bounded import bounded
from openharness.postgres._channel import Channel
from openharness.postgres._conditions import fence
from openharness.postgres._connecting import Password, Settings, Tls
from openharness.postgres._driver import Row
from openharness.postgres._examination import Examination
from openharness.postgres._failures import misled
from openharness.postgres._names import Names, literal
from openharness.postgres._schema import Migration, Schema
from openharness.postgres._session import Session
from openharness.postgres._store import PostgresStore
from openharness.postgres._writer import MAX_ROWS, GroupWriter, Kind

__all__ = (
    "MAX_ROWS",
    "Channel",
    "Examination",
    "GroupWriter",
    "Kind",
    "Migration",
    "Names",
    "Password",
    "PostgresStore",
    "Row",
    "Schema",
    "Session",
    "Settings",
    "Tls",
    "bounded",
    "fence",
    "literal",
    "misled",
)
