"""How deep and how large a JSON value may be, and the check of one that somebody else wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openharness.core.errors import SerializationError

if TYPE_CHECKING:
    from openharness.core.values._types import JSONValue

__all__ = ("INT_MAX", "INT_MIN", "MAX_BYTES", "MAX_DEPTH", "check_limits", "check_room")

MAX_DEPTH: Final = 200
"""How many lists and dicts may be nested in one value."""

_ROOM: Final = 8
"""How many of them are left to what stands around a value in a log: payloads, requests, messages."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""How large one encoded value may be, unless a store is told otherwise: 16 MiB."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


def check_limits(value: JSONValue, *, path: str) -> None:
    """Refuse a decoded value whose nesting or integers are beyond the limits.

    Level by level instead of by recursion: what is nested too deep must not exhaust the stack of what looks for it.

    Raises:
        SerializationError: It is nested deeper than `MAX_DEPTH`, or an integer does not fit in 64 bits.
    """
    level: list[JSONValue] = [value]
    for _ in range(MAX_DEPTH + 1):
        containers: list[list[JSONValue] | dict[str, JSONValue]] = []
        for item in level:
            kind: type[object] = type(item)
            if kind is dict or kind is list:
                containers.append(cast("list[JSONValue] | dict[str, JSONValue]", item))
            elif kind is int and not INT_MIN <= cast("int", item) <= INT_MAX:
                raise SerializationError(path, value=item, reason="integers must fit in 64 bits", verb="read")
        if not containers:
            return
        level = [item for box in containers for item in (box.values() if isinstance(box, dict) else box)]
    raise SerializationError(path, value=value, reason=f"it is nested deeper than {MAX_DEPTH} levels", verb="read")


def check_room(value: JSONValue, *, path: str) -> None:
    """Refuse a value that is nested too deep to stand within a signal, which is nested itself.

    Raises:
        SerializationError: It is.
    """
    within = value
    for _ in range(_ROOM):
        around: list[JSONValue] = [within]
        within = around
    try:
        check_limits(within, path=path)
    except SerializationError:
        reason = f"it is nested deeper than {MAX_DEPTH - _ROOM} levels, and a signal around it takes some as well"
        raise SerializationError(path, value=cast("object", type(value)), reason=reason) from None
