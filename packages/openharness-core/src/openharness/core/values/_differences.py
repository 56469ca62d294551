"""Where two JSON values differ."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final, Literal, cast

import attrs

from openharness.core.values._codec import dump_json
from openharness.core.values._texts import is_long_text, shown_value, text_diff, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core.values._types import JSONValue

__all__ = ("Difference", "find_differences")

_MOST: Final = 240
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
        """Return the place and both values; texts of several lines, and long ones, as a diff of their lines."""
        path = visible(self.path)
        if is_long_text(self.recorded, self.actual):
            lines = text_diff(str(self.recorded), str(self.actual), names=("recorded", "actual"))
            return "\n".join([f"{path}:", *(f"  {line}" for line in lines)])
        recorded = "nothing" if self.kind == "added" else shown_value(self.recorded, most=_MOST)
        actual = "nothing" if self.kind == "removed" else shown_value(self.actual, most=_MOST)
        return f"{path}: recorded {recorded}, actual {actual}"


def find_differences(recorded: JSONValue, actual: JSONValue, *, path: str) -> Iterator[Difference]:
    """Yield every place in which two JSON values differ, in the order of the first one; nothing for the same JSON.

    The order of keys counts, and so does the type of a number: ``1`` is not ``1.0``.

    Args:
        recorded: One value.
        actual: The other.
        path: What to call the whole.
    """
    return _differences(path, recorded, actual)


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
