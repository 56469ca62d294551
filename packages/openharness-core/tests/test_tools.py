"""Tools as they are defined: what a model is told of a function, and what it may send."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import pathlib
from collections.abc import AsyncIterator, Callable  # noqa: TC003 - a tool's types are read when it is made
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from openharness.core import DefinitionError, InvalidValueError, SerializationError, Tool, ToolContext, tool
from openharness.core.agents import collect_tools

CONTEXT: ToolContext[Any] = ToolContext(run_id="run_1", agent="a", activation="a#1", tool_call="a#1/0/0")


class Unit(enum.Enum):
    """Units."""

    METRIC = "metric"
    IMPERIAL = "imperial"


@attrs.frozen
class Place:
    """Where."""

    city: str
    country: str = "PT"


@dataclasses.dataclass
class Span:
    """When."""

    days: int
    places: list[Place] = dataclasses.field(default_factory=list)


class Extra(TypedDict):
    """What else."""

    note: str
    urgent: NotRequired[bool]


class Inner(pydantic.BaseModel):
    """Within a model."""

    size: int = pydantic.Field(ge=1)


class Model(pydantic.BaseModel):
    """A Pydantic model."""

    inner: Inner
    kind: str = "x"


def forecast(  # noqa: D417 - some parameters say nothing
    place: Place,
    ctx: ToolContext[Any],
    unit: Unit = Unit.METRIC,
    *,
    days: int | None = None,
    style: Literal["short", "long"] = "short",
    note: Annotated[str, "What to add."] = "",
) -> str:
    """Tell the weather.

    It is a guess.

    Args:
        place: Where, as
            exactly as possible.
        unit: Which units.
        note: Overruled by the annotation.

    Returns:
        The weather.
    """
    return f"{place.city} {unit.name} {days} {style} {note} {ctx.tool_call}"


def test_a_function_tells_its_name_description_and_schema() -> None:
    """The definition a model is given comes from the name, the docstring and the signature; the context is not in it."""
    assert tool(forecast).definition() == {
        "name": "forecast",
        "description": "Tell the weather.\n\nIt is a guess.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"description": "Where, as exactly as possible.", "$ref": "#/$defs/Place"},
                "unit": {"description": "Which units.", "$ref": "#/$defs/Unit", "default": "metric"},
                "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
                "style": {"enum": ["long", "short"], "default": "short"},
                "note": {"description": "What to add.", "type": "string", "default": ""},
            },
            "additionalProperties": False,
            "required": ["place"],
            "$defs": {
                "Place": {
                    "title": "Place",
                    "description": "Where.",
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "PT"}},
                    "required": ["city"],
                },
                "Unit": {"title": "Unit", "description": "Units.", "enum": ["imperial", "metric"]},
            },
        },
    }


def test_arguments_become_the_types_of_the_function() -> None:
    """What a model sends is turned into classes and enumerations, and the context is put in its place."""
    made = tool(forecast)
    bound = made.bind({"place": {"city": "Lisbon"}, "unit": "imperial", "days": 2}, CONTEXT)
    assert bound == {"place": Place("Lisbon"), "unit": Unit.IMPERIAL, "days": 2, "ctx": CONTEXT}
    assert made(**bound) == "Lisbon IMPERIAL 2 short  a#1/0/0"
    assert tool(lambda: 1, name="one").bind(None, CONTEXT) == {}


@pytest.mark.parametrize(
    "arguments, path",
    [
        ({}, "arguments.place"),
        ([], "arguments"),
        ("{}", "arguments"),
        ({"place": {"city": 3}}, "arguments.place.city"),
        ({"place": {"city": "x"}, "ctx": {}}, "arguments.ctx"),
        ({"place": {"city": "x"}, "days": "2"}, "arguments.days"),
        ({"place": {"city": "x"}, "unit": "METRIC"}, "arguments.unit"),
        ({"place": {"city": "x"}, "where": 1}, "arguments.where"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: Any, path: str) -> None:
    """Missing, unknown and wrongly typed arguments are an error that names the path; text is taken for no number."""
    with pytest.raises(SerializationError) as caught:
        tool(forecast).bind(arguments, CONTEXT)
    assert caught.value.path == path


def everything(  # noqa: PLR0917
    span: Span,
    extra: Extra,
    model: Model,
    inner: Inner | None,
    either: Place | Span,
    path: pathlib.Path,
    table: dict[str, list[int]],
    anything: Any,
) -> None:
    """Take one of each."""


def test_every_kind_of_type_has_a_schema_and_is_read() -> None:
    """Dataclasses, TypedDicts, Pydantic models, unions of classes, paths and collections are described and made."""
    made = tool(everything)
    properties: Any = made.parameters["properties"]
    definitions: Any = made.parameters["$defs"]
    assert properties["either"] == {"anyOf": [{"$ref": "#/$defs/Place"}, {"$ref": "#/$defs/Span"}]}
    assert properties["model"]["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert definitions["Inner"]["properties"]["size"]["minimum"] == 1
    assert definitions["Extra"]["required"] == ["note"]
    arguments: dict[str, Any] = {
        "span": {"days": 1, "places": [{"city": "Faro"}]},
        "extra": {"note": "n"},
        "model": {"inner": {"size": 2}},
        "inner": None,
        "either": {"days": 3},
        "path": "a/b",
        "table": {"x": [1]},
        "anything": [None],
    }
    assert made.bind(arguments, CONTEXT) == {
        "span": Span(1, [Place("Faro")]),
        "extra": {"note": "n"},
        "model": Model(inner=Inner(size=2)),
        "inner": None,
        "either": Span(3),
        "path": pathlib.Path("a/b"),
        "table": {"x": [1]},
        "anything": [None],
    }
    with pytest.raises(SerializationError) as caught:
        made.bind({**arguments, "model": {"inner": {"size": 0}}}, CONTEXT)
    assert caught.value.path == "arguments.model.inner.size"


def two_models() -> Callable[..., None]:
    """A function of two models whose inner models have one name."""

    def model(inner: Any) -> Any:
        return pydantic.create_model("Outer", part=(inner, ...))

    one = model(pydantic.create_model("Same", a=(int, ...)))
    other = model(pydantic.create_model("Same", b=(str, ...)))

    def function(one: Any, other: Any) -> None: ...

    function.__annotations__ = {"one": one, "other": other}
    return function


def test_models_with_one_name_stay_apart() -> None:
    """Of two definitions with one name, the second is called by its full name, and each is referred to by its own."""
    parameters: Any = tool(two_models()).parameters
    one, other = parameters["properties"]["one"], parameters["properties"]["other"]
    names = [part["properties"]["part"]["$ref"].removeprefix("#/$defs/") for part in (one, other)]
    assert [list(parameters["$defs"][name]["properties"]) for name in names] == [["a"], ["b"]]


class Counter:
    """A service with a method."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int) -> int:
        """Add a number.

        :param number: How much.
        """
        self.count += number
        return self.count

    async def __call__(self, number: int) -> int:
        """Add it, later."""
        return self.add(number)


