"""Copies of JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openharness.core.values._types import JSONValue

__all__ = ("copy_json",)

_SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})


def copy_json(value: JSONValue) -> JSONValue:
    """Return a JSON value that shares no list and no dict with the given one."""
    # Asked of each item here: a call for it would cost more than the rest.
    if isinstance(value, list):
        return [item if type(item) in _SCALARS else copy_json(item) for item in value]
    if isinstance(value, dict):
        return {key: item if type(item) in _SCALARS else copy_json(item) for key, item in value.items()}
    return value
