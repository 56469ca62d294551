"""JSON text and back, without changing a character; and texts that strangers wrote."""

from __future__ import annotations

import collections
import decimal
import enum
import fractions
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core.errors import SerializationError
from openharness.core.values import (
    MAX_BYTES,
    MAX_DEPTH,
    checksum,
    copy_json,
    decode_json,
    dump_json,
    encode_json,
    sha256_checksum,
    to_json,
)
from openharness.core.values._convert import convert

if TYPE_CHECKING:
    from collections.abc import Callable

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters())
    | st.text('\0\ud83d\ude00\ud800x"\\')
)
JSON = st.recursive(
    ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner), max_leaves=30
)


@given(JSON)
def test_what_is_saved_is_what_is_loaded(value: Any) -> None:
    """Every value has the same types, the same order of keys and the same characters after a round trip, from both texts."""
    try:
        normal = to_json(value)
    except SerializationError:
        return  # two keys that differ only in whether a character came in two halves
    encoded = encode_json(value)
    assert repr(decode_json(encoded)) == repr(normal)
    assert repr(decode_json(encoded.decode())) == repr(normal)
    assert encode_json(decode_json(encoded)) == encoded
    assert repr(copy_json(normal)) == repr(normal)


@given(JSON)
def test_any_other_json_reader_reads_the_same(value: Any) -> None:
    """The text is plain JSON: the standard library makes the same value of it."""
    try:
        encoded = encode_json(value)
    except SerializationError:
        return
    assert repr(json.loads(encoded)) == repr(decode_json(encoded))


