"""What runs and recordings carry beside their content, and equality with what somebody looks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from openharness.core.errors import InvalidValueError, SerializationError
from openharness.core.values import canonical_json, to_json

if TYPE_CHECKING:
    from openharness.core.values import JSONValue

__all__ = ("MOST_CONDITIONS", "has_metadata", "optional_metadata", "scalar_metadata")

MOST_CONDITIONS = 100
"""How many keys, or tags, a query asks for at most: each is a look into an index, and a part of one statement."""


def optional_metadata(value: Mapping[str, Any] | None) -> Mapping[str, JSONValue] | None:
    """Return metadata in its JSON form, as a copy."""
    if value is None:
        return None
    if not isinstance(cast("object", value), Mapping):
        raise InvalidValueError("metadata", value=value, expected="a mapping of strings to JSON values, or None")
    converted = cast("dict[str, JSONValue]", to_json(value, path="metadata"))
    _check_texts(converted, "metadata")
    return converted


_UNINDEXABLE = re.compile("[\0\ud800-\udfff]")


def _check_texts(value: JSONValue, path: str) -> None:
    """Databases index metadata as their own text and JSON types, which hold neither NUL nor lone surrogates."""
    if isinstance(value, str):
        if _UNINDEXABLE.search(value):
            raise SerializationError(path, value=value, reason="metadata takes no NUL characters and no surrogates")
    elif isinstance(value, dict):
        for key, item in value.items():
            if _UNINDEXABLE.search(key):
                raise SerializationError(
                    path, value=key, reason="metadata takes no NUL characters and no surrogates in keys"
                )
            _check_texts(item, f"{path}[{key!r}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_texts(item, f"{path}[{index}]")


def scalar_metadata(value: Mapping[str, Any] | None) -> Mapping[str, JSONValue]:
    """Return the metadata of a query, whose values can be compared.

    Raises:
        InvalidValueError: One is a list or an object, or there are more than `MOST_CONDITIONS`.
    """
    wanted = optional_metadata(value) or {}
    if len(wanted) > MOST_CONDITIONS:
        raise InvalidValueError("metadata", value=len(wanted), expected=f"of at most {MOST_CONDITIONS} keys in a query")
    for key, item in wanted.items():
        if isinstance(item, (list, dict)):
            raise InvalidValueError(
                f"metadata[{key!r}]",
                value=item,
                expected="a string, a number, a bool or None (only these are compared)",
            )
    return wanted


def has_metadata(has: Mapping[str, JSONValue] | None, wanted: Mapping[str, JSONValue]) -> bool:
    """Tell whether each of the wanted keys is there, with a value that is the same JSON."""
    if not wanted:
        return True
    if not has:
        return False
    return all(key in has and _is_same(has[key], item) for key, item in wanted.items())


def _is_same(value: JSONValue, other: JSONValue) -> bool:
    if isinstance(value, str) and isinstance(other, str):
        return value == other
    return canonical_json(value) == canonical_json(other)
