"""From JSON back to the objects people write: every accepted type comes back equal, and nothing is guessed."""

# ruff: noqa: D101 - the classes stand for those of users

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import pathlib
import traceback
import typing
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Required, TypedDict, TypeVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openharness.core.errors import SerializationError
from openharness.core.state import from_json
from openharness.core.values import JSONObject, JSONValue, to_json

T = TypeVar("T")
Count = NewType("Count", int)


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    ONE = 1


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"

    @classmethod
    def _missing_(cls, value: object) -> Word | None:
        return cls.YES if value == "YES" else None


class Bits(enum.Flag):
    A = 1
    B = 2


@attrs.define
class Item:
    name: str
    score: float | None = None
    seen: bool = False


@attrs.define
class Other:
    code: int


@attrs.define
class Everything:
    items: list[Item] = attrs.field(factory=list)
    by_name: dict[str, Item] = attrs.field(factory=dict)
    pairs: list[tuple[int, str]] = attrs.field(factory=list)
    numbers: tuple[int, ...] = ()
    unique: set[int] = attrs.field(factory=set)
    frozen: frozenset[str] = frozenset()
    when: datetime.datetime | None = None
    day: datetime.date = datetime.date(2025, 1, 1)
    id: uuid.UUID | None = None
    price: decimal.Decimal = decimal.Decimal("1.10")
    where: pathlib.Path = pathlib.Path("a/b")
    data: bytes = b""
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    word: Word = Word.YES
    bits: Bits = Bits.A | Bits.B
    kind: Literal["a", 1] = "a"
    either: Item | Other | str | int | None = None
    anything: Any = None
    json: JSONValue = None
    object: JSONObject = attrs.field(factory=dict)
    count: Count = Count(0)
    noted: Annotated[int, "a note"] = 0
    sequence: collections.abc.Sequence[int] = attrs.field(factory=list)
    mapping: collections.abc.Mapping[str, list[int]] = attrs.field(factory=dict)
    by_level: dict[Word, int] = attrs.field(factory=dict)


TEXT = st.text(max_size=5)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**63), 2**63 - 1)
ITEMS = st.builds(Item, TEXT, st.none() | NUMBERS, st.booleans())
JSON = st.recursive(
    st.none() | st.booleans() | INTS | NUMBERS | TEXT, lambda c: st.lists(c) | st.dictionaries(TEXT, c), max_leaves=5
)
FIELDS = {
    "items": st.lists(ITEMS, max_size=3),
    "by_name": st.dictionaries(TEXT, ITEMS, max_size=2),
    "pairs": st.lists(st.tuples(INTS, TEXT), max_size=2),
    "numbers": st.lists(INTS, max_size=3).map(tuple),
    "unique": st.sets(INTS, max_size=3),
    "frozen": st.frozensets(TEXT, max_size=3),
    # Which of two equal hours it is, at the end of summer time, is not written in ISO 8601.
    "when": st.none() | st.datetimes(timezones=st.just(datetime.UTC)).map(lambda moment: moment.replace(fold=0)),
    "day": st.dates(),
    "id": st.uuids(),
    "price": st.decimals(allow_nan=False),
    "data": st.binary(max_size=5),
    "colour": st.sampled_from(Colour),
    "level": st.sampled_from(Level),
    "bits": st.sampled_from([Bits.A, Bits.B, Bits.A | Bits.B]),
    "kind": st.sampled_from(["a", 1]),
    "either": ITEMS | st.builds(Other, INTS) | TEXT | INTS | st.none(),
    "anything": JSON,
    "json": JSON,
    "object": st.dictionaries(TEXT, JSON, max_size=2),
    "count": INTS,
    "noted": INTS,
    "sequence": st.lists(INTS, max_size=2),
    "mapping": st.dictionaries(TEXT, st.lists(INTS), max_size=2),
    "by_level": st.dictionaries(st.just(Word.YES), INTS),
}


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=30)
@given(draw=st.data())
def test_a_field_of_every_type_comes_back_equal(field: str, draw: st.DataObject) -> None:
    """An attrs class survives the way to JSON and back, whatever is in its fields, types included."""
    state = Everything(**{field: draw.draw(FIELDS[field])})
    back = from_json(to_json(state), Everything)
    assert back == state
    held, given_ = getattr(back, field), getattr(state, field)
    assert type(held) is type(given_)
    if not isinstance(held, (set, frozenset)):
        assert repr(held) == repr(given_)


