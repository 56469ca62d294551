"""What `to_json` accepts, what it makes of it, and what it refuses."""

# ruff: noqa: D101, D102 - the classes and helpers stand for whatever people store
from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import sys
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core.errors import SerializationError
from openharness.core.values import MAX_DEPTH, encode_json, field_names, to_json

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


def refused(value: object, **options: Any) -> SerializationError:
    """The error that `to_json` raises for a value."""
    with pytest.raises(SerializationError) as caught:
        to_json(value, **options)
    return caught.value


def nested(levels: int) -> list[Any]:
    """As many lists as there are levels, one in the other."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def containers(value: object) -> Iterator[int]:
    """The identity of each list and dict in a value."""
    if isinstance(value, dict):
        yield id(value)
        for item in value.values():
            yield from containers(item)
    elif isinstance(value, list):
        yield id(value)
        for item in value:
            yield from containers(item)


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, "two")
    WHERE = pathlib.PurePosixPath("a/b")


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Bits(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: int


@attrs.define
class Private:
    _secret: int
    alias: str = attrs.field(alias="other", default="")
    later: Any = attrs.field(init=False)


@dataclasses.dataclass
class Counted:
    start: dataclasses.InitVar[int]
    count: int = 0
    made: list[int] = dataclasses.field(init=False, default_factory=list)

    def __post_init__(self, start: int) -> None:
        self.count = start


class Shout(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Odd(int):
    def __int__(self) -> int:
        return -1

    def __repr__(self) -> str:
        return "odd"


class Pairs(Mapping[Any, Any]):
    """A mapping whose items are what they are told to be."""

    def __init__(self, *pairs: tuple[Any, Any]) -> None:
        self.pairs = pairs

    def __getitem__(self, key: object) -> Any:
        return dict(self.pairs)[key]

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def items(self) -> Any:
        return self.pairs


@given(JSON)
def test_plain_json_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    """A plain JSON value is its own JSON form, to the sign of a zero and the order of keys."""
    assert repr(to_json(value)) == repr(value)


@given(JSON)
def test_nothing_is_shared(value: Any) -> None:
    """The result has no list and no dict in common with what was given."""
    assert not set(containers(to_json(value))) & set(containers(value))


def test_subclasses_of_plain_types_become_the_plain_type() -> None:
    """A subclass is stored as its base's value, whatever it shows itself as."""
    value = to_json([Shout("quiet"), Odd(7), Point(1, 2), collections.OrderedDict(b=1, a=2), {Shout("k"): 1}])
    assert value == ["quiet", 7, [1, 2], {"b": 1, "a": 2}, {"k": 1}]
    assert [type(item) for item in value] == [str, int, list, dict, dict]
    assert [type(key) for key in value[4]] == [str]


@pytest.mark.parametrize(
    "value,expected",
    [
        (datetime.datetime(2025, 1, 2, 3, 4, 5, 6, datetime.UTC), "2025-01-02T03:04:05.000006+00:00"),
        (datetime.datetime(2025, 1, 2, 3, 4, 5), "2025-01-02T03:04:05"),  # noqa: DTZ001 - a naive one is text, too
        (datetime.date(2025, 1, 2), "2025-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.10"), "1.10"),
        (pathlib.PureWindowsPath("a\\b"), "a/b"),
        (b"\xff\x00", "/wA="),
        (Colour.RED, "red"),
        (Colour.PAIR, [1, "two"]),
        (Colour.WHERE, "a/b"),
        (Level.LOW, 1),
        (Word.YES, "yes"),
        (Bits.A | Bits.B, 3),
        ((1, (2,)), [1, [2]]),
        ({"b", 1, None, ("x",)}, ["b", 1, ["x"], None]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.UserDict(a=(1,)), {"a": [1]}),
        ({Word.YES: 1}, {"yes": 1}),
    ],
)
def test_the_documented_forms(value: object, expected: Any) -> None:
    """Each accepted type has the JSON form the documentation gives it."""
    assert repr(to_json(value)) == repr(expected)


