"""The JSON values that records and signals are made of."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ("JSONObject", "JSONValue")

JSONValue: TypeAlias = "None | bool | int | float | str | list[JSONValue] | dict[str, JSONValue]"
"""``None``, ``bool``, ``str``, ``int`` (64 bits), finite ``float``, ``list``, or ``dict`` with ``str`` keys."""

JSONObject: TypeAlias = "dict[str, JSONValue]"
"""A JSON value that is a ``dict``."""