@given(JSON)
def test_untyped_values_are_copies(value: Any) -> None:
    """A field of any type holds an equal value that shares nothing with the JSON it came from."""
    source = {"anything": value}
    back = from_json(source, Everything)
    assert repr(back.anything) == repr(value)
    if isinstance(value, (list, dict)):
        assert back.anything is not value


@attrs.define
class Node:
    value: int = 0
    children: list[Node] = attrs.field(factory=list)


@attrs.define
class Hidden:
    _secret: int
    other: str = attrs.field(alias="another", default="")
    later: list[int] = attrs.field(init=False, factory=list)


@attrs.frozen
class Derived:
    a: int
    double: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.a)


@dataclasses.dataclass(kw_only=True)
class Data:
    count: int = 0
    start: dataclasses.InitVar[int] = 5
    made: list[int] = dataclasses.field(init=False, default_factory=list)

    def __post_init__(self, start: int) -> None:
        self.made.append(start)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    when: datetime.date
    inner: Data | None = None


class Point(NamedTuple):
    x: int
    item: Item
    label: str = "here"


class Options(TypedDict):
    name: str
    tries: NotRequired[int]


class Partial(Options, total=False):
    items: list[Item]
    needed: Required[int]


class Box(TypedDict, Generic[T]):
    content: T


@attrs.define
class Generic_(Generic[T]):  # noqa: N801
    content: T


hidden = Hidden(1, another="x")
hidden.later.append(3)
data = Data(count=2)
data.made.append(6)


@pytest.mark.parametrize(
    "value,type_",
    [
        (Node(1, [Node(2, [Node(3)]), Node()]), Node),
        (hidden, Hidden),
        (Derived(2), Derived),
        (data, Data),
        (Slotted(datetime.date(2025, 1, 2), data), Slotted),
        (Point(1, Item("a")), Point),
        ({"name": "a"}, Options),
        ({"name": "a", "tries": 2}, Options),
        ({"name": "a", "needed": 1, "items": [Item("b")]}, Partial),
        ({"content": Item("b")}, Box[Item]),
        (Generic_([Item("b")]), Generic_[list[Item]]),
        ([1, 2], list[Count]),
        ([[1], ["a"]], list[list[int] | list[str]]),
        ({"a": (1, "x")}, dict[str, tuple[int, str]]),
        ((), tuple[()]),
        ({"a": 1}, dict),
        ([{"a": None}], list),
        ((1, "a"), tuple),
        (None, None),
        (None, type(None)),
        (1.5, typing.Final[float]),
        ([1, {"a": [2]}], Any),
        (pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath),
        (datetime.datetime(2025, 1, 2, 3, 4, 5), datetime.datetime),  # noqa: DTZ001
        (Item("a"), Item | Other | None),
        ([Other(1), "x", None, 2.5, True], list[Item | Other | str | float | bool | None]),
        ({"a": 1}, dict[str, int] | list[int]),
        ([1], dict[str, int] | list[int]),
        (Word.YES, Word | int),
        (2.0, float | None),
        ("a", Literal["a", "b"] | int),
        (pathlib.Path("a/b"), type(pathlib.Path())),
        (Level.HIGH, Level | str | None),
    ],
)  # fmt: skip
def test_the_way_back(value: Any, type_: Any) -> None:
    """What `to_json` accepts, `from_json` gives back: equal, and of the same type."""
    back = from_json(to_json(value), type_)
    assert back == value
    assert type(back) is type(value)


