"""Where two JSON values differ."""

from __future__ import annotations

import difflib
import json
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, Literal, cast

import attrs

from openharness.core.values._codec import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core.values._types import JSONValue

__all__ = ("Difference", "find_differences", "shown")

_LONG: Final = 60
_MISSING: Final = object()


@attrs.frozen
class Difference:
    """One place in which two signals, or two states, differ.

    Attributes:
        path: Where, as one would write it: ``payload.request.messages[0].content``.
        recorded: What the recording has; None where it has nothing.
        actual: What came; None where nothing came.
        kind: Tells nothing from a null: ``"removed"`` where only the recording has a value, ``"added"`` where only what
            came has one, else ``"changed"``.
    """

    path: str
    recorded: object
    actual: object
    kind: Literal["changed", "added", "removed"] = "changed"

    def __str__(self) -> str:
        """Return the place and both values; long texts as a diff of their lines."""
        if (
            isinstance(self.recorded, str)
            and isinstance(self.actual, str)
            and max(map(len, (self.recorded, self.actual))) > _LONG
        ):
            lines = difflib.unified_diff(
                self.recorded.splitlines(), self.actual.splitlines(), "recorded", "actual", lineterm="", n=1
            )
            return "\n".join([f"{self.path}:", *(f"  {line}" for line in lines)])
        return f"{self.path}: recorded {shown(self.recorded)}, actual {shown(self.actual)}"


def find_differences(recorded: JSONValue, actual: JSONValue, *, path: str) -> Iterator[Difference]:
    """Yield every place in which two JSON values differ, in the order of the first one; nothing for the same JSON.

    The order of keys counts, and so does the type of a number: ``1`` is not ``1.0``.

    Args:
        recorded: One value.
        actual: The other.
        path: What to call the whole.
    """
    return _differences(path, recorded, actual)


def shown(value: object) -> str:
    """Return a JSON value as text that does not fill a screen."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 4 * _LONG else f"{text[: 4 * _LONG]}…"


def _differences(path: str, one: object, other: object) -> Iterator[Difference]:
    if one is _MISSING:
        yield Difference(path, None, other, "added")
        return
    if other is _MISSING:
        yield Difference(path, one, None, "removed")
        return
    left, right = cast("JSONValue", one), cast("JSONValue", other)
    if isinstance(left, dict) and isinstance(right, dict):
        if list(left) != list(right) and set(left) == set(right):
            yield Difference(f"{path} (order of keys)", list(left), list(right))
        for key in dict.fromkeys([*left, *right]):
            yield from _differences(f"{path}.{key}", left.get(key, _MISSING), right.get(key, _MISSING))
    elif isinstance(left, list) and isinstance(right, list):
        for index, (left_item, right_item) in enumerate(zip_longest(left, right, fillvalue=_MISSING)):
            yield from _differences(f"{path}[{index}]", left_item, right_item)
    elif dump_json(left) != dump_json(right):
        yield Difference(path, left, right)
