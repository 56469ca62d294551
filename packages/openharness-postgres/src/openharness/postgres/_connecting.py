"""How a connection to the server is opened, told from others, and dropped."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import asyncpg
import attrs

from openharness.core import StoreOpenError
from openharness.postgres._address import missing_file, shown_dsn
from openharness.postgres._names import Names
from openharness.postgres._schema import Schema

if TYPE_CHECKING:
    from openharness.postgres._driver import Connection

__all__ = ("Password", "Settings", "Tls", "connect", "forget", "new_label")

Password: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A password, or what gives one that is asked for at each connection, as short-lived tokens need."""

Tls: TypeAlias = (
    ssl.SSLContext | bool | Literal["disable", "prefer", "allow", "require", "verify-ca", "verify-full"] | None
)
"""How the connection is secured: a context of one's own, one of libpq's modes, or None for what the URL says."""

_LABEL: Final = "openharness"


@attrs.frozen(kw_only=True)
class Settings:
    """How a store connects. Its text form shows no password.

    Attributes:
        dsn: The URL of the database.
        names: Where its tables are.
        schema: What it keeps in them.
        password: Instead of the one in the URL.
        ssl: How the connection is secured.
        max_connections: How many connections it opens at most. One of them writes.
        connect_timeout: Seconds that opening a connection may take.
        command_timeout: Seconds that a statement may take.
        reconnect_timeout: Seconds for which callers wait for a server that has gone.
        statement_cache_size: How many prepared statements each connection keeps; 0 for none.
        store: What the store calls itself in errors.
    """

    dsn: str = attrs.field(repr=lambda dsn: repr(shown_dsn(dsn)))
    names: Names
    schema: Schema
    password: Password | None = attrs.field(repr=False)
    ssl: Tls
    max_connections: int
    connect_timeout: float
    command_timeout: float
    reconnect_timeout: float
    statement_cache_size: int
    store: str


class _OwnNames(asyncpg.Connection):
    """A connection whose prepared statements have names that nobody else gives.

    The driver counts them from 1 in each process. Behind a pooler that does not know of them and hands connections to
    others, another process may have prepared something else by the same name, which would then be executed silently. So
    the server says that there is no such statement.
    """

    def _get_unique_id(self, prefix: str) -> str:
        return f"{_LABEL}_{prefix}_{secrets.token_hex(8)}"


def new_label() -> str:
    """Return an application name that no other connection has, so that the server can be asked for this one."""
    return f"{_LABEL}:{secrets.token_hex(6)}"


async def connect(settings: Settings, label: str) -> Connection:
    """Open a connection.

    Args:
        settings: How.
        label: Its application name; see `new_label`.

    Raises:
        OSError: Nobody answers at the address, or not in time.
        StoreOpenError: What was given does not say how to connect.
        asyncpg.PostgresError: The server refuses.
    """
    try:
        return await asyncpg.connect(
            settings.dsn or None,
            password=cast("Any", _asked(settings)),
            ssl=cast("Any", settings.ssl),
            timeout=settings.connect_timeout,
            command_timeout=settings.command_timeout,
            statement_cache_size=settings.statement_cache_size,
            # Statements never change their meaning here, and a pooler may hand them to other connections.
            max_cached_statement_lifetime=0,
            connection_class=_OwnNames,
            server_settings={"application_name": label},
        )
    except TimeoutError as error:
        # Not that of a statement: a machine that has failed, or is cut off, answers nothing at all.
        raise ConnectionError(f"no connection within {settings.connect_timeout:g} s (connect_timeout)") from error
    except ssl.SSLError:  # some are ValueErrors as well
        raise
    except FileNotFoundError as error:
        missing = missing_file(settings.dsn)
        if missing is None:
            raise
        raise StoreOpenError(f"{missing} is not there.", store=settings.store) from error
    except asyncpg.UndefinedObjectError as error:
        # What the driver does not know is sent to the server as one of its settings.
        raise StoreOpenError(
            f"the URL has an option that neither the driver nor the server knows: {error}.", store=settings.store
        ) from error
    except (ValueError, OverflowError) as error:
        raise StoreOpenError(
            f"the URL, an option of it, or a variable such as PGPORT cannot be used: {error}.", store=settings.store
        ) from error


def _asked(settings: Settings) -> Password | None:
    """The password, or what asks for it and says so when it cannot be had."""
    password = settings.password
    if not callable(password):
        return password

    async def ask() -> str:
        try:
            given = password()
            return await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise StoreOpenError(
                f"the function that gives the password failed: {error!r}.", store=settings.store
            ) from error

    return ask


def forget(connection: Connection) -> None:
    """Drop a connection whose event loop is closed, without the loop: the server sees it end, and nobody is warned."""
    transport = cast("Any", connection)._transport  # noqa: SLF001 - the driver has no call that needs no loop
    with contextlib.suppress(Exception):
        own = transport.get_extra_info("socket")
        own.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(Exception):
        # TLS, where the transport of the socket lies below.
        transport = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
        if isinstance(getattr(transport, "_sock", None), socket.socket):
            transport._sock.close()  # noqa: SLF001
            transport._sock = None  # noqa: SLF001
    with contextlib.suppress(RuntimeError, asyncio.InvalidStateError):
        connection.terminate()
