"""What goes into SQLite and comes out of it."""

from __future__ import annotations

from typing import TypeAlias

import attrs

__all__ = ("Row", "Statement", "Value")

Value: TypeAlias = "str | bytes | int | float | None"
"""What a column may hold. The reading connection gives text as the bytes it is in the file."""

Row: TypeAlias = "tuple[Value, ...]"
"""The values of some columns, in their order."""


@attrs.frozen
class Statement:
    """SQL and the values for its question marks.

    Attributes:
        sql: The text; what users give is never a part of it.
        parameters: One value for each question mark.
    """

    sql: str
    parameters: tuple[Value, ...] = ()
