"""Walks through JSON Schemas, which vendors take only in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("changed_schema", "with_types")

_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE: Final = frozenset({"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"})
_TYPES: Final[dict[type[object], str]] = {
    bool: "boolean",
    float: "number",
    int: "integer",
    str: "string",
    type(None): "null",
}


def changed_schema(schema: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return a JSON Schema in which every schema is what ``change`` makes of it, the innermost first.

    Only what stands where a schema stands is one: values in ``enum``, ``const`` and ``default`` are left as they are.
    """

    def inner(value: Any) -> Any:
        return changed_schema(cast("dict[str, Any]", value), change) if isinstance(value, dict) else value

    def changed(name: str, value: Any) -> Any:
        if name in _NAMED and isinstance(value, dict):
            return {key: inner(one) for key, one in cast("dict[str, Any]", value).items()}
        if name in _LISTED and isinstance(value, list):
            return list(map(inner, cast("list[object]", value)))
        return inner(value) if name in _SINGLE else value

    return change({name: changed(name, value) for name, value in schema.items()})


def with_types(schema: dict[str, Any]) -> dict[str, Any]:
    """Return one schema with the type of the values that it lists, which vendors want beside them.

    Values of several types become alternatives, one for each. It is a change for `changed_schema`.
    """
    if "type" in schema or "anyOf" in schema:
        return schema
    if "const" in schema:
        type_ = _type_of(schema["const"])
        return schema if type_ is None else {"type": type_, **schema}
    values: list[object] = schema.get("enum") or []
    types = list(map(_type_of, values))
    if not values or None in types:
        return schema
    kinds = list(dict.fromkeys(types))
    if len(kinds) == 1:
        return {"type": kinds[0], **schema}
    rest = {name: value for name, value in schema.items() if name != "enum"}
    alternatives = [
        {"type": kind, "enum": [value for value, type_ in zip(values, types, strict=True) if type_ == kind]}
        for kind in kinds
    ]
    return {**rest, "anyOf": alternatives}


def _type_of(value: object) -> str | None:
    return _TYPES.get(type(value))