@given(st.sets(st.integers() | st.text() | st.booleans() | st.tuples(st.integers(0, 3))))
def test_sets_do_not_depend_on_their_hash_order(values: set[Any]) -> None:
    """Two equal sets, filled in different orders, have the same JSON."""
    values = {value for value in values if not isinstance(value, int) or abs(value) < 2**63}
    refilled: set[Any] = set()
    for value in sorted(values, key=repr, reverse=True):
        refilled.add(value)
    assert to_json(values) == to_json(refilled)


def test_equal_canonical_texts_in_a_set_have_an_order() -> None:
    """Where canonical JSON knows no order, the numbers' own text gives one: not the hash, nor the address."""

    @attrs.frozen(eq=False)
    class Box:
        n: float

    for _ in range(20):
        assert repr(to_json({Box(1), Box(1.0), Box(1)})) == "[{'n': 1.0}, {'n': 1}, {'n': 1}]"


def test_classes_become_their_fields() -> None:
    """Attrs classes and dataclasses are stored by the names of their attributes, those made in the class included."""
    private = Private(1, other="x")
    private.later = {2}
    assert to_json(private) == {"_secret": 1, "alias": "x", "later": [2]}
    counted = Counted(3)
    counted.made.append(1)
    assert to_json(counted) == {"count": 3, "made": [1]}
    assert field_names(Private) == ("_secret", "alias", "later")
    assert field_names(Counted) == ("count", "made")
    assert field_names(int) is None


@pytest.mark.parametrize(
    "value,path,reason",
    [
        (float("nan"), "v", "NaN"),
        ([1.5, float("inf")], "v[1]", "infinity"),
        ({"a": {"b c": 2**63}}, "v.a['b c']", "64 bits"),
        ([-(2**63) - 1], "v[0]", "64 bits"),
        ({"a": {1: "x"}}, "v.a[1]", "keys must be strings"),
        ({None: "x"}, "v[None]", "keys must be strings"),
        ({Level.LOW: "x"}, "v[1]", "keys must be strings"),
        ([{"a": 1j}], "v[0].a", "complex"),
        (iter([]), "v", "list_iterator"),
        (range(3), "v", "range"),
        (bytearray(b"x"), "v", "bytearray"),
        (datetime.time(1), "v", "datetime.time"),
        (datetime.timedelta(1), "v", "timedelta"),
        (int, "v", "builtins.type"),
        (Private, "v", "builtins.type"),
        ((value for value in "x"), "v", "generator"),
        (Private(1), "v.later", "never set"),
        ({"\ud83d\ude00": 1, "\U0001f600": 2}, "v", "same text"),
        (Pairs(("a", 1), ("a", 2)), "v", "same"),
        (Pairs(("a", 1), "b"), "v", "reading it failed"),  # type: ignore[arg-type]
    ],
)
def test_refusals_name_the_path_and_the_reason(value: object, path: str, reason: str) -> None:
    """What cannot be stored is refused with the path of the part, as one would write it in Python."""
    error = refused(value, path="v")
    assert error.path == path
    assert reason in error.reason
    assert error.verb == "stored"


