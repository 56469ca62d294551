"""The JSON Schema of types, as a model is told of them."""

from __future__ import annotations

import pathlib
import types
import typing
from typing import TYPE_CHECKING, Any, Union, cast

import msgspec

from openharness.core.errors import DefinitionError
from openharness.core.values import to_json
from openharness.core.values._pydantic import is_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openharness.core.values import JSONObject, JSONValue

__all__ = ("type_schemas",)

_REF = "#/$defs/{name}"
_ANYTHING = ("$comment", "anything")


def type_schemas(types_: Mapping[str, Any], *, where: Callable[[str], str]) -> tuple[dict[str, JSONObject], JSONObject]:
    """Return the schema of each type, and those they refer to, which belong under ``$defs``.

    Args:
        types_: Types by names of your own.
        where: What to call the type of a name in errors, as a sentence begins.

    Raises:
        DefinitionError: A type has no JSON Schema.
    """
    # One call for all of them, so that they share what they refer to; of a union each member, as msgspec refuses some.
    members = {name: _members(type_) for name, type_ in types_.items()}
    flat = [member for parts in members.values() for member in parts]
    hoisted: JSONObject = {}
    try:
        found, components = msgspec.json.schema_components(
            flat, ref_template=_REF, schema_hook=lambda kind: _hook(kind, hoisted)
        )
    except (TypeError, NameError) as error:
        name = next((name for name, parts in members.items() if not _has_schema(parts)), "?")
        raise DefinitionError(
            f"{where(name)} has a type that no JSON Schema describes: {types_.get(name)!r} ({error})."
        ) from error
    definitions = cast("JSONObject", _without_mark(to_json({**components, **hoisted})))
    flat_schemas = iter(cast("Sequence[JSONObject]", _without_mark(to_json(found))))
    schemas: dict[str, JSONObject] = {}
    for name, parts in members.items():
        own = [next(flat_schemas) for _ in parts]
        schemas[name] = own[0] if len(own) == 1 else {"anyOf": cast("list[JSONValue]", own)}
    return schemas, definitions


def _without_mark(schema: JSONValue) -> JSONValue:
    """Return a schema in which what stands for `object` is the schema of anything."""
    if isinstance(schema, list):
        return [_without_mark(item) for item in schema]
    if isinstance(schema, dict):
        return {key: _without_mark(item) for key, item in schema.items() if (key, item) != _ANYTHING}
    return schema


def _members(type_: Any) -> list[Any]:
    if typing.get_origin(type_) in (Union, types.UnionType):
        return [member for part in typing.get_args(type_) for member in _members(part)]
    return [type_]


def _has_schema(members: Sequence[Any]) -> bool:
    try:
        msgspec.json.schema_components(members, schema_hook=lambda kind: _hook(kind, {}))
    except (TypeError, NameError):
        return False
    return True


def _hook(kind: type[Any], hoisted: JSONObject) -> dict[str, Any]:
    """Return the schema of a type that msgspec knows nothing of, and collect what it refers to."""
    if is_model(kind):
        return _model_schema(kind, hoisted)
    if issubclass(kind, pathlib.PurePath):
        return {"type": "string"}
    if kind is object:
        return dict([_ANYTHING])  # msgspec takes no empty one
    raise NotImplementedError


def _model_schema(kind: Any, hoisted: JSONObject) -> dict[str, Any]:
    """Return the schema of a Pydantic model; its own definitions become the tool's."""
    for template in ("#/$defs/{model}", f"#/$defs/{kind.__module__}.{kind.__qualname__}.{{model}}"):
        schema = _plain_model_schema(kind, template)
        prefix = template.removeprefix("#/$defs/").removesuffix("{model}")
        definitions = {f"{prefix}{name}": part for name, part in schema.pop("$defs", {}).items()}
        if all(hoisted.get(name, part) == part for name, part in definitions.items()):
            hoisted.update(definitions)
            return schema
    raise NotImplementedError


def _plain_model_schema(kind: Any, template: str) -> dict[str, Any]:
    if hasattr(kind, "model_json_schema"):
        return cast("dict[str, Any]", kind.model_json_schema(by_alias=False, ref_template=template))
    # A Pydantic dataclass: there is one only where Pydantic is installed.
    from pydantic import TypeAdapter

    return TypeAdapter(kind).json_schema(by_alias=False, ref_template=template)
