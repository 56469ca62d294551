"""The values, ids and keys that go wrong in stores: one list for every store, so that all of them agree.

Each entry has a name, which pytest shows. `ACCEPTED_VALUES` come back equal and of the same type; `CONVERTED_VALUES`
come back in their documented JSON form; `REFUSED_VALUES` raise `SerializationError` with the path, in every store alike.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import attrs

__all__ = (
    "ACCEPTED_VALUES",
    "CONVERTED_VALUES",
    "HOSTILE_IDS",
    "HOSTILE_KEYS",
    "REFUSED_IDS",
    "REFUSED_VALUES",
    "AcceptedValue",
    "ConvertedValue",
    "RefusedValue",
)


@attrs.frozen
class AcceptedValue:
    """A plain JSON value that must come back as it is.

    Attributes:
        name: What it is.
        value: The value.
    """

    name: str
    value: Any


@attrs.frozen
class ConvertedValue:
    """An object that is no JSON value and comes back as one.

    Attributes:
        name: What it is.
        value: The object.
        expected: What comes back.
    """

    name: str
    value: Any
    expected: Any


@attrs.frozen
class RefusedValue:
    """An object that no store takes.

    Attributes:
        name: What it is.
        make: Makes it.
        place: Where in it the refused part is, as the error's path has it after the name of the whole; None where the
            path is too long to write down.
    """

    name: str
    make: Callable[[], Any]
    place: str | None


def _nested_lists(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def _nested_dicts(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


ACCEPTED_VALUES: Final = (
    AcceptedValue("null", None),
    AcceptedValue("true", True),
    AcceptedValue("false", False),
    AcceptedValue("zero", 0),
    AcceptedValue("negative", -1),
    AcceptedValue("beyond-double-precision", 2**53 + 1),
    AcceptedValue("largest-int", 2**63 - 1),
    AcceptedValue("smallest-int", -(2**63)),
    AcceptedValue("float-zero", 0.0),
    AcceptedValue("minus-zero", -0.0),
    AcceptedValue("integral-float", 1.0),
    AcceptedValue("float-1e16", 1e16),
    AcceptedValue("float-1e22", 1e22),
    AcceptedValue("float-1e-7", -1e-7),
    AcceptedValue("float-2-to-63", 2.0**63),
    AcceptedValue("inexact-float", 0.1 + 0.2),
    AcceptedValue("largest-float", 1.7976931348623157e308),
    AcceptedValue("smallest-float", 5e-324),
    AcceptedValue("empty-string", ""),
    AcceptedValue("nul", "\0"),
    AcceptedValue("nul-inside", "before\0after"),
    AcceptedValue("every-control-character", "".join(map(chr, range(32))) + "\x7f\x80\x9f"),
    AcceptedValue("lone-high-surrogate", "a\ud83dz"),
    AcceptedValue("lone-low-surrogate", "\ude00"),
    AcceptedValue("surrogates-in-the-wrong-order", "\ude00\ud83d"),
    AcceptedValue("surrogate-and-emoji-and-nul", "\ud83d \U0001f600 \0"),
    AcceptedValue("emoji", "\U0001f469\u200d\U0001f680"),
    AcceptedValue("byte-order-mark", "\ufeffx\ufffe\uffff"),
    AcceptedValue("line-separators", "a\u2028b\u2029c\x85d\r\ne"),
    AcceptedValue("decomposed-and-composed", ["e\u0301", "\xe9"]),
    AcceptedValue("replacement-character", "\ufffd"),
    AcceptedValue("quotes-and-backslashes", "\"'`\\\\n\\u0041\\"),
    AcceptedValue("json-inside-a-string", '{"a": [1, NaN], "b": "\\u0000"}'),
    AcceptedValue("sql-inside-a-string", "'; DROP TABLE runs; --"),
    AcceptedValue(
        "words-that-mean-something-elsewhere", ["NaN", "Infinity", "null", "true", "undefined", "None", "\\N"]
    ),
    AcceptedValue("numbers-as-text", ["1", "01", "1e3", "-0", " 1"]),
    AcceptedValue("digest-as-text", "sha256:" + "0" * 64),
    AcceptedValue("long-string", "long \xe4\u20ac\U0001f600" * 1_000),
    AcceptedValue("empty-list", []),
    AcceptedValue("empty-dict", {}),
    AcceptedValue("list-of-empties", [[], {}, "", None, [[]], {"": {}}]),
    AcceptedValue("equal-but-of-other-types", [1, 1.0, True, 0, 0.0, -0.0, False, None]),
    AcceptedValue("keys-not-in-order", {"z": 1, "a": 2, "m": {"y": 1, "b": 2}}),
    AcceptedValue("empty-key", {"": 1}),
    AcceptedValue("keys-of-all-kinds", {"a.b": 1, "$.a": 2, "a[0]": 3, 'q"q': 4, "s's": 5, "%_": 6, " ": 7, "\\": 8}),
    AcceptedValue("nul-in-a-key", {"a\0b": 1, "a": 2}),
    AcceptedValue("surrogate-in-a-key", dict.fromkeys(["\ud83d", "\ude00"], 1)),
    AcceptedValue("keys-like-numbers", {"1": 1, "01": 2, "1.0": 3, "true": 4, "null": 5}),
    AcceptedValue(
        "keys-that-mean-something-elsewhere", {"__class__": "x", "$ref": "#", "lc": 1, "type": "constructor"}
    ),
    AcceptedValue("composed-and-decomposed-keys", {"e\u0301": 1, "\xe9": 2}),
    AcceptedValue("many-keys", {f"key {number}": number for number in range(2_000)}),
    AcceptedValue("many-items", list(range(5_000))),
    AcceptedValue("lists-200-deep", _nested_lists(200)),
    AcceptedValue("dicts-200-deep", _nested_dicts(200)),
)
"""Plain JSON values that come back equal, of the same type, keys in their order."""


class _Colour(enum.Enum):
    RED = "red"


class _Level(enum.IntEnum):
    HIGH = 3


class _Point(NamedTuple):
    x: int
    y: float


class _Text(str):
    __slots__ = ()


@attrs.frozen
class _Attrs:
    name: str
    parts: tuple[int, ...]


@dataclass(frozen=True)
class _Dataclass:
    when: datetime.date


CONVERTED_VALUES: Final = (
    ConvertedValue("tuple", {"t": (1, ("a", None))}, {"t": [1, ["a", None]]}),
    ConvertedValue("named-tuple", _Point(1, 2.0), [1, 2.0]),
    ConvertedValue("set", {"b", "a", "c"}, ["a", "b", "c"]),
    ConvertedValue("frozenset", frozenset({3, 1, 2}), [1, 2, 3]),
    ConvertedValue("bytes", b"\x00\xff", "AP8="),
    ConvertedValue(
        "datetime", datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05+00:00"
    ),
    ConvertedValue("date", datetime.date(2026, 1, 2), "2026-01-02"),
    ConvertedValue("uuid", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ConvertedValue("decimal", decimal.Decimal("1.10"), "1.10"),
    ConvertedValue("path", pathlib.PurePosixPath("a/b"), "a/b"),
    ConvertedValue("enum", [_Colour.RED, _Level.HIGH], ["red", 3]),
    ConvertedValue("string-of-a-subclass", _Text("text"), "text"),
    ConvertedValue(
        "both-halves-of-a-character", ["\ud83d\ude00", {"\ud83d\ude00": 1}], ["\U0001f600", {"\U0001f600": 1}]
    ),
    ConvertedValue("ordered-dict", collections.OrderedDict([("b", 1), ("a", 2)]), {"b": 1, "a": 2}),
    ConvertedValue("attrs-object", _Attrs("n", (1, 2)), {"name": "n", "parts": [1, 2]}),
    ConvertedValue("dataclass-object", _Dataclass(datetime.date(2026, 1, 2)), {"when": "2026-01-02"}),
)
"""Objects that are stored in a JSON form of their own, and come back in it."""


def _list_in_itself() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def _dict_in_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["items"] = [value]
    return value


REFUSED_VALUES: Final = (
    RefusedValue("nan", lambda: float("nan"), ""),
    RefusedValue("infinity", lambda: float("inf"), ""),
    RefusedValue("minus-infinity", lambda: [0, float("-inf")], "[1]"),
    RefusedValue("nan-deep-inside", lambda: {"items": [{}, {}, {}, {"score": float("nan")}]}, ".items[3].score"),
    RefusedValue("int-of-64-bits-unsigned", lambda: 2**63, ""),
    RefusedValue("int-below-64-bits", lambda: {"n": -(2**63) - 1}, ".n"),
    RefusedValue("int-of-5000-digits", lambda: {"n": 10**5_000}, ".n"),
    RefusedValue("int-key", lambda: {"a": {1: "a", "1": "b"}}, ".a[1]"),
    RefusedValue("none-key", lambda: {None: 1}, "[None]"),
    RefusedValue("bool-key", lambda: {True: 1}, "[True]"),
    RefusedValue("tuple-key", lambda: {("a", "b"): 1}, "[('a', 'b')]"),
    RefusedValue("bytes-key", lambda: {b"a": 1}, "[b'a']"),
    RefusedValue("keys-that-become-one", lambda: {"k": {"\ud83d\ude00": 1, "\U0001f600": 2}}, ".k"),
    RefusedValue("key-that-is-no-name", lambda: {"a b": {"": float("nan")}}, "['a b']['']"),
    RefusedValue("object", object, ""),
    RefusedValue("class", lambda: [object], "[0]"),
    RefusedValue("function", lambda: {"f": len}, ".f"),
    RefusedValue("complex", lambda: 1j, ""),
    RefusedValue("generator", lambda: (number for number in range(3)), ""),
    RefusedValue("memoryview", lambda: memoryview(b"x"), ""),
    RefusedValue("exception", lambda: {"e": ValueError("x")}, ".e"),
    RefusedValue("list-in-itself", _list_in_itself, "[1]"),
    RefusedValue("dict-in-itself", _dict_in_itself, ".items[0]"),
    RefusedValue("lists-201-deep", lambda: _nested_lists(201), None),
    RefusedValue("dicts-201-deep", lambda: _nested_dicts(201), None),
    RefusedValue("lists-100000-deep", lambda: _nested_lists(100_000), None),
)
"""Objects that raise `SerializationError` in every store."""


HOSTILE_IDS: Final = (
    "a",
    "A",
    "a/b",
    "../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "C:\\Windows\\x",
    "CON",
    "nul.json",
    "trailing.",
    "trailing ",
    " leading",
    "-rf",
    "~",
    "a%2Fb",
    "a%",
    "a_",
    "*",
    "?",
    "'; DROP TABLE runs; --",
    '"quoted"',
    "`x`",
    "$(x)",
    "{}",
    "\\",
    "\xe9",
    "e\u0301",
    "\xdf",
    "SS",
    "ss",
    "\u0130",
    "i",
    "\ufb01",
    "fi",
    "\uff5e",
    "\U0001f600",
    "\u202egnp.exe",
    "\u200b",
    "1",
    "01",
    "1.0",
    "null",
    "true",
    "x" * 200,
    "X" * 200,
    "\u20ac" * 66,
    "\U0001f600" * 50,
)
"""Ids that are legal, mean nothing, and are all different."""

REFUSED_IDS: Final = (
    "",
    "\0",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\ud800",
    "x" * 201,
    "\u20ac" * 67,
    None,
    1,
    True,
    b"a",
)
"""What cannot be an id, in any store."""

HOSTILE_KEYS: Final = (
    "a.b",
    "a",
    "b",
    "$.a",
    "a[0]",
    'q"x',
    "q'x",
    "q''x",
    '$."a"',
    "",
    " ",
    "%",
    "_",
    "A",
    "key = 1 OR 1 = 1 --",
    "') OR 1=1 --",
    "x'; DROP TABLE runs; --",
    "a\\b",
    "\\",
    "\xe9",
    "e\u0301",
    "{a,b}",
    "->>",
    "?",
    ":name",
    "%s",
    "$1",
    "limit",
    "id",
    "status",
    "\ufffd",
    "\U0001f600",
)
"""Metadata keys that are legal, mean nothing, and are all different."""
