"""Canonical JSON and digests, against another implementation of RFC 8785."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openharness.core import SerializationError
from openharness.core.values import canonical_json, digest

oracle = pytest.importorskip("rfc8785", reason="the other implementation, in the dependency group of the tests")

SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | SAFE | FLOATS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(JSON)
def test_values_have_the_text_of_the_rfc(value: Any) -> None:
    """Whatever JSON both can write, both write alike."""
    assert canonical_json(value).encode() == oracle.dumps(value)


@given(st.integers(0, 2**64 - 1))
@example(0x8000_0000_0000_0000)
@example(0x0000_0000_0000_0001)
@example(0x7FEF_FFFF_FFFF_FFFF)
@example(0x4340_0000_0000_0000)
@example(0x444B_1AE4_D6E2_EF4F)
@example(0x444B_1AE4_D6E2_EF50)
@example(0x3EB0_C6F7_A0B5_ED8D)
@example(0x3EB0_C6F7_A0B5_ED8C)
def test_every_double_is_written_as_ecmascript_does(bits: int) -> None:
    """Over all bit patterns of a double, the text is the RFC's and reads back as the same number."""
    number = struct.unpack(">d", struct.pack(">Q", bits))[0]
    if not math.isfinite(number):
        return
    text = canonical_json(number)
    assert text.encode() == oracle.dumps(number)
    assert float(text) == number


@pytest.mark.parametrize(
    "number,text",
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-1.5, "-1.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"),
        (1e-6, "0.000001"), (1e-7, "1e-7"), (1.5e300, "1.5e+300"), (5e-324, "5e-324"), (123456.789, "123456.789"),
        (2**63 - 1, "9223372036854775807"), (-(2**63), "-9223372036854775808"), (True, "true"), (None, "null"),
    ],
)  # fmt: skip
def test_numbers(number: Any, text: str) -> None:
    """The forms the RFC shows; integers keep all their digits."""
    assert canonical_json(number) == text


def test_keys_are_ordered_by_utf16() -> None:
    """The order is that of UTF-16 code units, where characters beyond the first plane come before U+E000 to U+FFFF."""
    keys = ["\ufb33", "\U0001f600", "\u20ac", "1", "\r", "\u0080", "\u00f6"]
    assert list(json.loads(canonical_json(dict.fromkeys(keys)))) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


@given(st.dictionaries(st.text(), st.integers(0, 9)), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    """Two dicts with the same items have one text and one digest."""
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)
    assert digest(dict(items)) == digest(value)


@given(st.text(st.characters()))
def test_every_text_can_be_encoded(text: str) -> None:
    """Lone surrogates are written as escapes, so that there is always a digest, and no two texts share one."""
    written = canonical_json({text: text})
    written.encode()
    assert json.loads(written) == json.loads(json.dumps({text: text}))
    assert digest(text) != digest(text + "x")


def test_the_digest_is_sha256_of_the_text() -> None:
    """A digest can be made by hand."""
    assert digest({"b": 1.0, "a": [None]}) == "sha256:" + hashlib.sha256(b'{"a":[null],"b":1}').hexdigest()


def test_different_json_differs() -> None:
    """What is not the same JSON has another text."""
    texts = [
        canonical_json(value)
        for value in (1, True, "1", None, [], {}, "", [1], {"1": 1}, 0, False, "\ud800", "\\ud800")
    ]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("function", [canonical_json, pytest.param(digest, marks=pytest.mark.slow)])
def test_values_without_end_are_refused_at_once(function: Any) -> None:
    """What is nested too deep, contains itself, or refers to one list again and again is refused as the log refuses it."""
    bomb: Any = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    loop: list[Any] = []
    loop.append({"again": loop})
    for value, reason in ((bomb, "bytes"), (deep, "200 levels"), (loop, "contains itself")):
        with pytest.raises(SerializationError, match=reason):
            function(value)
        with pytest.raises(SerializationError, match=reason):
            function({"a": value})
    shared = ["x"] * 10
    assert function([shared, shared]) == function([["x"] * 10, ["x"] * 10])
