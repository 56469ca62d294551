"""The JSON values that records and signals are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

__all__ = ("JSONObject", "JSONValue")

if TYPE_CHECKING:
    JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"
else:
    # What reads annotations while the program runs (attrs, cattrs, msgspec, Pydantic) cannot follow a recursive alias;
    # so a field of a user's class that is declared as JSONValue is to them a field that may hold anything.
    JSONValue: TypeAlias = Any
"""``None``, ``bool``, ``str``, ``int`` (64 bits), finite ``float``, ``list``, or ``dict`` with ``str`` keys."""

JSONObject: TypeAlias = dict[str, JSONValue]
"""A JSON value that is a ``dict``."""
