"""Changes of a state: found by comparing two, written as signals, and applied again by the fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

import attrs

from openharness.core.errors import SerializationError
from openharness.core.values import JSONValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openharness.core.values import JSONObject

__all__ = ("Change", "Operation", "apply_change", "find_changes")

Operation = Literal["set", "append", "remove"]

_MOST: Final = 8
"""A field with more changes than this is set whole: one signal is easier to read than many."""


@attrs.frozen
class Change:
    """One change of a state.

    Attributes:
        path: Where, from the field's name on: keys of dicts and indexes of lists.
        operation: ``"set"``: the value at the path is now `value`. ``"append"``: the items of the list `value` were
            added to the list at the path. ``"remove"``: the key at the end of the path is gone.
        value: See `operation`; None for ``"remove"``.
    """

    path: tuple[str | int, ...]
    operation: Operation
    value: JSONValue = None

    def to_payload(self) -> JSONObject:
        """Return the payload of the signal that tells of this change."""
        return {"path": list(self.path), "operation": self.operation, "value": self.value}


def find_changes(field: str, old: JSONValue, new: JSONValue) -> list[Change]:
    """Return the changes that make ``old`` into ``new``, to the order of keys; empty when they are the same JSON.

    Numbers of different types differ (``1`` and ``1.0``), as do ``0.0`` and ``-0.0``.
    """
    changes = list(_differences((field,), old, new))
    if len(changes) > _MOST:
        return [Change((field,), "set", new)]
    return changes


def _differences(path: tuple[str | int, ...], old: JSONValue, new: JSONValue) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _dict_differences(path, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_differences(path, old, new)
    elif not _same_scalar(old, new):
        yield Change(path, "set", new)


def _dict_differences(path: tuple[str | int, ...], old: JSONObject, new: JSONObject) -> Iterator[Change]:
    kept = [key for key in old if key in new]
    if [*kept, *(key for key in new if key not in old)] != list(new):
        yield Change(path, "set", new)  # Only setting it whole gives it the order of keys it has now.
        return
    for key in old:
        if key not in new:
            yield Change((*path, key), "remove")
    for key, value in new.items():
        if key in old:
            yield from _differences((*path, key), old[key], value)
        else:
            yield Change((*path, key), "set", value)


def _list_differences(path: tuple[str | int, ...], old: list[JSONValue], new: list[JSONValue]) -> Iterator[Change]:
    if len(new) < len(old):
        yield Change(path, "set", new)
        return
    changed = [change for index, item in enumerate(old) for change in _differences((*path, index), item, new[index])]
    if len(changed) > _MOST:
        yield Change(path, "set", new)
        return
    yield from changed
    if len(new) > len(old):
        yield Change(path, "append", new[len(old) :])


def _same_scalar(old: JSONValue, new: JSONValue) -> bool:
    if type(old) is not type(new):
        return False
    if isinstance(old, float) and not old:
        return repr(old) == repr(new)
    return old == new


def apply_change(state: JSONObject, change: Change) -> JSONObject:
    """Return the state after a change. Nothing is changed in place: what did not change is shared with the old one.

    Raises:
        SerializationError: The path leads nowhere in this state, or the operation does not fit what is there.
    """
    return cast("JSONObject", _applied(state, change.path, change))


def _applied(value: JSONValue, path: Sequence[str | int], change: Change) -> JSONValue:
    if not path:
        if change.operation == "set":
            return change.value
        if change.operation == "append" and isinstance(value, list) and isinstance(change.value, list):
            return [*value, *change.value]
        raise _unfit(change, value)
    step, rest = path[0], path[1:]
    if isinstance(value, dict) and isinstance(step, str):
        copy = dict(value)
        if not rest and change.operation == "remove" and step in copy:
            del copy[step]
        elif step in copy or (not rest and change.operation == "set"):
            copy[step] = _applied(copy.get(step), rest, change)
        else:
            raise _unfit(change, value)
        return copy
    inside = rest or change.operation != "remove"
    if inside and isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return [*value[:step], _applied(value[step], rest, change), *value[step + 1 :]]
    raise _unfit(change, value)


def _unfit(change: Change, value: JSONValue) -> SerializationError:
    path = ".".join(map(str, change.path))
    return SerializationError(f"state.{path}", value=value, reason=f"{change.operation!r} does not fit what is there")
