"""A real PostgreSQL server for the tests of stores: ``python -m pip install 'openharness-testing[postgres]'``.

The fixture ``openharness_postgres`` of the pytest plugin is a `PostgresPlace` for one test: the URL of a server, and a
schema in it that no other test uses. It is the server that ``OPENHARNESS_TEST_POSTGRES_DSN`` names, else one that the
test run starts when the first test asks for it, a second or two, and removes at its end. Tests that stop a server start
their own: `PostgresServer`.
"""

from __future__ import annotations

from openharness.testing._postgres._server import PostgresPlace, PostgresServer

__all__ = ("PostgresPlace", "PostgresServer")
