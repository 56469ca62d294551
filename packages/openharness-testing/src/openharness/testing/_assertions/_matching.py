"""Partial payloads: what a payload must at least hold, and where one does not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from openharness.core import to_json
from openharness.testing._assertions._rendering import shown

__all__ = ("ANYTHING", "described", "mismatch")

ANYTHING: Any = ...
"""Stands for any value at all."""


def mismatch(expected: Any, actual: Any, path: str = "payload") -> str | None:
    """Return where a JSON value is not what was expected, as a phrase; None where it is.

    Args:
        expected: ``...`` takes anything, a compiled regular expression any text it is found in, a function any value it
            returns true for, a mapping every object with at least these keys, a list every list of as many items that
            match one by one. Anything else takes the JSON value it is stored as.
        actual: The JSON value.
        path: What to call the value.
    """
    if expected is ANYTHING:
        return None
    if isinstance(expected, re.Pattern):
        expression = cast("re.Pattern[str]", expected)
        found = isinstance(actual, str) and expression.search(actual) is not None
        return None if found else f"{path} is {shown(actual)}, in which {expression.pattern!r} is not found"
    if callable(expected) and not isinstance(expected, type):
        return None if expected(actual) else f"{path} is {shown(actual)}, which {described(expected)} does not accept"
    if isinstance(expected, Mapping):
        return _object_mismatch(cast("Mapping[str, Any]", expected), actual, path)
    if isinstance(expected, (list, tuple)):
        return _list_mismatch(cast("Sequence[Any]", expected), actual, path)
    wanted = to_json(expected, path=path)
    # JSON tells true from 1, and Python does not.
    same = wanted == actual and isinstance(wanted, bool) == isinstance(actual, bool)
    return None if same else f"{path} is {shown(actual)}, not {shown(wanted)}"


def _object_mismatch(expected: Mapping[str, Any], actual: Any, path: str) -> str | None:
    if not isinstance(actual, dict):
        return f"{path} is {shown(actual)}, not an object"
    present = cast("dict[str, Any]", actual)
    for key, value in expected.items():
        if key not in present:
            return f"{path} has no {key!r}; it has {', '.join(map(repr, present)) or 'nothing'}"
        different = mismatch(value, present[key], f"{path}.{key}")
        if different is not None:
            return different
    return None


def _list_mismatch(expected: Sequence[Any], actual: Any, path: str) -> str | None:
    if not isinstance(actual, list):
        return f"{path} is {shown(actual)}, not a list"
    items = cast("Sequence[Any]", actual)
    if len(items) != len(expected):
        return f"{path} has {len(items)} items, not {len(expected)}"
    different = (
        mismatch(one, other, f"{path}[{at}]") for at, (one, other) in enumerate(zip(expected, items, strict=True))
    )
    return next((phrase for phrase in different if phrase is not None), None)


def described(expected: Any) -> str:
    """Return what was expected as the test wrote it, nearly."""
    if expected is ANYTHING:
        return "..."
    if isinstance(expected, re.Pattern):
        return f"/{cast('re.Pattern[str]', expected).pattern}/"
    if isinstance(expected, Mapping):
        pairs = cast("Mapping[str, Any]", expected).items()
        return "{" + ", ".join(f"{key!r}: {described(value)}" for key, value in pairs) + "}"
    if isinstance(expected, (list, tuple)):
        return "[" + ", ".join(map(described, cast("Sequence[Any]", expected))) + "]"
    if callable(expected):
        return str(getattr(expected, "__name__", repr(expected)))
    return repr(expected)
