"""JSON values of a log as values of attributes, such that every exporter can write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openharness.core.records import Signal

__all__ = (
    "AttributeMap",
    "Value",
    "fields_of",
    "integer",
    "items_of",
    "json_text",
    "known",
    "nanoseconds",
    "number",
    "plain",
    "text",
)

Value: TypeAlias = "str | bool | int | float | Sequence[str]"
"""What an attribute of ours may be."""

AttributeMap: TypeAlias = "Mapping[str, Value]"
"""Attributes of a span."""

_HALVES: Final = re.compile("[\ud800-\udfff]")
_MOST: Final = 2**63 - 1
_NANOSECONDS: Final = 1_000_000


def fields_of(value: object) -> dict[str, Any]:
    """Return a JSON value where it is an object, and an empty one where it is not: strangers write logs."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items_of(value: object) -> Sequence[Any]:
    """Return a JSON value where it is a list, and an empty one where it is not."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else []


def plain(text: str) -> str:
    """Return a text that can be encoded: models write half characters, and one of them would lose a batch of spans."""
    return text if text.isascii() else _HALVES.sub("\ufffd", text)


def text(value: object) -> str | None:
    """Return a JSON value where it is text that says something."""
    return plain(value) if isinstance(value, str) and value else None


def integer(value: object) -> int | None:
    """Return a JSON value where it is an integer that exporters can write."""
    return value if type(value) is int and -_MOST <= value <= _MOST else None


def number(value: object) -> float | None:
    """Return a JSON value where it is a number, as a float."""
    if type(value) is float:
        return value
    whole = integer(value)
    return None if whole is None else float(whole)


def json_text(value: Any) -> str:
    """Return a JSON value as JSON text: what the conventions ask for where attributes have no structure."""
    return plain(dump_json(value).decode())


def known(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    """Return the attributes that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}


def nanoseconds(signal: Signal) -> int:
    """Return the time of a signal as spans have it."""
    return min(max(signal.timestamp, 0), _MOST // _NANOSECONDS) * _NANOSECONDS
