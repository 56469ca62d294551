"""Copies of JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openharness.core.values._types import JSONValue

__all__ = ("copy_json",)


def copy_json(value: JSONValue) -> JSONValue:
    """Return a JSON value that shares no list and no dict with the given one."""
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    return value
