"""Equality as the contracts mean it: the same values, of the same types, in the same order."""

from __future__ import annotations

import math
from typing import Any, cast

import attrs

__all__ = ("assert_same", "first_difference")


def first_difference(actual: object, expected: object, *, path: str = "value") -> str | None:
    """Describe where two values differ, or return None.

    Unlike ``==`` it tells ``True`` from ``1``, ``1`` from ``1.0``, ``0.0`` from ``-0.0``, a tuple from a list, and one
    order of keys from another. Objects of attrs classes are compared field by field.

    Args:
        actual: What came.
        expected: What should have come.
        path: What to call it.
    """
    if type(actual) is not type(expected):
        return f"{path}: expected {expected!r} ({type(expected).__name__}), got {actual!r} ({type(actual).__name__})"
    if isinstance(expected, dict):
        return _in_dict(cast("dict[object, object]", actual), cast("dict[object, object]", expected), path)
    if isinstance(expected, (list, tuple)):
        return _in_list(cast("list[object]", actual), cast("list[object]", expected), path)
    kind: type[Any] = type(expected)
    if attrs.has(kind):
        for name in (field.name for field in attrs.fields(kind)):
            found = first_difference(getattr(actual, name), getattr(expected, name), path=f"{path}.{name}")
            if found is not None:
                return found
        return None
    equal = actual == expected
    if isinstance(expected, float) and isinstance(actual, float):
        equal = equal and math.copysign(1, actual) == math.copysign(1, expected)
    return None if equal else f"{path}: expected {_shown(expected)}, got {_shown(actual)}"


def _in_dict(actual: dict[object, object], expected: dict[object, object], path: str) -> str | None:
    if list(actual) != list(expected):
        return f"{path}: expected the keys {_shown(list(expected))}, in this order, got {_shown(list(actual))}"
    for key, item in expected.items():
        found = first_difference(actual[key], item, path=f"{path}[{key!r}]")
        if found is not None:
            return found
    return None


def _in_list(actual: list[object], expected: list[object], path: str) -> str | None:
    if len(actual) != len(expected):
        return f"{path}: expected {len(expected)} items, got {len(actual)}"
    for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
        found = first_difference(one, other, path=f"{path}[{index}]")
        if found is not None:
            return found
    return None


_SHOWN = 300


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def assert_same(actual: object, expected: object, *, what: str = "value") -> None:
    """Fail with the first difference between two values, if there is one.

    Args:
        actual: What came.
        expected: What should have come.
        what: What to call it.
    """
    __tracebackhide__ = True
    difference = first_difference(actual, expected, path=what)
    assert difference is None, difference
