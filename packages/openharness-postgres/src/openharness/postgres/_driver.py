"""What the driver gives, by short names, and transactions that say why they failed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ("Connection", "Row", "transaction")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection."""

Row: TypeAlias = "asyncpg.Record"
"""The values of some columns: by index, by name, or all in their order."""


@contextlib.asynccontextmanager
async def transaction(
    connection: Connection, *, isolation: str | None = None, readonly: bool = False
) -> AsyncGenerator[None]:
    """Commit what is done inside, or take all of it back when it raises; inside of another one it is a savepoint.

    Where the connection ends inside, what was raised there goes on. The driver alone would say that the transaction could
    not be ended, and not what the server had said.

    Args:
        connection: The connection.
        isolation: ``read_committed``, ``repeatable_read`` or ``serializable``; None for what the server does by default.
        readonly: Whether it only reads.
    """
    first: BaseException | None = None
    try:
        async with connection.transaction(isolation=isolation, readonly=readonly):  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            try:
                yield
            except BaseException as error:
                first = error
                raise
    except asyncpg.InterfaceError:
        if first is None:
            raise
    if first is not None:
        raise first
