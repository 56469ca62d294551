"""From JSON values to the objects people write: the only place where cattrs is used."""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import enum
import pathlib
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from openharness.core.errors import SerializationError
from openharness.core.values import copy_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter

    from openharness.core.values import JSONValue

__all__ = ("from_json",)

T = TypeVar("T")


def from_json(value: JSONValue, type_: type[T], *, path: str = "value") -> T:
    """Return a JSON value as an object of a type, the way back from `openharness.core.to_json`.

    Nothing is guessed: text is not taken for a number, nor a number for text, and keys that are no field are an error.

    Args:
        value: The JSON value; it is not changed, and the object shares no list or dict with it.
        type_: An attrs class, dataclass, TypedDict, Pydantic model, or a type made of these and of what ``to_json``
            accepts.
        path: What to call the value in errors.

    Raises:
        SerializationError: The value does not fit the type.
    """
    try:
        return _converter().structure(value, type_)
    except SerializationError:
        raise
    except Exception as error:
        where, reason = _explain(error, path)
        raise SerializationError(where, value=value, reason=reason) from error


def _explain(error: Exception, path: str) -> tuple[str, str]:
    from cattrs import transform_error

    lines = transform_error(error, path=path)
    first = str(lines[0]) if lines else str(error)
    reason, _, where = first.rpartition(" @ ")
    return (where, reason) if reason else (path, first)


@cache
def _converter() -> Converter:
    # Imported at the first use: listing runs, or stores on their own, need no converter.
    from cattrs import Converter
    from cattrs.strategies import configure_union_passthrough

    converter = Converter(forbid_extra_keys=True)
    for scalar in (str, bool, int, float):
        converter.register_structure_hook(scalar, _exactly(scalar))
    for kind, read in _READERS.items():
        converter.register_structure_hook(kind, _reader(kind, read))
    converter.register_structure_hook_func(lambda kind: hasattr(kind, "__pydantic_validator__"), _pydantic)
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), lambda value, kind: kind(value)
    )
    converter.register_structure_hook_func(lambda kind: kind in (Any, object), lambda value, _: copy_json(value))
    configure_union_passthrough(str | bool | int | float | None, converter)
    return converter


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        message = f"expected {kind.__name__}, got {value!r}"
        raise TypeError(message)

    return structure


def _reader(kind: type, read: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if isinstance(value, str):
            try:
                return read(value)
            except (ValueError, ArithmeticError, binascii.Error) as error:
                message = f"expected the text of a {kind.__name__}, got {value!r}"
                raise ValueError(message) from error
        message = f"expected the text of a {kind.__name__}, got {value!r}"
        raise TypeError(message)

    return structure


def _pydantic(value: Any, kind: Any) -> Any:
    return kind.model_validate(value)


def _read_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_READERS: dict[type, Callable[[str], Any]] = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    uuid.UUID: uuid.UUID,
    decimal.Decimal: decimal.Decimal,
    bytes: _read_bytes,
    pathlib.Path: pathlib.Path,
    pathlib.PurePath: pathlib.PurePath,
}
