"""From the objects people use to plain JSON values; what cannot be stored is refused here, with its path."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import attrs

from openharness.core.errors import SerializationError
from openharness.core.values._canonical_text import canonical_text
from openharness.core.values._limits import INT_MAX, INT_MIN, MAX_BYTES, MAX_DEPTH
from openharness.core.values._pydantic import dump_model, is_model, model_fields

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from openharness.core.values._types import JSONValue

__all__ = ("convert", "field_names", "is_plain", "joined_pairs", "to_json")

_CONSTANTS = frozenset({bool, type(None)})
_PLAIN = frozenset({str, bool, type(None), int, float, list, tuple, dict})
_SHOWN_KEY = 60
_MANY = 250_000
"""Parts after which the number of all of them is counted, before any more are made."""
_type: Callable[[object], type[Any]] = type


def to_json(value: object, *, path: str = "value") -> JSONValue:
    """Return ``value`` as a plain JSON value that shares no list or dict with it.

    Plain JSON values come back equal and of the same type. Besides them are accepted: ``tuple`` (a list), ``set`` and
    ``frozenset`` (a list sorted by canonical JSON), every ``Mapping``, attrs classes and dataclasses (a dict of their
    fields), Pydantic models (the JSON form they give themselves, by field name), ``datetime`` and ``date`` (ISO 8601),
    ``UUID``, ``Decimal`` (text), ``Path`` (text with ``/``), ``Enum`` (its value), ``bytes`` (base64). Subclasses of
    the JSON types become the JSON type. In text, the two halves of one character (a surrogate pair) become that
    character, as every JSON reader makes of them; a half on its own stays as it is.

    Args:
        value: The object.
        path: What to call it in errors.

    Raises:
        SerializationError: For NaN and infinities, integers beyond 64 bits, keys that are not strings, cycles, more
            than 200 levels of nesting, values so large that they could not be stored, and any other type. The error
            names the path of the part that is refused.
    """
    return convert(value, path=path, max_bytes=MAX_BYTES)


def convert(value: object, *, path: str, max_bytes: int) -> JSONValue:
    """Do what `to_json` does, for text of at most ``max_bytes``.

    The text itself is not measured here; but a value that refers to one list many times over has parts without end,
    and is refused before they are made.

    Raises:
        SerializationError: As in `to_json`.
    """
    most = max_bytes // 2
    try:
        return _copied(value, [min(most, _MANY)], MAX_DEPTH)
    except _ManyPartsError:
        if _fits(value, most):
            try:
                return _copied(value, [most], MAX_DEPTH)
            except _NotPlainError:
                pass
    except _NotPlainError:
        pass
    try:
        return _convert(value, _Walk(value, max_bytes), 0)
    except _Refusal as refusal:
        where = path + "".join(reversed(refusal.steps))
        raise SerializationError(where, value=refusal.value, reason=refusal.reason) from refusal.__cause__


def is_plain(value: Any, max_bytes: int) -> bool:
    """Tell whether a value is plain JSON, so that an encoder makes of it what it makes of the copy by `convert`.

    It costs half as much as a copy. Surrogates in text are not looked for: no encoder lets them pass. False may also
    mean that the value must be looked at more closely, or is to be refused.
    """
    kind = _type(value)
    if kind is not dict and kind is not list:
        return kind is str or kind in _CONSTANTS
    most = max_bytes // 2
    try:
        _count_down(value, min(most, _MANY), MAX_DEPTH)
    except _ManyPartsError:
        return _fits(value, most) and _counts_down(value, most)
    except _NotPlainError:
        return False
    return True


def _counts_down(value: Any, most: int) -> bool:
    try:
        _count_down(value, most, MAX_DEPTH)
    except _NotPlainError:
        return False
    return True


def _count_down(container: Any, left: int, levels: int) -> int:  # noqa: C901, PLR0912 - a call costs more than a branch
    """Look through a dict or a list that may have so many parts; return how many may still come."""
    left -= len(container)
    if levels == 0 or left < 0:
        raise _ManyPartsError if left < 0 else _NotPlainError
    # The two loops are alike and written out: one for both would need a look at the keys of its own.
    if _type(container) is dict:
        for key, item in container.items():
            if _type(key) is not str:
                raise _NotPlainError
            kind = _type(item)
            if kind is str:
                continue
            if kind is int:
                if not INT_MIN <= item <= INT_MAX:
                    raise _NotPlainError
            elif kind is float:
                # A difference that is not zero: a number that is not finite, told without a call.
                if item - item:
                    raise _NotPlainError
            elif kind is dict or kind is list:
                left = _count_down(item, left, levels - 1)
            elif kind not in _CONSTANTS:
                raise _NotPlainError
        return left
    for item in container:
        kind = _type(item)
        if kind is str:
            continue
        if kind is int:
            if not INT_MIN <= item <= INT_MAX:
                raise _NotPlainError
        elif kind is float:
            if item - item:
                raise _NotPlainError
        elif kind is dict or kind is list:
            left = _count_down(item, left, levels - 1)
        elif kind not in _CONSTANTS:
            raise _NotPlainError
    return left


class _NotPlainError(Exception):
    """There is more to a value than copying it: something to convert, or to refuse."""


class _ManyPartsError(_NotPlainError):
    """A value has more parts than were allowed."""


def _fits(value: Any, most: int) -> bool:
    """Tell whether a value has so many parts at most, those that it refers to several times counted as often.

    Each list and each dict is looked at once. So a value that refers to one list many times over, and that list to
    another one, is told at once, where going through all its parts would take minutes. What is not sure, such as a
    value that contains itself, is said to fit: the conversion says what is wrong with it.
    """
    counts: dict[int, int] = {}
    alive: list[Any] = []

    def parts(given: Any, levels: int) -> int:
        kind = _type(given)
        if kind is str or kind is int or kind is float or kind in _CONSTANTS:
            return 0
        known = counts.get(id(given))
        if known is not None:
            return known
        counts[id(given)] = 0
        alive.append(given)  # Its id must not become that of another one.
        inside: Any = given
        if kind not in _PLAIN:
            try:
                inside = _reduced(given.value if isinstance(given, enum.Enum) else given)
            except _Refusal:
                return 0
            kind = _type(inside)
        if not levels or (kind is not dict and kind is not list and kind is not tuple):
            return 0
        total = len(inside)
        for item in inside.values() if kind is dict else inside:
            total += parts(item, levels - 1)
        counts[id(given)] = total
        return total

    return parts(value, MAX_DEPTH) <= most


def _copied(value: Any, parts_left: list[int], levels: int) -> JSONValue:
    """Copy what is plain JSON already, as nearly every value is: a few times as dear as a copy without a look.

    The two loops are alike and written out, because a call for each item would cost more than the rest of it.
    """
    kind = _type(value)
    if kind is dict:
        _go_in(value, parts_left, levels)
        entries: dict[str, JSONValue] = {}
        for key, item in value.items():
            if _type(key) is not str or not key.isascii():
                raise _NotPlainError
            kind = _type(item)
            if kind is str:
                entries[key] = item if item.isascii() else joined_pairs(item)
            elif kind in _CONSTANTS or (kind is int and INT_MIN <= item <= INT_MAX):
                entries[key] = item
            else:
                entries[key] = _copied(item, parts_left, levels - 1)
        return entries
    if kind is list:
        _go_in(value, parts_left, levels)
        items: list[JSONValue] = []
        for item in value:
            kind = _type(item)
            if kind is str:
                items.append(item if item.isascii() else joined_pairs(item))
            elif kind in _CONSTANTS or (kind is int and INT_MIN <= item <= INT_MAX):
                items.append(item)
            else:
                items.append(_copied(item, parts_left, levels - 1))
        return items
    return _copied_scalar(value)


def _go_in(container: Any, parts_left: list[int], levels: int) -> None:
    parts_left[0] -= len(container)
    if levels == 0 or parts_left[0] < 0:
        raise _ManyPartsError if parts_left[0] < 0 else _NotPlainError


def _copied_scalar(value: Any) -> JSONValue:
    kind = _type(value)
    if kind is str:
        return joined_pairs(value)
    if kind in _CONSTANTS or (kind is float and math.isfinite(value)) or (kind is int and INT_MIN <= value <= INT_MAX):
        return cast("JSONValue", value)
    raise _NotPlainError


class _Refusal(Exception):  # noqa: N818 - becomes a SerializationError; never leaves this module
    """A part that is refused, on its way up to where the path is known: each level adds its step."""

    def __init__(self, value: object, reason: str) -> None:
        self.value = value
        self.reason = reason
        self.steps: list[str] = []


class _Walk:
    """What one conversion keeps in mind: the containers it is inside of, and how many parts may still come."""

    __slots__ = ("checked", "max_bytes", "parents", "parts_left", "root")

    def __init__(self, root: object, max_bytes: int) -> None:
        self.root = root
        self.checked = False
        self.parents: set[int] = set()
        self.max_bytes = max_bytes
        # Each part takes two bytes of JSON at least: itself, and a comma or bracket.
        self.parts_left = max_bytes // 2

    def enter(self, container: object, parts: int, depth: int) -> None:
        """Go into a container, unless that would never end."""
        if id(container) in self.parents:
            raise _Refusal(container, "it contains itself (a cycle)")
        if depth >= MAX_DEPTH:
            raise _Refusal(container, f"it is nested deeper than {MAX_DEPTH} levels")
        self.parts_left -= parts
        if not self.checked and self.max_bytes // 2 - self.parts_left > _MANY:
            self.checked = True
            if not _fits(self.root, self.max_bytes // 2):
                self.parts_left = -1
        if self.parts_left < 0:
            raise _Refusal(container, f"its JSON may take at most {self.max_bytes:,} bytes")
        self.parents.add(id(container))


def _convert(value: Any, walk: _Walk, depth: int) -> JSONValue:
    """Convert one value. Recursion takes two stack frames a level whatever it holds, so that 200 levels fit."""
    while isinstance(value, enum.Enum):
        value = value.value
    given = value
    kind = _type(value)
    if kind not in _PLAIN:
        value = _reduced(value)
        kind = _type(value)
    if kind is str:
        return joined_pairs(value)
    if kind is int or kind is float:
        return _number(value)
    if kind in _CONSTANTS:
        return cast("bool | None", value)
    walk.enter(given, len(value), depth)
    converted: JSONValue
    if kind is dict:
        converted = _convert_dict(value, walk, depth)
    else:
        converted = _convert_list(value, walk, depth)
        if issubclass(_type(given), (set, frozenset)):
            # Equal canonical texts may be different numbers (1 and 1.0): their own text decides, not the hash order.
            converted.sort(key=lambda item: (canonical_text(item), repr(item)))
    walk.parents.discard(id(given))
    return converted


def _convert_dict(items: dict[Any, Any], walk: _Walk, depth: int) -> dict[str, JSONValue]:
    converted: dict[str, JSONValue] = {}
    for name, item in items.items():
        key = name if type(name) is str and name.isascii() else _key(name)
        kind = _type(item)
        if kind is str:
            converted[key] = item if item.isascii() else joined_pairs(item)
        elif kind in _CONSTANTS or (kind is int and INT_MIN <= item <= INT_MAX):
            converted[key] = item
        else:
            try:
                converted[key] = _convert(item, walk, depth + 1)
            except _Refusal as refusal:
                refusal.steps.append(_step(key))
                raise
    if len(converted) != len(items):
        raise _Refusal(list(items), "two of its keys are the same text")
    return converted


def _convert_list(items: Iterable[Any], walk: _Walk, depth: int) -> list[JSONValue]:
    converted: list[JSONValue] = []
    for index, item in enumerate(items):
        kind = _type(item)
        if kind is str:
            converted.append(item if item.isascii() else joined_pairs(item))
        elif kind in _CONSTANTS or (kind is int and INT_MIN <= item <= INT_MAX):
            converted.append(item)
        else:
            try:
                converted.append(_convert(item, walk, depth + 1))
            except _Refusal as refusal:
                refusal.steps.append(f"[{index}]")
                raise
    return converted


def _number(number: float) -> float:
    if isinstance(number, int):
        if INT_MIN <= number <= INT_MAX:
            return number
        raise _Refusal(number, "integers must fit in 64 bits")
    if math.isfinite(number):
        return number
    raise _Refusal(number, "JSON has no NaN and no infinity")


def joined_pairs(text: str) -> str:
    """Return the text as every JSON reader gives it back: the two halves of one character as that character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Streams that are cut between the halves of a character bring both, one after the other.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def _key(key: object) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return joined_pairs(str.__str__(key))
    refusal = _Refusal(key, "keys must be strings")
    refusal.steps.append(_step(key))
    raise refusal


