"""Conditions that a query has many of."""

from __future__ import annotations

from typing import Final

__all__ = ("fence",)

_JOINED: Final = 4
"""How many conditions the planner may make joins of: what that takes grows with all the orders there are of them."""


def fence(number: int) -> str:
    """Return the end of the subquery of a condition, which keeps the server from making a join of it.

    Args:
        number: Which of the query's conditions it is, from 1; the first few need no fence, and get none.
    """
    return " OFFSET 0" if number > _JOINED else ""
