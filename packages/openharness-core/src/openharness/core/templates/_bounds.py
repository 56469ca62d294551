"""Bounds for what a template makes: a few characters of it must not become a text without end.

Each operator and filter that makes more than it is given is looked at before it works. So none makes a text of more than
16 MiB, also not several of them one after the other; what is just inserted may be of any size.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ("BOUNDED_OPERATORS", "bounded_filters", "check_operands")

BOUNDED_OPERATORS: Final = frozenset(["*", "%"])

_MOST_DIGITS: Final = 4_300
"""Of a number that is read or rounded; Python's own limit for numbers as text."""

_FORMAT: Final = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.?)", re.DOTALL)


def check_operands(operator: str, left: object, right: object) -> None:
    """Refuse an operation whose result would be too large.

    Raises:
        ValueError: It would be.
        TypeError: A list is multiplied, whose text could be of any size.
    """
    if operator == "%" and isinstance(left, str):
        _check_format(left, cast("tuple[object, ...]", right) if isinstance(right, tuple) else (right,))
    elif operator == "*":
        for repeated, times in ((left, right), (right, left)):
            if isinstance(repeated, (list, tuple)):
                raise TypeError("lists cannot be multiplied")
            if isinstance(repeated, str) and isinstance(times, int):
                _check(len(repeated) * times)


def bounded_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return filters of Jinja, those that can make much of little with a look at their arguments before."""
    return {
        name: _bounded(function, _CHECKS[name]) if name in _CHECKS else function for name, function in filters.items()
    }


def _bounded(function: Callable[..., Any], check: Callable[[dict[str, Any]], None]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    # What says that Jinja gives the filter its environment goes along.
    @functools.wraps(function)
    def bounded(*args: object, **kwargs: object) -> object:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        check(given.arguments)
        result = function(*given.args, **given.kwargs)
        if isinstance(result, str):
            _check(len(result))
        return result

    return bounded


def _check(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"it would make a text of more than {MAX_BYTES:,} characters; use a prompt function")


def _check_format(text: str, values: Iterable[object]) -> None:
    longest = max((len(str(value)) for value in values), default=0)
    size = len(text)
    for width, precision, kind in _FORMAT.findall(text):
        if kind == "(" or "*" in (width, precision):
            raise ValueError("a format has its widths as numbers, and no parentheses in its keys")
        size += max(int(width or 0), longest) + int(precision or 0)
    _check(size)


def _center(given: dict[str, Any]) -> None:
    _check(_number(given["width"]))


def _format(given: dict[str, Any]) -> None:
    _check_format(str(given["value"]), [*given["args"], *given["kwargs"].values()])


def _indent(given: dict[str, Any]) -> None:
    text, width = str(given["s"]), given["width"]
    _check(len(text) + (len(text.splitlines()) + 1) * (len(width) if isinstance(width, str) else _number(width)))


def _int(given: dict[str, Any]) -> None:
    if isinstance(given["value"], str) and len(given["value"]) > _MOST_DIGITS:
        given["value"] = ""  # No number, as it is none in tens: the filter gives its default.


def _join(given: dict[str, Any]) -> None:
    items = given["value"] = list(given["value"])
    _check(sum(len(str(item)) for item in items) + len(items) * len(str(given["d"])))


def _replace(given: dict[str, Any]) -> None:
    text, old = str(given["s"]), str(given["old"])
    _check(len(text) + text.count(old) * len(str(given["new"])))


def _round(given: dict[str, Any]) -> None:
    if abs(_number(given["precision"])) > _MOST_DIGITS:
        raise ValueError(f"a number is rounded to {_MOST_DIGITS:,} digits at most")


def _tojson(given: dict[str, Any]) -> None:
    if given["indent"] is None:
        return
    if _number(given["indent"]) > _MOST_DIGITS:
        raise ValueError(f"JSON is indented by {_MOST_DIGITS:,} spaces at most")
    size = 0
    for part in json.JSONEncoder(indent=given["indent"]).iterencode(given["value"]):
        size += len(part)
        _check(size)


def _wordwrap(given: dict[str, Any]) -> None:
    text, between = str(given["s"]), given["wrapstring"]
    lines = 2 * len(text) // max(1, _number(given["width"])) + len(text.splitlines()) + 1
    _check(len(text) + lines * (1 if between is None else len(str(between))))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _nothing(given: dict[str, Any]) -> None:
    """Leave it to the look at the result: it is a few times what was given, whatever that is."""


_CHECKS: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "center": _center,
    "e": _nothing,
    "escape": _nothing,
    "format": _format,
    "indent": _indent,
    "int": _int,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "tojson": _tojson,
    "truncate": _nothing,
    "wordwrap": _wordwrap,
}
