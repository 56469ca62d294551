"""The JSON Schema of a function's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core.agents._type_schema import type_schemas
from openharness.core.values import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core.values import JSONObject, JSONValue

__all__ = ("parameters_schema",)


def parameters_schema(
    tool: str,
    types_: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    descriptions: Mapping[str, str],
) -> JSONObject:
    """Return the schema of the object whose members are a function's parameters.

    Args:
        tool: The tool, for errors.
        types_: The type of each parameter, in order.
        defaults: The defaults of those that have one.
        descriptions: What is said of each.

    Raises:
        DefinitionError: A type has no JSON Schema.
    """
    schemas, definitions = type_schemas(types_, where=lambda name: f"The parameter {name!r} of tool {tool!r}")
    properties: JSONObject = {}
    for name, own in schemas.items():
        described: JSONObject = {"description": descriptions[name]} if name in descriptions else {}
        properties[name] = {**described, **own, **_default(defaults, name)}
    required: list[JSONValue] = [name for name in types_ if name not in defaults]
    schema: JSONObject = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if definitions:
        schema["$defs"] = definitions
    return schema


def _default(defaults: Mapping[str, Any], name: str) -> JSONObject:
    if name not in defaults:
        return {}
    try:
        return {"default": to_json(defaults[name])}
    except ValueError:
        return {}  # The model need not know it: what it leaves out is never asked for.
