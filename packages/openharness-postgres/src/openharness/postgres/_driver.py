"""What the driver gives, by short names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncpg

__all__ = ("Connection", "Row")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection."""

Row: TypeAlias = "asyncpg.Record"
"""The values of some columns: by index, by name, or all in their order."""
