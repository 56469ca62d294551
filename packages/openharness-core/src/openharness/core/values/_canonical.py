r"""One text for one value: RFC 8785 (JSON Canonicalization Scheme), and the digests made of it.

Two values count as the same JSON exactly when they have the same canonical text: keys are ordered by UTF-16 code units
and numbers are written as ECMAScript writes them, so ``1.0`` and ``1`` are one number. Beyond the RFC, integers up to
64 bits keep all their digits (a double would merge neighbours), and lone surrogates are written as ``\uXXXX``.
"""

from __future__ import annotations

import hashlib
import re
from json.encoder import encode_basestring as _quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.values._types import JSONValue

__all__ = ("canonical_json", "digest")

_SURROGATE = re.compile("[\ud800-\udfff]")


def canonical_json(value: JSONValue) -> str:
    """Return the canonical text of a JSON value.

    Args:
        value: A plain JSON value, as `to_json` returns it.

    Returns:
        Text that can always be encoded as UTF-8.

    Raises:
        SerializationError: It is a list or dict that `to_json` refuses: nested deeper than 200 levels, or with more parts
            than a value of the log may have, those that it refers to several times counted as often.
    """
    if isinstance(value, (dict, list)):
        # Imported here, because these modules need the text to order sets.
        from openharness.core.values._convert import convert, is_plain
        from openharness.core.values._limits import MAX_BYTES

        if not is_plain(value, MAX_BYTES):
            value = convert(value, path="value", max_bytes=MAX_BYTES)
    return _text(value)


def digest(value: JSONValue) -> str:
    """Return ``sha256:`` and the SHA-256 of the canonical text, in hexadecimal.

    Raises:
        SerializationError: As in `canonical_json`.
    """
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _text(value: JSONValue) -> str:
    if isinstance(value, str):
        return _quote(value) if value.isascii() else _string(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{_string(key)}:{_text(value[key])}" for key in _ordered(value)]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_text(item) for item in value]) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return int.__repr__(value) if isinstance(value, int) else _number(value)


def _ordered(keys: Iterable[str]) -> list[str]:
    """Keys by their UTF-16 code units, which for ASCII is the order of the characters."""
    ordered = sorted(keys)
    return ordered if "".join(ordered).isascii() else sorted(ordered, key=_utf16)


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _string(text: str) -> str:
    quoted = _quote(text)
    if text.isascii():
        return quoted
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


_INTEGRAL_BELOW = 1e21
_PLAIN_FROM = 1e-6


def _number(number: float) -> str:
    """A double as ECMAScript's Number::toString writes it (RFC 8785, section 3.2.2.3)."""
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    number = abs(number)
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if number >= _INTEGRAL_BELOW or number < _PLAIN_FROM:
        power = point - 1
        tail = f".{digits[1:]}" if count > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'+' if power > 0 else '-'}{abs(power)}"
    if count <= point:
        return sign + digits + "0" * (point - count)
    if point > 0:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    return f"{sign}0.{'0' * -point}{digits}"
