"""What every store on PostgreSQL is: its arguments, its URL, and what can be done with its tables."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import math
import os
import ssl
from typing import TYPE_CHECKING, Any, Final, Self, cast

from openharness.core import InvalidValueError, StoreError
from openharness.core.storage import SessionStore
from openharness.core.values import MAX_BYTES
from openharness.postgres._address import checked_dsn, shown_dsn, split_url
from openharness.postgres._connecting import Password, Settings, Tls
from openharness.postgres._doctor import doctor
from openharness.postgres._names import Names
from openharness.postgres._session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import DoctorReport
    from openharness.postgres._schema import Schema

__all__ = ("PostgresStore",)

_MODES: Final = ("disable", "prefer", "allow", "require", "verify-ca", "verify-full")
_FEWEST_CONNECTIONS: Final = 2
_OPTIONS: Final[dict[str, Callable[[str], object]]] = {
    "schema": str,
    "prefix": str,
    "max_connections": int,
    "connect_timeout": float,
    "command_timeout": float,
    "reconnect_timeout": float,
    "statement_cache_size": int,
    "max_bytes": int,
}


class PostgresStore(SessionStore[Session]):
    """The part of a store that is about its server. A store inherits from this first, then from its interface.

    The store connects on first use, and creates its tables where they are missing. It belongs to the event loop it was
    first used in; when that is closed, it may be used in another. Connections that were left open in the first are
    dropped then; what was being written there is in the database as a whole or not at all.

    A store says in ``_tables`` what it keeps in the database. The arguments are those of every store on PostgreSQL, which
    `PostgresRunStore` and `PostgresSignalStore` explain to their users.

    Raises:
        InvalidValueError: An argument is not valid.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "public",
        prefix: str = "openharness_",
        password: Password | None = None,
        ssl: Tls = None,
        max_connections: int = 5,
        connect_timeout: float = 10.0,
        command_timeout: float = 30.0,
        reconnect_timeout: float = 30.0,
        statement_cache_size: int = 100,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        checked_dsn(dsn)
        tables = self._tables
        self._names = Names(schema=schema, prefix=prefix, component=tables.component, version=tables.version)
        name = f"{type(self).__name__}({shown_dsn(dsn)!r}, schema={schema!r})"
        if password is not None and not isinstance(cast("object", password), str) and not callable(password):
            raise InvalidValueError("password", value=type(password), expected="text, or a function that returns it")
        _check_tls(ssl)
        _check_count("max_connections", max_connections, lowest=_FEWEST_CONNECTIONS)
        _check_count("statement_cache_size", statement_cache_size, lowest=0)
        _check_count("max_bytes", max_bytes, lowest=1)
        _check_seconds("connect_timeout", connect_timeout, zero=False)
        _check_seconds("command_timeout", command_timeout, zero=False)
        _check_seconds("reconnect_timeout", reconnect_timeout, zero=True)
        self._max_bytes = max_bytes
        self._settings = Settings(
            dsn=dsn,
            names=self._names,
            schema=tables,
            password=password,
            ssl=ssl,
            max_connections=max_connections,
            connect_timeout=float(connect_timeout),
            command_timeout=float(command_timeout),
            reconnect_timeout=float(reconnect_timeout),
            statement_cache_size=statement_cache_size,
            store=name,
        )
        super().__init__(name=name)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store that a URL names; plugins are opened by it.

        Args:
            url: ``postgresql://user@host/database`` or ``postgres://…``. `schema`, `prefix`, `max_connections`, the
                timeouts, `statement_cache_size` and `max_bytes` may follow as options, beside those of libpq:
                ``postgresql://host/database?schema=agents&sslmode=require``.

        Raises:
            InvalidValueError: It is not such a URL, or the value of an option is not valid.
        """
        dsn, options = split_url(url, _OPTIONS)
        arguments: dict[str, Any] = {}
        for name, text in options.items():
            try:
                arguments[name] = _OPTIONS[name](text)
            except ValueError:
                raise InvalidValueError(name, value=text, expected="a number") from None
        return cls(dsn, **arguments)

    async def doctor(self) -> DoctorReport:
        """Examine the server and the tables, and report what is wrong instead of raising it; nothing is changed.

        Looked at are the server's version and its known defects, the settings that decide what a crash may cost, whose
        tables in which version are there, whether tables, indexes and triggers are as they were made, and the checksum
        of every row. All of that is one transaction that only reads, on a connection of its own. It takes as long as
        reading all of it, and as much memory as a few rows. Meanwhile no table can be altered, and VACUUM leaves rows
        that are deleted.

        Where the extension ``amcheck`` is installed and the role may use it, every index is compared with its table.
        """
        self._check_open()
        in_force = None
        session = self._session
        if session is not None and session.process == os.getpid() and session.loop is asyncio.get_running_loop():
            with contextlib.suppress(StoreError):  # the report will have it
                in_force = await session.synchronous_commit()
        return await doctor(self._settings, synchronous_commit=in_force)

    @property
    @abc.abstractmethod
    def _tables(self) -> Schema:
        """What the store keeps in the database."""

    def _new_session(self) -> Session:
        return Session(self._settings)


def _check_tls(value: object) -> None:
    if value is None or isinstance(value, (bool, ssl.SSLContext)) or value in _MODES:
        return
    raise InvalidValueError("ssl", value=value, expected=f"an ssl.SSLContext, a bool, or one of {', '.join(_MODES)}")


def _check_count(name: str, value: object, *, lowest: int) -> None:
    if type(value) is not int or value < lowest:
        raise InvalidValueError(name, value=value, expected=f"an integer from {lowest} on")


def _check_seconds(name: str, value: object, *, zero: bool) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (0 <= cast("float", value) < math.inf) or (value == 0 and not zero):
        raise InvalidValueError(name, value=value, expected="a number of seconds" + ("" if zero else " above 0"))