def test_a_key_that_breaks_its_repr_is_still_named() -> None:
    """Not even a broken ``__repr__`` keeps the refusal from being told."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert refused({Broken(): 1}).path == "value[Broken]"
    assert "Broken object" in str(refused(Broken()))


def test_paths_of_long_keys_stay_short() -> None:
    """A key of a megabyte does not make a path of a megabyte."""
    assert len(refused({"k" * 1_000_000: 1j}).path) < 100
    assert len(str(refused(nested(MAX_DEPTH + 1)))) < 500


@pytest.mark.parametrize("wrap", [list, tuple, type("Own", (list,), {}), lambda items: {"k": items[0]}])
def test_nesting_ends_at_the_limit_whatever_the_container(wrap: Any) -> None:
    """200 levels pass and 201 are refused, with far less stack than Python gives."""

    def levels(count: int) -> Any:
        value: Any = wrap([0])
        for _ in range(count - 1):
            value = wrap([value])
        return value

    limit = sys.getrecursionlimit()
    frame: types.FrameType | None = sys._getframe()
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 2 * MAX_DEPTH + 50)
    try:
        to_json(levels(MAX_DEPTH))
        assert "200 levels" in refused(levels(MAX_DEPTH + 1)).reason
        assert "200 levels" in refused(levels(MAX_DEPTH * 50)).reason
    finally:
        sys.setrecursionlimit(limit)


def test_cycles_are_refused_where_they_close() -> None:
    """A value that contains itself is an error that says so, also through objects."""
    items: list[Any] = [1]
    items.append({"again": items})
    assert refused(items).path == "value[1].again"
    private = Private(1)
    private.later = [private]
    error = refused(private)
    assert error.path == "value.later[0]"
    assert "contains itself" in error.reason


def test_one_object_at_two_places_is_no_cycle() -> None:
    """A list that occurs twice is stored twice."""
    shared = [1]
    converted: Any = to_json([shared, shared])
    assert converted == [[1], [1]]
    assert converted[0] is not converted[1]


def test_a_value_that_multiplies_itself_is_refused_early() -> None:
    """Lists that refer to one list twice, level for level, end at the size limit and not with the memory."""
    value: list[Any] = []
    for _ in range(190):
        value = [value, value]
    with pytest.raises(SerializationError, match="10,000 bytes"):
        encode_json(value, max_bytes=10_000)


@given(st.text(st.characters(categories=["Cs", "Lu"])), st.text(st.characters(categories=["Cs", "Lu"])))
def test_surrogate_pairs_become_their_character(one: str, other: str) -> None:
    """Text is the text every JSON reader makes of it: pairs are joined, halves stay, and once is enough."""
    converted: Any = to_json([one + other, {one + other: 1}])
    text = converted[0]
    assert list(converted[1]) == [text]
    assert to_json(text) == text
    assert to_json([one + other]) == [text]
    assert to_json({"k": one + other}) == {"k": text}
    assert text.encode("utf-16-le", "surrogatepass") == (one + other).encode("utf-16-le", "surrogatepass")


def test_the_halves_of_a_character_that_came_apart_are_one_again() -> None:
    """Two deltas that were cut within an emoji give the emoji."""
    assert to_json("\ud83d" + "\ude00") == "\U0001f600"
    assert to_json("\ude00\ud83d") == "\ude00\ud83d"


def shared(kind: Any, depth: int) -> Any:
    """Return a value of few objects that refer to one another, ten times each: 10 to the power of ``depth`` parts."""
    value = kind([0] * 10)
    for _ in range(depth):
        value = kind([value] * 10)
    return value


def numbered(items: list[Any]) -> dict[str, Any]:
    """Return a dict with these values."""
    return {str(key): item for key, item in enumerate(items)}


@attrs.frozen
class Ten:
    """An object whose field is a list."""

    items: Any


@pytest.mark.parametrize("kind", [list, tuple, numbered, Ten, lambda items: collections.UserDict(numbered(items))])
@pytest.mark.parametrize("use", [to_json, encode_json])
def test_a_value_that_repeats_itself_without_end_is_refused_before_its_parts_are_made(kind: Any, use: Any) -> None:
    """Lists that hold one list ten times over, a hundred levels deep, are told from their size, not from their parts."""
    with pytest.raises(SerializationError, match="may take at most 16,777,216 bytes"):
        use(shared(kind, 90))


def test_most_parts_of_a_value_without_end_are_never_read() -> None:
    """Of a value that could fill sixteen megabytes, a few hundred thousand parts are read before it is refused."""
    reads = 0

    class Counting(collections.UserDict[str, Any]):
        def items(self) -> Any:
            nonlocal reads
            reads += 10
            return super().items()

    with pytest.raises(SerializationError, match="may take at most 16,777,216 bytes"):
        to_json(shared(lambda items: Counting(numbered(items)), 90))
    assert reads < 1_000_000


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_value_with_many_parts_that_repeat_is_converted_all_the_same(kind: Any) -> None:
    """What has more parts than are made without a look, and fits, comes out whole, each part on its own."""
    value = to_json(shared(kind, 5))
    assert isinstance(value, list)
    assert value == shared(list, 5)
    assert value[0] is not value[1]
