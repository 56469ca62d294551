"""The converter behind `from_json`: cattrs for classes, and hooks that guess nothing for everything JSON has no type for."""

from __future__ import annotations

import base64
import binascii
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import operator
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any, Literal, NotRequired, Required, TypeAlias, Union, cast

import attrs
from cattrs import Converter
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    StructureHandlerNotFoundError,
)
from msgspec import Meta

from openharness.core.errors import SerializationError
from openharness.core.values import copy_json, dump_json, to_json
from openharness.core.values._pydantic import is_model, load_model

__all__ = ("explain", "the_converter")

Hook: TypeAlias = Callable[[Any, Any], Any]
Step: TypeAlias = int | str

_type: Callable[[object], Any] = type


class _MisfitError(Exception):
    """A value does not fit its type; the message says why."""


class _WithinError(Exception):
    """What happened a step further in."""

    def __init__(self, step: Step, inner: Exception) -> None:
        self.step = step
        self.inner = inner


def explain(error: Exception) -> tuple[list[Step], str, Exception | None]:
    """Return where in the value the first thing is that does not fit, why, as a phrase, and what of others raised there."""
    steps: list[Step] = []
    while True:
        if isinstance(error, _WithinError):
            steps.append(error.step)
            error = error.inner
        elif isinstance(error, IterableValidationError):
            error, note = error.group_exceptions()[0][0]
            steps.append(note.index)
        elif isinstance(error, ClassValidationError):
            with_notes, without = error.group_exceptions()
            if not with_notes:
                error = without[0]
                continue
            error, attribute = with_notes[0]
            steps.append(attribute.name)
            if isinstance(error, KeyError) and error.args == (attribute.name,):
                return steps, "this field is missing", None
        else:
            return steps, *_reason(error)


def _reason(error: Exception) -> tuple[str, Exception | None]:
    if isinstance(error, ForbiddenExtraKeysError):
        return _unknown_fields(error.extra_fields), None
    if isinstance(error, StructureHandlerNotFoundError):
        return f"{_name(error.type_)} is no type that JSON can be read as", None
    if isinstance(error, SerializationError):
        return error.reason, None
    if isinstance(error, _MisfitError):
        return str(error), None
    try:
        return f"{type(error).__name__}: {error}", error
    except Exception:  # noqa: BLE001 - an exception that cannot say what it is, is one of the user's all the same
        return type(error).__name__, error


def _unknown_fields(names: collections.abc.Iterable[str]) -> str:
    return f"there is no field {', '.join(map(repr, sorted(names)))}"


def _name(kind: Any) -> str:
    if kind is type(None):
        return "None"
    return kind.__qualname__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)