def _step(key: object) -> str:
    if isinstance(key, str):
        if len(key) > _SHOWN_KEY:
            # Not its beginning: half a key of a service is no longer known for what it is, and not redacted.
            return f"[a key of {len(key)} characters]"
        return f".{key}" if key.isidentifier() else f"[{key!r}]"
    return f"[{_shown(key)}]"


def _shown(key: object) -> str:
    try:
        return repr(key)[:_SHOWN_KEY]
    except Exception:  # noqa: BLE001 - a broken __repr__ must not hide the refusal that shows it
        return type(key).__name__


def _reduced(value: Any) -> Any:
    """One step towards JSON: an object as a value of one of the plain types, what is in it as it is."""
    kind = _type(value)
    form = _TEXT_FORMS.get(kind)
    if form is not None:
        return form(value)
    try:
        if is_model(kind):
            return dump_model(value)
        names = field_names(cast("Hashable", kind))
        if names is not None:
            return _fields(value, names)
        if issubclass(kind, Mapping):
            return _items(value)
    except _Refusal:
        raise
    except Exception as error:
        raise _Refusal(value, f"reading it failed ({error!r})") from error
    if issubclass(kind, (set, frozenset)):
        return list(value)
    for base, form in _SUBCLASS_FORMS.items():
        if issubclass(kind, base):
            # Subclasses (namedtuple, numpy's float64, str with extras) are stored as what they are read back as.
            return form(value)
    raise _Refusal(
        value,
        f"{kind.__module__}.{kind.__qualname__} has no JSON form (plain JSON values, attrs classes, dataclasses and "
        "Pydantic models have one, and what `to_json` lists)",
    )