def test_methods_partials_and_objects_are_functions_too() -> None:
    """A bound method, a partial and a callable object become tools; of a partial, what is bound may be left out."""
    counter = Counter()
    method = tool(counter.add)
    assert (method.name, method.description, method(3), method.is_async) == ("add", "Add a number.", 3, False)
    properties: Any = method.parameters["properties"]
    assert properties["number"]["description"] == "How much."
    partial = tool(functools.partial(counter.add, number=4), name="add_four")
    assert (partial.description, partial(), partial.parameters.get("required")) == ("Add a number.", 7, None)
    assert tool(counter, name="later").is_async


def test_the_decorator_takes_options_or_none() -> None:
    """``@tool``, ``@tool(...)`` and ``tool(function, ...)`` make the same kind of thing."""

    @tool
    def plain() -> None:
        """Do nothing."""

    @tool(name="other", description="Said here.", timeout=2, idempotent=True, needs_approval=True)
    async def optioned() -> None:
        """Not said."""

    assert isinstance(plain, Tool)
    assert (plain.name, plain.description, plain.timeout, plain.idempotent, plain.needs_approval) == (
        "plain", "Do nothing.", None, False, False,
    )  # fmt: skip
    assert (optioned.name, optioned.description, optioned.timeout, optioned.idempotent, optioned.needs_approval) == (
        "other", "Said here.", 2, True, True,
    )  # fmt: skip
    assert optioned.is_async
    assert not plain.is_async
    assert tool(plain.function, timeout=1).timeout == 1


