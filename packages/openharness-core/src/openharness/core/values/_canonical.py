"""One text for one value, and the digests made of it.

Two values count as the same JSON exactly when they have the same canonical text: that of RFC 8785 (JSON Canonicalization
Scheme), with integers up to 64 bits in all their digits.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from openharness.core.values._canonical_text import canonical_text
from openharness.core.values._convert import convert, is_plain
from openharness.core.values._limits import MAX_BYTES

if TYPE_CHECKING:
    from openharness.core.values._types import JSONValue

__all__ = ("canonical_json", "digest")


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
    if isinstance(value, (dict, list)) and not is_plain(value, MAX_BYTES):
        value = convert(value, path="value", max_bytes=MAX_BYTES)
    return canonical_text(value)


def digest(value: JSONValue) -> str:
    """Return ``sha256:`` and the SHA-256 of the canonical text, in hexadecimal.

    Raises:
        SerializationError: As in `canonical_json`.
    """
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()
