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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from openharness.core.errors import SerializationError
from openharness.core.values._canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core.values._types import JSONValue

__all__ = ("MAX_DEPTH", "to_json")

MAX_DEPTH = 200
"""How many lists and dicts may be nested in one value."""

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_ATOMS = frozenset({str, bool, type(None)})


def to_json(value: object, *, path: str = "value") -> JSONValue:
    """Return ``value`` as a plain JSON value that shares no list or dict with it.

    Plain JSON values come back equal and of the same type. Besides them are accepted: ``tuple`` (a list), ``set`` and
    ``frozenset`` (a list sorted by canonical JSON), attrs classes, dataclasses and Pydantic models (a dict of their
    fields), ``datetime`` and ``date`` (ISO 8601), ``UUID``, ``Decimal`` (text), ``Path`` (text with ``/``), ``Enum``
    (its value), ``bytes`` (base64).

    Args:
        value: The object.
        path: What to call it in errors.

    Raises:
        SerializationError: For NaN and infinities, integers beyond 64 bits, keys that are not strings, cycles, more
            than 200 levels of nesting, and any other type. The error names the path of the part that is refused.
    """
    kind = type(value)
    if kind in _ATOMS:
        return cast("JSONValue", value)
    return _convert(value, path, 0, set())


def _convert(value: Any, path: str, depth: int, parents: set[int]) -> JSONValue:  # noqa: ANN401, PLR0911 - one return a type
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return cast("JSONValue", value)
    if kind is int:
        if _INT_MIN <= value <= _INT_MAX:
            return cast("int", value)
        raise SerializationError(path, value=value, reason="integers must fit in 64 bits")
    if kind is float:
        if math.isfinite(value):
            return cast("float", value)
        raise SerializationError(path, value=value, reason="JSON has no NaN and no infinity")
    if kind is dict:
        return _convert_items(value, value.items(), path, depth, parents)
    if kind is list or kind is tuple:
        return _convert_list(value, value, path, depth, parents)
    return _convert_object(value, path, depth, parents)


def _enter(value: object, path: str, depth: int, parents: set[int]) -> None:
    if id(value) in parents:
        raise SerializationError(path, value=type(value).__name__, reason="it contains itself (a cycle)")
    if depth >= MAX_DEPTH:
        raise SerializationError(path, value=type(value).__name__, reason=f"it is nested deeper than {MAX_DEPTH} levels")
    parents.add(id(value))


def _convert_items(value: object, items: Any, path: str, depth: int, parents: set[int]) -> JSONValue:  # noqa: ANN401
    _enter(value, path, depth, parents)
    converted: dict[str, JSONValue] = {}
    for key, item in items:
        if type(key) is not str:
            if not isinstance(key, str) or isinstance(key, enum.Enum):
                raise SerializationError(f"{path}[{key!r}]", value=key, reason="keys must be strings")
            key = str(key)  # noqa: PLW2901 - a subclass of str becomes what it will be read back as
        kind = type(item)
        converted[key] = item if kind in _ATOMS else _convert(item, _join(path, key), depth + 1, parents)
    parents.discard(id(value))
    return converted


def _convert_list(value: object, items: Any, path: str, depth: int, parents: set[int]) -> JSONValue:  # noqa: ANN401
    _enter(value, path, depth, parents)
    converted: list[JSONValue] = []
    for index, item in enumerate(items):
        kind = type(item)
        converted.append(item if kind in _ATOMS else _convert(item, f"{path}[{index}]", depth + 1, parents))
    parents.discard(id(value))
    return converted


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]"


def _convert_object(value: Any, path: str, depth: int, parents: set[int]) -> JSONValue:  # noqa: ANN401, C901, PLR0911
    if isinstance(value, enum.Enum):
        return _convert(value.value, path, depth, parents)
    text = _TEXT_FORMS.get(type(value))
    if text is not None:
        return text(value)
    names = _field_names(type(value))
    if names is not None:
        return _convert_items(value, ((name, getattr(value, name)) for name in names), path, depth, parents)
    if isinstance(value, Mapping):
        return _convert_items(value, value.items(), path, depth, parents)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if isinstance(value, (set, frozenset)):
        items = _convert_list(value, value, path, depth, parents)  # pyright: ignore[reportUnknownArgumentType]
        return sorted(cast("list[JSONValue]", items), key=canonical_json)
    for base, form in _TEXT_FORMS.items():
        if isinstance(value, base):
            return form(value)
    for base in (str, int, float, list, tuple):
        if isinstance(value, base):
            # Subclasses (namedtuple, numpy's float64, str with extras) are stored as what they are read back as.
            plain = list(value) if base in (list, tuple) else base(value)  # type: ignore[arg-type,call-overload]
            return _convert(plain, path, depth, parents)
    raise SerializationError(
        path, value=value, reason=f"{type(value).__module__}.{type(value).__qualname__} has no JSON form"
    )


_FIELD_NAMES: dict[type, tuple[str, ...] | None] = {}


def _field_names(cls: type) -> tuple[str, ...] | None:
    """The names of the fields of an attrs class, a dataclass or a Pydantic model; None for any other type."""
    try:
        return _FIELD_NAMES[cls]
    except KeyError:
        names: tuple[str, ...] | None = None
        if attrs.has(cls):
            names = tuple(field.name for field in attrs.fields(cls))
        elif dataclasses.is_dataclass(cls):
            names = tuple(field.name for field in dataclasses.fields(cls))
        elif hasattr(cls, "__pydantic_fields__"):
            names = tuple(cls.__pydantic_fields__)
        _FIELD_NAMES[cls] = names
        return names


def _bytes_form(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_TEXT_FORMS: dict[type, Callable[[Any], str]] = {
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    uuid.UUID: str,
    decimal.Decimal: str,
    bytes: _bytes_form,
    pathlib.PurePath: pathlib.PurePath.as_posix,
}
