"""The type of an agent's output: what its model is told of it, and how its answer is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.agents._type_schema import type_schemas
from openharness.core.errors import DefinitionError, SerializationError
from openharness.core.state import from_narrowed_json
from openharness.core.values import JSONObject, check_room, decode_json, dump_json, to_json

if TYPE_CHECKING:
    from openharness.core.values import JSONValue

__all__ = ("Output", "output_of")

_FENCED: Final = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_WRAPPER: Final = "value"
_DEFS: Final = "#/$defs/"


@attrs.frozen(kw_only=True, eq=False)
class Output:
    """The type that an agent's answers have.

    Attributes:
        type: The type.
        schema: The JSON Schema that answers must fit. It is always that of an object, as some providers take no other:
            of any other type it is an object with the type as its one member ``value``.
    """

    type: Any
    schema: JSONObject
    _wrapped: bool = attrs.field(alias="wrapped", repr=False)

    def read(self, text: str) -> JSONValue:
        """Return an answer as the JSON value of the object that it is.

        The answer must be JSON, with nothing around it but white space; or have exactly one block fenced by three
        backticks, as small models write it, which then is the JSON.

        Raises:
            SerializationError: It is none, or does not fit the type. What validators of the type raise is the reason.
        """
        value = _decoded(text)
        if self._wrapped and isinstance(value, dict) and value.keys() == {_WRAPPER}:
            value = value[_WRAPPER]
        # As the type writes it: with defaults, and 1 as 1.0 where it says float.
        read = to_json(from_narrowed_json(value, self.type, path="output"), path="output")
        check_room(read, path="output")
        return read


def _decoded(text: str) -> JSONValue:
    try:
        return decode_json(text.strip(), path="output")
    except SerializationError:
        blocks = cast("list[str]", _FENCED.findall(text))
        if len(blocks) == 1:
            try:
                return decode_json(blocks[0].strip(), path="output")
            except SerializationError:
                pass
    # Not the words of a decoder, which change from one version of Python to the next: they would be drift.
    raise SerializationError("output", value=text, reason="it must be JSON and nothing else", verb="read") from None


def output_of(type_: object) -> Output | None:
    """Return what an agent was given as ``output``; None for text, which needs no type.

    Raises:
        DefinitionError: No JSON Schema describes the type.
    """
    if type_ is None or type_ is str:
        return None
    if isinstance(type_, str):
        raise DefinitionError(f"output must be a type, got the text {type_!r}.")
    schemas, definitions = type_schemas({"output": type_}, where=lambda _: "output")
    schema: JSONObject = _at_top(schemas["output"], definitions)
    wrapped = schema.get("type") != "object"
    if wrapped:
        inner: JSONObject = {_WRAPPER: schemas["output"]}
        required: list[JSONValue] = [_WRAPPER]
        schema = {"type": "object", "properties": inner, "required": required, "additionalProperties": False}
    if definitions := _needed(schema, definitions):
        schema["$defs"] = definitions
    return Output(type=type_, schema=schema, wrapped=wrapped)


def _at_top(schema: JSONObject, definitions: JSONObject) -> JSONObject:
    """Return the schema that a reference stands for, as not every provider takes one at the top."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFS):
        target = definitions.get(reference.removeprefix(_DEFS))
        if isinstance(target, dict):
            return dict(target)
    return dict(schema)


def _needed(schema: JSONObject, definitions: JSONObject) -> JSONObject:
    """Return the definitions that a schema refers to, in their order."""
    needed: set[str] = set()
    texts = [dump_json(schema).decode()]
    while texts:
        text = texts.pop()
        for name in definitions.keys() - needed:
            if dump_json(f"{_DEFS}{name}").decode() in text:
                needed.add(name)
                texts.append(dump_json(definitions[name]).decode())
    return {name: part for name, part in definitions.items() if name in needed}