def unhinted(x) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Be no tool."""


def starred(*x: int) -> None:
    """Be no tool."""


def positional(x: int, /) -> None:
    """Be no tool."""


def unreadable(x: Callable[[int], int]) -> None:
    """Be no tool."""


def undefined(x: Nowhere) -> None:  # type: ignore[name-defined] # noqa: F821
    """Be no tool."""


async def generating() -> AsyncIterator[int]:
    """Yield."""
    yield 1


def two_contexts(x: ToolContext[Any], y: ToolContext[int]) -> None:
    """Be no tool."""


@pytest.mark.parametrize(
    "function, words",
    [
        (unhinted, "'x' of tool 'unhinted' needs a type"),
        (starred, "'x' of tool 'starred' cannot be given by name"),
        (positional, "'x' of tool 'positional' cannot be given by name"),
        (unreadable, "'x' of tool 'unreadable' has a type that no JSON Schema describes"),
        (undefined, "types of tool 'undefined' cannot be read"),
        (generating, "is a generator"),
        (two_contexts, "two parameters for the context"),
        (lambda: 1, "name has 1 to 64"),
        (Counter, "made of a function"),
        ("search", "made of a function"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_can_be_no_tool_is_refused_with_the_reason(function: Any, words: str) -> None:
    """Whatever could not be described or called is found when the tool is made, and the error says where."""
    with pytest.raises(DefinitionError, match=words):
        tool(function)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": True},
        {"timeout": "3"},
        {"idempotent": 1},
        {"needs_approval": None},
        {"description": 5},
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_options_of_the_wrong_kind_are_refused(options: Any) -> None:
    """Options are checked when the tool is made."""
    with pytest.raises(InvalidValueError):
        tool(forecast, **options)


def test_an_agents_tools_have_different_names() -> None:
    """Functions and tools may be mixed; two of one name, or something else, are refused."""
    assert [made.name for made in collect_tools([forecast, tool(everything)])] == ["forecast", "everything"]
    with pytest.raises(DefinitionError, match="Two tools are called 'forecast'"):
        collect_tools([forecast, tool(everything, name="forecast")])
    with pytest.raises(InvalidValueError):
        collect_tools(forecast)  # type: ignore[arg-type]


def test_constraints_of_parameters_are_told_and_checked() -> None:
    """What ``msgspec.Meta`` says of a parameter stands in the schema, and arguments that break it are refused."""

    def order(
        count: Annotated[int, "How many.", msgspec.Meta(ge=1, le=12)],
        code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")] = "AA",
        more: Annotated[list[int], msgspec.Meta(max_length=2)] | None = None,
    ) -> None:
        """Order."""

    made = tool(order)
    properties: Any = made.parameters["properties"]
    assert properties["count"] == {"description": "How many.", "type": "integer", "minimum": 1, "maximum": 12}
    assert properties["code"] == {"type": "string", "pattern": "^[A-Z]{2}$", "default": "AA"}
    assert made.parameters["required"] == ["count"]
    context: Any = None
    assert made.bind({"count": 12, "code": "BC", "more": [1, 2]}, context) == {
        "count": 12,
        "code": "BC",
        "more": [1, 2],
    }
    assert made.bind({"count": 1, "more": None}, context) == {"count": 1, "more": None}
    for arguments, path in [
        ({"count": 0}, "count cannot be read: it must be at least 1"),
        ({"count": 13}, "count cannot be read: it must be at most 12"),
        ({"count": 1, "code": "abc"}, r"code cannot be read: it must match '\^\[A-Z\]\{2\}\$'"),
        ({"count": 1, "more": [1, 2, 3]}, "more cannot be read: .*its length must be at most 2"),
    ]:
        with pytest.raises(SerializationError, match=f"arguments.{path}"):
            made.bind(arguments, context)
    # The secret itself is looked at when it is filled in.
    assert made.bind({"count": 1, "code": "[redacted:X_TOKEN]"}, context)["code"] == "[redacted:X_TOKEN]"
    with pytest.raises(DefinitionError, match="no JSON Schema"):
        tool(lambda_with(Annotated[str, msgspec.Meta(ge=1)]))


@pytest.mark.parametrize(
    "kind, fit, unfit, told",
    [
        (list[Annotated[int, msgspec.Meta(ge=1)]], [1], [1, 0], r"value\[1\] .*at least 1"),
        (dict[str, Annotated[float, msgspec.Meta(lt=1)]], {"a": 0.5}, {"a": 1}, "value.a .*less than 1"),
        (Annotated[int, msgspec.Meta(gt=0, multiple_of=3)], 9, 10, "a multiple of 3"),
        (Annotated[str, msgspec.Meta(min_length=2)], "ab", "a", "its length must be at least 2"),
        (Annotated[datetime.datetime, msgspec.Meta(tz=True)], "2020-01-01T00:00:00+00:00", "2020-01-01", "offset"),
        (Annotated[int, msgspec.Meta(ge=1)] | None, None, 0, "at least 1"),
        (Annotated[Annotated[int, msgspec.Meta(ge=1)], msgspec.Meta(le=2)], 2, 0, "at least 1"),
    ],
)
def test_constraints_are_checked_wherever_they_stand(kind: Any, fit: Any, unfit: Any, told: str) -> None:
    """A ``msgspec.Meta`` within a list, a dict, a union or another one narrows it as it does a parameter."""
    made = tool(lambda_with(kind))
    made.bind({"value": fit}, CONTEXT)
    with pytest.raises(SerializationError, match=told):
        made.bind({"value": unfit}, CONTEXT)


@pytest.mark.parametrize(
    "kind, schema, value",
    [
        (object, {}, {"a": [1, None]}),
        (list[object], {"type": "array", "items": {}}, [1, "x"]),
        (dict[str, object], {"type": "object", "additionalProperties": {}}, {"a": 1}),
    ],
)
def test_object_is_anything(kind: Any, schema: Any, value: Any) -> None:
    """A parameter of ``object`` takes every JSON value, as one of ``Any`` does, and its schema says so."""
    made = tool(lambda_with(kind))
    assert made.parameters["properties"] == {"value": schema}
    assert made.bind({"value": value}, CONTEXT) == {"value": value}


def lambda_with(kind: Any) -> Any:
    """A function with one parameter of a type."""

    def function(value: Any) -> None:
        """Do nothing."""

    function.__annotations__["value"] = kind
    return function