class Loud(str):
    """Text that says something else when it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Colour(enum.Enum):
    """An enumeration that is no text itself."""

    RED = "red"


OBJECTS = st.recursive(
    ATOMS
    | st.floats()
    | st.integers(-(2**65), 2**65)
    | st.sampled_from([Colour.RED, Loud("a"), b"x", object(), decimal.Decimal(1), fractions.Fraction(1, 2)]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters()) | st.sampled_from([Loud("k"), Colour.RED, 1, None]), inner)
        | st.dictionaries(st.text(), inner).map(collections.OrderedDict)
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


@given(OBJECTS, st.sampled_from([MAX_BYTES, 60, 7]))
def test_encoding_is_converting_and_writing(value: Any, most: int) -> None:
    """Text made at once is the text of the converted value; what one of the two refuses, the other refuses alike."""

    def outcome(encode: Callable[[], bytes]) -> bytes | str:
        try:
            return encode()
        except SerializationError as error:
            return str(error)

    def in_two_steps() -> bytes:
        return dump_json(convert(value, path="value", max_bytes=most), max_bytes=most)

    assert outcome(lambda: encode_json(value, max_bytes=most)) == outcome(in_two_steps)


@given(st.integers(0, 12), st.integers(2**63 - 2, 2**63 + 1) | st.integers(-(2**63) - 2, 1 - 2**63), st.booleans())
def test_a_number_is_read_or_refused_at_any_level(levels: int, number: int, in_list: bool) -> None:
    """However deep it stands, an integer of 64 bits is read as it is, and one beyond them is refused."""
    opening, closing = ("[", "]") if in_list else ('{"a":', "}")
    text = opening * levels + str(number) + closing * levels
    if -(2**63) <= number < 2**63:
        assert decode_json(text) == json.loads(text)
    else:
        with pytest.raises(SerializationError, match="64 bits"):
            decode_json(text)


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1])
def test_encoding_at_once_keeps_to_the_limits(levels: int) -> None:
    """Nesting beyond the limit is refused, and a value that multiplies itself is refused before it is written."""
    value: Any = None
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    many: Any = []
    for _ in range(60):
        many = [many, many]
    if levels > MAX_DEPTH:
        with pytest.raises(SerializationError, match="nested deeper"):
            encode_json(value)
        with pytest.raises(SerializationError, match="bytes"):
            encode_json(many, max_bytes=10_000)
    else:
        assert decode_json(encode_json(value)) == value


def test_the_text_is_compact_and_keeps_the_order() -> None:
    """No spaces, keys as they came, characters as they are."""
    assert encode_json({"b": [1, 2.0], "a": "é\0"}) == '{"b":[1,2.0],"a":"é\\u0000"}'.encode()
    assert encode_json("\ud800é") == b'"\\ud800\\u00e9"'


def test_a_copy_shares_nothing() -> None:
    """Changing a copy does not change what was copied."""
    value: Any = {"a": [{"b": 1}]}
    copied: Any = copy_json(value)
    copied["a"][0]["b"] = 2
    assert value == {"a": [{"b": 1}]}


def test_the_size_limit_is_in_bytes_of_the_text() -> None:
    """Text of exactly the limit passes, one byte more is refused with the limit in the error."""
    assert len(encode_json("é" * 10, max_bytes=22)) == 22
    for oversized in ("é" * 10, ["x" * 18]):
        with pytest.raises(SerializationError, match="at most 21 bytes") as caught:
            encode_json(oversized, path="state", max_bytes=21)
        assert caught.value.path == "state"
    assert dump_json([1] * 5000, max_bytes=10_001)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nul", "[1,]", '{"a":1', "[1] x", "{1:2}", "'a'", '"\n"', '"\\x"', "01", "+1", ".5", "1.", "\ufeff1", "NaN",
        "-Infinity", "Infinity", '["\\ud800",NaN]', "1e999", "-1e999", '["\\ud800",1e999]', "9" * 5000,
        b"\xff", b'"\xed\xa0\x80"', "1".encode("utf-16"), "[1]".encode("utf-32"), b"\xef\xbb\xbf1",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(text: bytes | str) -> None:
    """Texts that are not JSON in UTF-8, and numbers that no double holds, are one kind of error, with the path."""
    with pytest.raises(SerializationError) as caught:
        decode_json(text, path="state")
    assert caught.value.path.startswith("state")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("form", ["{}", "[{}]", '{{"a":[{}]}}', '["\\ud800",{}]', "[{}" + ",0" * 5000 + "]"])
def test_integers_beyond_64_bits_are_refused(number: int, form: str) -> None:
    """A large integer is refused wherever it stands; the largest that fits passes, and so do digits in a string."""
    with pytest.raises(SerializationError, match="64 bits"):
        decode_json(form.format(number))
    decode_json(form.format(2**63 - 1))
    decode_json(form.format(-(2**63)))
    decode_json(form.format(f'"{number}"'))


@pytest.mark.parametrize("inside", ["", "0", '"\\ud800"', '"' + "x" * 5000 + '"'])
@pytest.mark.parametrize("opening,closing", ["[]", ('{"a":', "}"), ('[{"a":', "}]")])
def test_texts_nested_too_deep_are_refused(opening: str, closing: str, inside: str) -> None:
    """200 levels are read, 201 are refused, and a hundred thousand too: by the depth and never by the stack."""
    step = sum(opening.count(bracket) for bracket in "[{")
    if not inside and opening != "[":
        inside = "[]"

    def text(levels: int) -> str:
        return opening * levels + inside + closing * levels

    levels = (MAX_DEPTH - (inside == "[]")) // step
    assert decode_json(text(levels)) is not None
    for deeper in (levels + 1, 100_000):
        with pytest.raises(SerializationError, match="200 levels"):
            decode_json(text(deeper))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    """Width is no depth."""
    assert decode_json("[" + ",".join(["[]"] * 1000) + "]") == [[]] * 1000


def test_of_equal_keys_the_last_counts() -> None:
    """Both ways of reading agree about objects with a key twice."""
    assert decode_json('{"a":1,"a":2}') == {"a": 2}
    assert decode_json('{"a":1,"a":"\\ud800"}') == {"a": "\ud800"}


def test_raw_surrogates_in_a_text_are_read() -> None:
    """A text given as str may hold what UTF-8 cannot."""
    assert decode_json('"\ud800"') == "\ud800"
    assert decode_json('"\ud83d\ude00"') == "\U0001f600"


def test_a_text_larger_than_the_default_limit_is_read() -> None:
    """Stores may be told of a larger limit; reading does not know of it, and needs not."""
    text = '["\\ud800","' + "x" * 17_000_000 + '"]'
    value: Any = decode_json(text)
    assert len(value[1]) == 17_000_000


def test_the_checksum_is_the_documented_one() -> None:
    """BLAKE2b of 16 bytes over kind, length and text of each field, so that a database can be checked by hand."""
    from hashlib import blake2b

    by_hand = blake2b("s2:é".encode() + b"i2:-7" + b"n0:" + b"b1:\xff", digest_size=16).hexdigest()
    assert checksum("é", -7, None, b"\xff") == by_hand
    assert len(by_hand) == 32


@given(st.lists(st.none() | st.integers() | st.text(st.characters(), max_size=20) | st.binary()), st.booleans())
def test_a_checksum_of_either_kind_is_told_right(fields: list[Any], is_long: bool) -> None:
    """Both kinds are over the same bytes, also where these are taken piece by piece, and hold for no other fields."""
    from hashlib import sha256

    if is_long:
        fields.append("é" * 9_000)
    texts = [(b"n" if field is None else b"i" if type(field) is int else b"b", field) for field in fields]
    pieces = [
        (b"s", field.encode("utf-8", "surrogatepass"))
        if isinstance(field, str)
        else (kind, b"" if field is None else b"%d" % field if isinstance(field, int) else field)
        for kind, field in texts
    ]
    by_hand = sha256(b"".join(b"%b%d:%b" % (kind, len(data), data) for kind, data in pieces)).hexdigest()
    assert sha256_checksum(*fields) == "s" + by_hand[:32]
    for kind in (checksum, sha256_checksum):
        assert kind(*fields) != kind(*fields, None)


@given(st.lists(st.none() | st.text(st.characters()) | st.integers() | st.binary(), max_size=4))
def test_different_fields_have_different_checksums(fields: list[Any]) -> None:
    """Neither the border between two fields nor the kind of a field can change unseen."""
    joined = [*fields[:1], *(("".join(map(str, fields[1:])),) if len(fields) > 2 else fields[1:])]
    assert checksum(*fields) == checksum(*fields)
    assert (checksum(*fields) == checksum(*joined)) == (fields == joined)
    assert checksum(*fields) != checksum(*fields, None)
    assert checksum("1") != checksum(1)
    assert checksum("a", "b") != checksum("ab", "")


def test_python_may_recurse_as_deep_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large recursion limit does not let deeper texts in."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        for text in ("[" * 5000 + "]" * 5000, "[" * 5000 + '"\\ud800"' + "]" * 5000, '["\\ud800",' + "[" * 100_000):
            with pytest.raises(SerializationError, match="200 levels"):
                decode_json(text)
    finally:
        sys.setrecursionlimit(limit)
