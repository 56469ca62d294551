"""How large what comes from outside of a run may be, so that the signal that tells of it can be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.errors import SerializationError
from openharness.core.values import MAX_BYTES, dump_json

if TYPE_CHECKING:
    from openharness.core.values import JSONValue

__all__ = ("LARGEST", "MEBIBYTES", "json_that_fits")

LARGEST: Final = MAX_BYTES - 2**20
"""Bytes of JSON. The rest of a signal, and placeholders that are longer than their secrets, need some room as well."""
MEBIBYTES: Final = LARGEST // 2**20


def json_that_fits(value: JSONValue) -> bytes | None:
    """Return the JSON of a value, or None where it takes more than `LARGEST` bytes."""
    try:
        return dump_json(value, max_bytes=LARGEST)
    except SerializationError:
        return None
