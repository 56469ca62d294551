"""Whether a newer release has brought the tables forward while a store had the file open.

What an older release writes then has the form of its own version, in tables that mean something else by now. A version
never goes back. So who writes looks inside of the transaction, before it is committed. Who reads looks afterwards: if the
tables are not newer then, they were not when they were read.

Neither need always look. Each migration leaves a mark in the file, which changes its schema, and SQLite prepares every
statement anew that was prepared for another schema. So as long as nothing is prepared, nothing has changed. Only a
statement that is a transaction by itself cannot wait for that, and has the look as a condition.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from openharness.core import StoreVersionError
from openharness.sqlite._schema import found_version
from openharness.sqlite._transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Generator

    from openharness.sqlite._schema import Schema

__all__ = ("Guard",)


class Guard:
    """Keeps one connection of a store from tables that are newer than its code.

    Args:
        schema: What the store keeps in the file.
        store: What the store calls itself in errors.
    """

    def __init__(self, schema: Schema, *, store: str) -> None:
        self.unless_newer = schema.unless_newer
        self._question = f"SELECT {self.unless_newer}"
        self._schema = schema
        self._store = store
        self._is_sure = False

    def watch(self, connection: sqlite3.Connection) -> None:
        """Notice from now on when the connection prepares a statement."""
        self._is_sure = False
        connection.set_authorizer(self._prepared)

    def _prepared(self, *_: object) -> int:
        self._is_sure = False
        return sqlite3.SQLITE_OK

    def check(self, connection: sqlite3.Connection) -> None:
        """See that the tables are not newer; in a transaction, those that it sees.

        Raises:
            StoreVersionError: They are.
        """
        ((is_ours,),) = connection.execute(self._question).fetchall()
        if is_ours:
            return
        # Connections that read give text as bytes.
        factory, connection.text_factory = connection.text_factory, str
        try:
            found_version(connection, self._schema, store=self._store)
        finally:
            connection.text_factory = factory
        # Somebody has set the version back by hand; what is in the tables is that of the newer one.
        version = self._schema.version
        raise StoreVersionError(found=version + 1, supported=version, store=self._store)

    def check_what_was_done(self, connection: sqlite3.Connection) -> None:
        """See, on a connection that is watched, that what it has just read or written is not of a newer version.

        Raises:
            StoreVersionError: It may be.
        """
        if not self._is_sure:
            self.check(connection)
            self._is_sure = True

    def explain(self, connection: sqlite3.Connection) -> None:
        """See whether work may have failed because the tables are newer; does nothing where that is not known.

        Raises:
            StoreVersionError: They are.
        """
        with contextlib.suppress(sqlite3.Error):
            self.check(connection)

    @contextlib.contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Generator[None]:
        """Commit what is written inside, or take all of it back when it raises.

        Raises:
            StoreVersionError: The tables are newer; all of it was taken back.
        """
        with transaction(connection):
            yield
            self.check_what_was_done(connection)
