"""JSON Schemas are changed where they are schemas, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from openharness.provider_http import changed_schema, with_types


@pytest.mark.parametrize(
    "schema, expected",
    [
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"enum": [1, 2], "title": "Level"}, {"type": "integer", "enum": [1, 2], "title": "Level"}),
        ({"const": True}, {"type": "boolean", "const": True}),
        (
            {"enum": [None, 1, "x", 2], "title": "Any"},
            {
                "title": "Any",
                "anyOf": [
                    {"type": "null", "enum": [None]},
                    {"type": "integer", "enum": [1, 2]},
                    {"type": "string", "enum": ["x"]},
                ],
            },
        ),
    ],
)
def test_listed_values_get_their_types(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """Values that a schema lists have their type beside them, also where they have several."""
    assert with_types(schema) == expected


@pytest.mark.parametrize(
    "schema", [{}, {"type": "string", "enum": ["a"]}, {"enum": [[1]]}, {"const": {"a": 1}}, {"enum": []}]
)
def test_what_has_a_type_or_none_that_is_known_stays(schema: dict[str, Any]) -> None:
    """A schema that says its type, or lists what is no plain value, is left as it is."""
    assert with_types(schema) == schema


def test_only_schemas_are_changed() -> None:
    """Every schema within a schema is changed, wherever schemas stand; data that looks like one is not."""
    listed = {"enum": ["a"]}
    typed = {"type": "string", "enum": ["a"]}
    data = {"default": listed, "const": listed, "enum": [listed], "title": "enum"}

    def nested(inner: Any) -> dict[str, Any]:
        return {
            "$defs": {"enum": {**data, "properties": {"x": inner}}},
            "items": {"anyOf": [inner, True, {"not": inner}]},
            "additionalProperties": inner,
            "prefixItems": [inner],
            "unknown": listed,
        }

    before = nested(listed)
    assert changed_schema(before, with_types) == nested(typed)
    assert before == nested(listed)