@functools.cache
def the_converter(*, narrowed: bool = False) -> Converter:
    """Return a converter, made at the first call.

    Args:
        narrowed: Whether it also checks what a ``msgspec.Meta`` says of a type.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    factories: list[tuple[Callable[[Any], bool], Callable[[Any], Hook]]] = [
        (_is_class, lambda kind: _class_hook(converter, kind)),
        (_is_typed_dict, lambda kind: _typed_dict_hook(converter, kind)),
        (_is_sequence, lambda kind: _sequence_hook(converter, kind)),
        (_is_named_tuple, lambda kind: _named_tuple_hook(converter, kind)),
        (_is_enum, _enum_hook),
        (lambda kind: typing.get_origin(kind) is Literal, _literal_hook),
        (_is_union, lambda kind: _union_hook(converter, kind)),
        (is_model, lambda _: _read_model),
        (lambda kind: kind is None, _scalar_hook),
        (_is_path, _text_hook),
        (_is_mapping, lambda kind: _mapping_hook(converter, kind)),
        (lambda kind: kind in (Any, object), lambda _: lambda value, _: copy_json(value)),
    ]
    if narrowed:
        factories.append((_is_narrowed, lambda kind: _narrowed_hook(converter, kind)))
    for applies, factory in factories:
        converter.register_structure_hook_factory(applies, factory)
    for kind in (str, bool, int, float, type(None)):
        converter.register_structure_hook(kind, _for_itself(kind, _scalar_hook(kind)))
    for kind in _TEXT_FORMS:
        converter.register_structure_hook(kind, _for_itself(kind, _text_hook(kind)))
    return converter


def _is_one_of(kind: Any, kinds: collections.abc.Container[Any]) -> bool:
    return isinstance(kind, collections.abc.Hashable) and kind in kinds


def _for_itself(kind: Any, hook: Hook) -> Hook:
    """The hook of a built-in class, which cattrs also takes for its subclasses, and before any other."""

    def structure(value: Any, target: Any) -> Any:
        if target is kind:
            return hook(value, kind)
        if _is_enum(target):
            return _enum_hook(target)(value, target)
        if _is_path(target):
            return _text_hook(target)(value, target)
        raise StructureHandlerNotFoundError("", type_=target)

    return structure


def _inner_hook(converter: Converter, kind: Any) -> Callable[[Any], Any]:
    """The hook of a part, looked up when the first part comes: a class may contain itself."""
    hook: Hook | None = None

    def structure(value: Any) -> Any:
        nonlocal hook
        if hook is None:
            hook = converter.get_structure_hook(kind)
        return hook(value, kind)

    return structure


def _read_at(step: Step, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except Exception as error:
        raise _WithinError(step, error) from error


# --- Scalars ----------------------------------------------------------------------------------------------------------


_SCALARS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null",
    None: "null",
}


def _scalar_hook(kind: Any) -> Hook:
    cls = type(None) if kind is None else kind

    def structure(value: Any, _: Any) -> Any:
        if type(value) is cls:
            return value
        if kind is float and type(value) is int and float(value) == value:
            return float(value)
        raise _MisfitError(f"it must be {_SCALARS[kind]}")

    return structure


def _read_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_TEXT_FORMS: dict[Any, tuple[Callable[[str], Any], str]] = {
    datetime.datetime: (datetime.datetime.fromisoformat, "a date and time in ISO 8601"),
    datetime.date: (datetime.date.fromisoformat, "a date in ISO 8601"),
    uuid.UUID: (uuid.UUID, "a UUID"),
    decimal.Decimal: (decimal.Decimal, "a decimal number"),
    bytes: (_read_bytes, "bytes in base64"),
    pathlib.Path: (pathlib.Path, "a path"),
}


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, pathlib.PurePath)


def _text_hook(kind: Any) -> Hook:
    read, words = _TEXT_FORMS.get(kind, (kind, "a path"))

    def structure(value: Any, _: Any) -> Any:
        if type(value) is str:
            try:
                return read(value)
            except (ValueError, ArithmeticError, binascii.Error):
                pass
        raise _MisfitError(f"it must be text that is {words}")

    return structure


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


@functools.lru_cache(maxsize=256)
def _enum_hook(kind: type[enum.Enum]) -> Hook:
    members = {repr(to_json(member)): member for member in kind}

    def structure(value: Any, _: Any) -> Any:
        member = members.get(repr(value))
        if member is not None:
            return member
        try:
            # Combinations of flags, and enumerations with a `_missing_` of their own.
            if type(value) in (int, str):
                return kind(value)
        except ValueError:
            pass
        raise _MisfitError(f"it must be one of {', '.join(members)}")

    return structure


def _literal_hook(kind: Any) -> Hook:
    options = {repr(to_json(option)): option for option in typing.get_args(kind)}

    def structure(value: Any, _: Any) -> Any:
        try:
            return options[repr(value)]
        except KeyError:
            raise _MisfitError(f"it must be one of {', '.join(options)}") from None

    return structure


# --- What msgspec.Meta says -------------------------------------------------------------------------------------------

_PLACEHOLDER = "[redacted:"
_BOUNDS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("ge", operator.ge, "at least {}"),
    ("gt", operator.gt, "greater than {}"),
    ("le", operator.le, "at most {}"),
    ("lt", operator.lt, "less than {}"),
    ("multiple_of", lambda value, factor: value % factor == 0, "a multiple of {}"),
)


def _is_narrowed(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Annotated and any(isinstance(extra, Meta) for extra in kind.__metadata__)


def _narrowed_hook(converter: Converter, kind: Any) -> Hook:
    read = _inner_hook(converter, typing.get_args(kind)[0])
    constraints = [extra for extra in kind.__metadata__ if isinstance(extra, Meta)]

    def structure(value: Any, _: Any) -> Any:
        made = read(value)
        if _PLACEHOLDER not in str(value):
            # A secret is looked at when it is there.
            for constraint in constraints:
                _check_constraint(made, constraint)
        return made

    return structure


def _check_constraint(value: Any, constraint: Meta) -> None:
    """Refuse a value in words of our own: those of a library may change, which would be drift."""
    if isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool):
        for name, fits, words in _BOUNDS:
            bound = getattr(constraint, name)
            if bound is not None and not fits(value, bound):
                raise _MisfitError(f"it must be {words.format(bound)}")
    if isinstance(value, collections.abc.Sized):
        if constraint.min_length is not None and len(value) < constraint.min_length:
            raise _MisfitError(f"its length must be at least {constraint.min_length}")
        if constraint.max_length is not None and len(value) > constraint.max_length:
            raise _MisfitError(f"its length must be at most {constraint.max_length}")
    if isinstance(value, str) and constraint.pattern is not None and re.search(constraint.pattern, value) is None:
        raise _MisfitError(f"it must match {constraint.pattern!r}")
    if isinstance(value, datetime.datetime) and constraint.tz not in (None, value.tzinfo is not None):
        raise _MisfitError(f"it must be a time {'with' if constraint.tz else 'without'} an offset from UTC")


# --- Lists ------------------------------------------------------------------------------------------------------------

_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    set: set,
    collections.abc.MutableSet: set,
    frozenset: frozenset,
    collections.abc.Set: frozenset,
    tuple: tuple,
}


def _is_sequence(kind: Any) -> bool:
    return _is_one_of(typing.get_origin(kind) or kind, _SEQUENCES)


def _sequence_hook(converter: Converter, kind: Any) -> Hook:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    make = _SEQUENCES[origin or kind]
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return _row_hook(converter, list(parts), len(parts), make)
    read = _inner_hook(converter, parts[0] if parts else Any)

    def structure(value: Any, _: Any) -> Any:
        return make([_read_at(index, read, item) for index, item in enumerate(_a_list(value))])

    return structure


def _is_named_tuple(kind: Any) -> bool:
    cls: Any = kind
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(cls, "_fields")


def _named_tuple_hook(converter: Converter, kind: Any) -> Hook:
    hints = typing.get_type_hints(kind, include_extras=True)
    parts = [hints.get(name, Any) for name in kind._fields]
    return _row_hook(converter, parts, len(parts) - len(kind._field_defaults), lambda items: kind(*items))


def _row_hook(converter: Converter, parts: list[Any], least: int, make: Callable[[Any], Any]) -> Hook:
    reads = [_inner_hook(converter, part) for part in parts]

    def structure(value: Any, _: Any) -> Any:
        items = _a_list(value)
        if not least <= len(items) <= len(reads):
            raise _MisfitError(f"it must have {len(reads)} items")
        return make([_read_at(index, read, item) for index, (read, item) in enumerate(zip(reads, items, strict=False))])

    return structure


def _a_list(value: Any) -> list[Any]:
    if _type(value) is list:
        return cast("list[Any]", value)
    raise _MisfitError("it must be a list")


# --- Objects ----------------------------------------------------------------------------------------------------------


_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def _is_mapping(kind: Any) -> bool:
    return _is_one_of(typing.get_origin(kind) or kind, _MAPPINGS)


def _mapping_hook(converter: Converter, kind: Any) -> Hook:
    read_key, read_item = (_inner_hook(converter, part) for part in typing.get_args(kind) or (str, Any))

    def structure(value: Any, _: Any) -> Any:
        items = _an_object(value, "")
        return {_read_at(key, read_key, key): _read_at(key, read_item, item) for key, item in items.items()}

    return structure


def _an_object(value: Any, what: str) -> dict[str, Any]:
    if _type(value) is dict:
        return cast("dict[str, Any]", value)
    raise _MisfitError(f"it must be an object{what}")


def _is_class(kind: Any) -> bool:
    cls = typing.get_origin(kind) or kind
    return isinstance(cls, type) and not is_model(cls) and (attrs.has(cls) or dataclasses.is_dataclass(cls))


def _class_hook(converter: Converter, kind: Any) -> Hook:
    structure_init = converter.gen_structure_attrs_fromdict(kind)
    cls = typing.get_origin(kind) or kind
    late = {name: _inner_hook(converter, part) for name, part in _fields_without_init(cls)}

    def structure(value: Any, _: Any) -> Any:
        fields = _an_object(value, f" with the fields of {_name(cls)}")
        made = structure_init({name: item for name, item in fields.items() if name not in late}, kind)
        for name, read in late.items():
            if name in fields:
                # Frozen classes have such fields, too, and set them like this themselves.
                object.__setattr__(made, name, _read_at(name, read, fields[name]))
        return made

    return structure


def _fields_without_init(cls: Any) -> list[tuple[str, Any]]:
    fields = attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls)
    names = [field.name for field in fields if not field.init]
    hints = typing.get_type_hints(cls, include_extras=True) if names else {}
    return [(name, hints.get(name, Any)) for name in names]


def _is_typed_dict(kind: Any) -> bool:
    return typing.is_typeddict(typing.get_origin(kind) or kind)


def _typed_dict_hook(converter: Converter, kind: Any) -> Hook:
    cls = typing.get_origin(kind) or kind
    arguments = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(kind), strict=False))
    reads: dict[str, Callable[[Any], Any]] = {}
    required: set[str] = set()
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        # `__required_keys__` knows nothing of a `NotRequired` in an annotation that is text.
        marker = typing.get_origin(hint)
        part = typing.get_args(hint)[0] if marker in (Required, NotRequired) else hint
        if marker is Required or (marker is not NotRequired and name in cls.__required_keys__):
            required.add(name)
        reads[name] = _inner_hook(converter, arguments.get(part, part))

    def structure(value: Any, _: Any) -> Any:
        fields = _an_object(value, f" with the keys of {_name(cls)}")
        for name in reads:
            if name in required and name not in fields:
                raise _WithinError(name, _MisfitError("this field is missing"))
        if not fields.keys() <= reads.keys():
            raise _MisfitError(_unknown_fields(fields.keys() - reads.keys()))
        return {name: _read_at(name, reads[name], item) for name, item in fields.items()}

    return structure


def _read_model(value: Any, kind: Any) -> Any:
    try:
        return load_model(kind, dump_json(value))
    except Exception as error:
        # Pydantic's ValidationError, by what it can do: Pydantic may not be installed.
        found: list[Any] = getattr(error, "errors", list)()
        if not found:
            raise
        told: Exception = _MisfitError(found[0]["msg"])
        for step in reversed(found[0]["loc"]):
            told = _WithinError(step, told)
        raise told from error


# --- Unions -----------------------------------------------------------------------------------------------------------


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


def _union_hook(converter: Converter, kind: Any) -> Hook:
    members = [(member, _json_types(member), _inner_hook(converter, member)) for member in typing.get_args(kind)]
    takes_integers = any(int in json_types for _, json_types, _ in members)

    def structure(value: Any, _: Any) -> Any:
        json_type: Any = _type(value)
        if json_type is int and not takes_integers:
            json_type = float
        fitting = [(member, read) for member, json_types, read in members if json_type in json_types]
        if len(fitting) == 1:
            return fitting[0][1](value)
        results: list[tuple[Any, Any]] = []
        reasons: list[str] = []
        for member, read in fitting:
            try:
                results.append((member, read(value)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the value is not of this member
                reasons.append(f"{_name(member)}: {explain(error)[1]}")
        if not results:
            why = f" ({'; '.join(reasons)})" if reasons else ""
            names = ", ".join(_name(member) for member, _, _ in members)
            raise _MisfitError(f"it must be one of {names}{why}")
        first = results[0][1]
        if all(type(result) is type(first) and result == first for _, result in results[1:]):
            return first
        raise _MisfitError(f"it could be any of {', '.join(_name(member) for member, _ in results)}")

    return structure


_ALL_JSON_TYPES: frozenset[Any] = frozenset({str, bool, int, float, type(None), list, dict})


def _json_types(kind: Any) -> frozenset[Any]:
    """The types of the JSON values that can be read as a type."""
    while isinstance(kind, typing.NewType) or typing.get_origin(kind) is typing.Annotated:
        kind = kind.__supertype__ if isinstance(kind, typing.NewType) else typing.get_args(kind)[0]
    if kind in (Any, object) or is_model(kind):
        return _ALL_JSON_TYPES
    if typing.get_origin(kind) is Literal:
        return frozenset(type(to_json(option)) for option in typing.get_args(kind))
    if _is_enum(kind):
        return frozenset(type(to_json(member)) for member in kind)
    if kind in _SCALARS:
        return frozenset({kind})
    if _is_path(kind) or kind in _TEXT_FORMS:
        return frozenset({str})
    return frozenset({list if _is_sequence(kind) or _is_named_tuple(kind) else dict})
