r"""The canonical text of plain JSON values, whose parts nobody has to look at: RFC 8785 (JSON Canonicalization Scheme).

Keys are ordered by UTF-16 code units and numbers are written as ECMAScript writes them, so ``1.0`` and ``1`` are one
number. Beyond the RFC, integers up to 64 bits keep all their digits (a double would merge neighbours), and lone surrogates
are written as ``\uXXXX``.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring as _quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.values._types import JSONValue

__all__ = ("canonical_text",)

_SURROGATE = re.compile("[\ud800-\udfff]")


def canonical_text(value: JSONValue) -> str:
    """Return the canonical text of a value that `to_json` made; it can always be encoded as UTF-8."""
    if isinstance(value, str):
        return _quote(value) if value.isascii() else _string(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{_string(key)}:{canonical_text(value[key])}" for key in _ordered(value)]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([canonical_text(item) for item in value]) + "]"
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
