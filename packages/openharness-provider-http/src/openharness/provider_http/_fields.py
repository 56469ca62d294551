"""Reads fields of what a server sent, whatever it left out or put in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ("count_at", "mapping_at", "mappings_at", "text_at")


def text_at(part: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that is a text and not empty; the empty text where none is."""
    for name in names:
        value = part.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def count_at(part: Mapping[str, Any], name: str) -> int | None:
    """Return a field that is a number of 0 or more, as an integer; None where it is none."""
    value = part.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return int(value)


def mapping_at(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a field that is an object; an empty one where it is none."""
    value = part.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def mappings_at(part: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects in a field that is a list; an empty list where it is none."""
    value = part.get(name)
    if not isinstance(value, list):
        return []
    return [cast("Mapping[str, Any]", one) for one in cast("list[object]", value) if isinstance(one, Mapping)]