def _fields(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in names:
        try:
            fields[name] = getattr(value, name)
        except AttributeError as error:
            refusal = _Refusal(value, f"the field {name!r} was never set")
            refusal.steps.append(_step(name))
            raise refusal from error
    return fields


def _items(value: Mapping[Any, Any]) -> dict[Any, Any]:
    pairs = list(value.items())
    items = dict(pairs)
    if len(items) != len(pairs):
        raise _Refusal([key for key, _ in pairs], "two of its keys are the same")
    return items


@lru_cache(maxsize=1024)
def field_names(cls: type[Any]) -> tuple[str, ...] | None:
    """Return the names of the fields of an attrs class, a dataclass or a Pydantic model; None for any other type."""
    if is_model(cls):
        return model_fields(cls)
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls))
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return None


def _bytes_form(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_TEXT_FORMS: dict[type, Callable[[Any], str]] = {
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    uuid.UUID: str,
    decimal.Decimal: decimal.Decimal.__str__,
    bytes: _bytes_form,
    pathlib.PurePath: pathlib.PurePath.as_posix,
}

# The base's own method: a subclass may show itself as something else (`class Shout(str): __str__ = str.upper`).
_SUBCLASS_FORMS: dict[type, Callable[[Any], Any]] = {
    **_TEXT_FORMS,
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    list: list,
    tuple: list,
}