def test_fields_without_init_are_what_was_saved() -> None:
    """A field that the constructor does not take has its saved value, not the one the constructor would make."""
    assert from_json({"a": 1, "double": 7}, Derived).double == 7
    assert from_json({"a": 1}, Derived).double == 2
    assert from_json({"count": 1, "made": [9]}, Data).made == [9]


def test_what_enumerations_know_themselves() -> None:
    """Combinations of flags are read, and so is what an enumeration itself takes for one of its members."""
    assert from_json(3, Bits) is Bits.A | Bits.B
    assert from_json("YES", Word) is Word.YES
    assert from_json([1, 2], Colour) is Colour.PAIR


@attrs.define
class Positive:
    n: int = attrs.field(validator=attrs.validators.gt(0))


class Unread:
    """No class that JSON can be read as."""


@pytest.mark.parametrize(
    "value,type_,path,reason",
    [
        ("1", int, "v", "an integer"),
        (True, int, "v", "an integer"),
        (1.0, int, "v", "an integer"),
        (1, bool, "v", "true or false"),
        (1, str, "v", "text"),
        ("1", float, "v", "a number"),
        (True, float, "v", "a number"),
        (2**53 + 1, float, "v", "a number"),
        (0, None, "v", "null"),
        ("abc", list[str], "v", "a list"),
        ({"a": 1}, list[str], "v", "a list"),
        ("ab", set[str], "v", "a list"),
        ("ab", tuple[str, ...], "v", "a list"),
        ([1], tuple[int, int], "v", "2 items"),
        ([1, 2, 3], tuple[int, int], "v", "2 items"),
        ([["a", 1]], dict[str, int], "v", "an object"),
        ({"a": [1, "x"]}, dict[str, list[int]], "v.a[1]", "an integer"),
        ({"a b": "x"}, dict[str, int], "v['a b']", "an integer"),
        ({"1": 1}, dict[int, int], "v['1']", "an integer"),
        ([], Item, "v", "fields of Item"),
        (None, Item, "v", "fields of Item"),
        ({}, Item, "v.name", "missing"),
        ({"name": 1}, Item, "v.name", "text"),
        ({"name": "a", "nmae": 1, "b": 2}, Item, "v", "no field 'b', 'nmae'"),
        ({"children": [{}, {"value": "x"}]}, Node, "v.children[1].value", "an integer"),
        ({"n": 0}, Positive, "v", "must be > 0"),
        ({"a": 1, "double": "x"}, Derived, "v.double", "an integer"),
        ({}, Options, "v.name", "missing"),
        ({"name": "a"}, Partial, "v.needed", "missing"),
        ({"name": "a", "trys": 1}, Options, "v", "no field 'trys'"),
        ({"name": "a", "tries": "1"}, Options, "v.tries", "an integer"),
        ([], Options, "v", "keys of Options"),
        ([1, {"name": 2}], Point, "v[1].name", "text"),
        ([1], Point, "v", "3 items"),
        ("blue", Colour, "v", "one of 'red', [1, 2], 1"),
        (True, Colour, "v", "one of"),
        (True, Level, "v", "one of 1, 2"),
        (8, Bits, "v", "one of"),
        (True, Literal[1], "v", "one of 1"),
        (["x"], Literal["x"], "v", "one of 'x'"),
        ("x", datetime.datetime, "v", "ISO 8601"),
        (5, datetime.date, "v", "ISO 8601"),
        ("x", uuid.UUID, "v", "UUID"),
        ("x", decimal.Decimal, "v", "decimal"),
        ("x", bytes, "v", "base64"),
        (1, pathlib.Path, "v", "a path"),
        ("a", int | None, "v", "one of int, None"),
        ({"q": 1}, Item | Other, "v", "Item: this field is missing; Other: this field is missing"),
        ("2025-01-01", datetime.date | str, "v", "any of date, str"),
        (["a"], list[str] | set[str], "v", "any of list[str], set[str]"),
        (1, complex, "v", "complex is no type"),
        ({}, Unread, "v", "Unread is no type"),
        (1, 5, "v", "5 is no type"),
        ("x", type("Own", (str,), {}), "v", "Own is no type"),
        ({"content": 1}, Generic_, "v", "~T is no type"),
        (1, Annotated[str, "a note"], "v", "text"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_path(value: Any, type_: Any, path: str, reason: str) -> None:
    """A misfit is one error, in words about the value, with the path and the part that does not fit."""
    with pytest.raises(SerializationError) as caught:
        from_json(value, type_, path="v")
    error = caught.value
    assert (error.path, error.verb) == (path, "read")
    assert reason in error.reason
    part = value
    for step in (
        path.removeprefix("v")
        .replace("['a b']", ".a b")
        .replace("['1']", ".1")
        .replace("[", ".")
        .replace("]", "")
        .split(".")[1:]
    ):
        part = part[int(step)] if isinstance(part, list) else part.get(step, part)
    assert error.value == part


def test_union_members_of_any_kind_are_tried() -> None:
    """A member that says nothing about its JSON is tried with every value, and a model of nobody's fits none."""
    assert from_json([1], Any | None) == [1]  # type: ignore[arg-type]
    with pytest.raises(SerializationError, match="one of"):
        from_json(1.5, Annotated[int, "a"] | Count | str)


def test_defaults_are_taken_for_what_is_missing() -> None:
    """An older recording without a newer field is read with the field's default."""
    assert from_json({"name": "a"}, Item) == Item("a")
    assert from_json({}, Everything) == Everything()


def test_an_integer_is_a_number() -> None:
    """A whole number in a field of numbers is read as one, alone and in a union; JSON knows no difference."""
    for type_ in (float, float | None, float | str):
        value = from_json(1, type_)
        assert (value, type(value)) == (1.0, float)
    assert type(from_json(1, float | int)) is int


def test_containers_that_only_the_converter_knows() -> None:
    """A misfit in a container of the converter's own is told with its path, too."""
    assert from_json([1], collections.deque[int]) == collections.deque([1])
    with pytest.raises(SerializationError, match=r"value\[1\] cannot be read: it must be an integer, got 'x'"):
        from_json([1, "x"], collections.deque[int])


def test_a_refusal_of_a_class_itself_is_told() -> None:
    """An error of ours that a user's class raises keeps its reason."""

    def refuse(value: object) -> object:
        raise SerializationError("inner", value=value, reason="not today")

    made = attrs.make_class("Made", {"n": attrs.field(type=int, converter=refuse)})
    with pytest.raises(SerializationError, match="not today"):
        from_json({"n": 1}, made)


def test_an_exception_that_cannot_say_what_it_is_is_told_by_its_type() -> None:
    """What a validator raises is the reason also where its own text raises."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise LookupError

    def refuse(instance: object, attribute: object, value: object) -> None:
        raise MuteError

    @attrs.define
    class Refused:
        name: str = attrs.field(validator=refuse)

    with pytest.raises(SerializationError, match="MuteError, got") as caught:
        from_json({"name": "a"}, Refused)
    assert isinstance(caught.value.__cause__, MuteError)


def test_an_error_is_caused_by_validators_alone() -> None:
    """What a validator raised is the cause, with its traceback; what the converter raised on its way is left out."""

    @attrs.frozen
    class Shelf:
        boards: list[int]

        def __attrs_post_init__(self) -> None:
            if not self.boards:
                raise ZeroDivisionError("nothing to stand on")

    with pytest.raises(SerializationError) as caught:
        from_json({"shelf": {"boards": [1, "two"]}}, dict[str, Shelf])
    assert "".join(traceback.format_exception(caught.value)).count("Traceback") == 1

    with pytest.raises(SerializationError) as caught:
        from_json({"shelf": {"boards": []}}, dict[str, Shelf])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "__attrs_post_init__" in "".join(traceback.format_exception(caught.value))
