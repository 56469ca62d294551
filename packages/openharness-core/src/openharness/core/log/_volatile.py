"""Parts of signals that do not count when a replay is compared with its recording."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import attrs

from openharness.core.errors import InvalidValueError
from openharness.core.log import _names as names
from openharness.core.patterns import Pattern, compile_pattern
from openharness.core.values import JSONValue, dump_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core.records import Signal

__all__ = ("Volatile", "VolatileLike", "VolatileRules", "volatile_rules")

_STEP: Final = re.compile(r"(?:\A|\.)([^.\[\]]+)|\[(\d+|\*)\]")
_HIDDEN: Final = "<volatile>"
_GONE: Final = object()
_ANY: Final = "*"

_Path: TypeAlias = tuple[str | int, ...]


@attrs.frozen
class Volatile:
    """A part of a run that is another one every time, such as a date in a prompt: it does not count in a replay.

    Where only volatile parts differ, the replay goes on with what the recording holds: request, state and signal are the
    recorded ones. Everything else still counts.

    Attributes:
        part: A compiled regular expression: whatever it finds in a text of the payload does not count. Or the path of a
            value, as a drift report writes it: ``"payload.request.temperature"``, with ``*`` for any key or index
            (``"payload.request.messages[*].content"``); one that begins with ``state.`` means that part of the state,
            in ``harness:start`` as in every change of it. A value at a path may also be there in one and not in the
            other.
        signal: The signals it is for, as a pattern; those of every name by default.

    Raises:
        InvalidValueError: The part is neither, or the path is not well formed.
        PatternError: The pattern is not well formed.
    """

    part: re.Pattern[str] | str
    signal: str = "**"
    _path: _Path | None = attrs.field(init=False, repr=False, eq=False)
    _names: Pattern = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Read the path and the pattern."""
        part = cast("object", self.part)
        if isinstance(part, str):
            path = _read_path(part)
        elif isinstance(part, re.Pattern) and isinstance(part.pattern, str):  # pyright: ignore[reportUnknownMemberType]
            path = None
        else:
            raise InvalidValueError("volatile", value=cast("object", self.part), expected=_EXPECTED)
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_names", compile_pattern(self.signal))

    def hide(self, name: str, payload: JSONValue) -> JSONValue:
        """Return a payload without this part; the payload itself where it has none.

        Args:
            name: The name of the signal.
            payload: Its payload.
        """
        if not self._names.matches(name):
            return payload
        if self._path is None:
            return _without_texts(payload, cast("re.Pattern[str]", self.part))
        if self._path[0] == "payload":
            return _without(payload, self._path[1:])
        return _without_state(name, payload, self._path[1:])


VolatileLike: TypeAlias = Volatile | re.Pattern[str] | str
"""A `Volatile`, or its part alone."""

_EXPECTED: Final = (
    "a compiled regular expression, or a path that begins with 'payload.' or 'state.' as drift reports write it"
)


def volatile_rules(given: VolatileLike | Iterable[VolatileLike]) -> tuple[Volatile, ...]:
    """Return what users gave as volatile, one or several, as rules.

    Raises:
        InvalidValueError: Something of it is no rule.
    """
    several = (given,) if isinstance(given, (Volatile, re.Pattern, str)) else tuple(given)
    return tuple(rule if isinstance(rule, Volatile) else Volatile(rule) for rule in several)


class VolatileRules:
    """The rules of one run.

    Args:
        everywhere: Those for all signals.
        agents: Those for the signals of single agents.
    """

    def __init__(
        self, everywhere: Sequence[Volatile] = (), agents: Iterable[tuple[str, Sequence[Volatile]]] = ()
    ) -> None:
        self._everywhere = tuple(everywhere)
        self._agents = {name: tuple(rules) for name, rules in agents if rules}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._everywhere or self._agents)

    def same(self, recorded: Signal, actual: Signal) -> bool:
        """Tell whether the payloads of two signals are the same apart from what is volatile."""
        rules = [*self._everywhere, *self._agents.get(actual.source.agent or "", ())]
        if not rules or recorded.name != actual.name:
            return False
        return self._rest(recorded, rules) == self._rest(actual, rules)

    def _rest(self, signal: Signal, rules: Sequence[Volatile]) -> bytes:
        payload = cast("JSONValue", signal.payload)
        for rule in rules:
            payload = rule.hide(signal.name, payload)
        if signal.name == names.PROVIDER_START and isinstance(payload, dict):
            # It is made of the request, which is compared itself.
            payload = {key: value for key, value in payload.items() if key != "digest"}
        return dump_json(payload)


def _read_path(text: str) -> _Path:
    path: list[str | int] = []
    position = 0
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            raise InvalidValueError("volatile", value=text, expected=_EXPECTED)
        key, index = step.groups()
        path.append(key if index is None or index == _ANY else int(index))
        if index == _ANY:
            path[-1] = _ANY
        position = step.end()
    if len(path) < 2 or path[0] not in ("payload", "state"):  # noqa: PLR2004 - a root, and what is in it
        raise InvalidValueError("volatile", value=text, expected=_EXPECTED)
    return tuple(path)


def _without_texts(value: JSONValue, expression: re.Pattern[str]) -> JSONValue:
    if isinstance(value, str):
        return expression.sub(_HIDDEN, value)
    if isinstance(value, list):
        return [_without_texts(item, expression) for item in value]
    if isinstance(value, dict):
        return {key: _without_texts(item, expression) for key, item in value.items()}
    return value


def _without_state(name: str, payload: JSONValue, path: _Path) -> JSONValue:
    if not isinstance(payload, dict):
        return payload
    if name == names.HARNESS_START:
        return {**payload, "state": _without(payload.get("state"), path)}
    changed = payload.get("path")
    if not name.startswith("state:") or not isinstance(changed, list):
        return payload
    common = min(len(changed), len(path))
    if any(step not in (_ANY, key) for step, key in zip(path[:common], changed[:common], strict=True)):
        return payload
    if len(changed) >= len(path):
        return {key: item for key, item in payload.items() if key != "value"}
    return {**payload, "value": _without(payload.get("value"), path[common:])}


def _without(value: JSONValue, path: _Path) -> JSONValue:
    """Return a value without what is at a path. In a list its place stays, so that the others keep theirs."""
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        found = {key: _inside(item, rest) if step in (_ANY, key) else item for key, item in value.items()}
        return {key: cast("JSONValue", item) for key, item in found.items() if item is not _GONE}
    if isinstance(value, list):
        inside = [_inside(item, rest) if step in (_ANY, index) else item for index, item in enumerate(value)]
        return [_HIDDEN if item is _GONE else cast("JSONValue", item) for item in inside]
    return value


def _inside(value: JSONValue, rest: _Path) -> object:
    return _without(value, rest) if rest else _GONE
