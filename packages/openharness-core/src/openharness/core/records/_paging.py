"""Places in the order of runs and of recordings: by time, then by id."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from openharness.core.errors import InvalidValueError
from openharness.core.records._identifiers import check_id
from openharness.core.records._time import time_ms

if TYPE_CHECKING:
    import attrs

__all__ = ("check_count", "check_cursor", "check_order", "cursor_at", "read_cursor")


def cursor_at(created_at: int, identifier: str) -> str:
    """Return the opaque text that stands for a place."""
    position = json.dumps([created_at, identifier], ensure_ascii=True).encode()
    return base64.urlsafe_b64encode(position).decode()


def read_cursor(value: object) -> tuple[int, str]:
    """Return the time and the id that `cursor_at` was given.

    Raises:
        InvalidValueError: It is no such text.
    """
    expected = "the `cursor` of a RunRecord, or of a RecordingInfo"
    if not isinstance(value, str):
        raise InvalidValueError("cursor", value=value, expected=expected)
    try:
        created_at, identifier = json.loads(base64.urlsafe_b64decode(value.encode("ascii")))
        return time_ms(created_at), check_id(identifier)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise InvalidValueError("cursor", value=value, expected=expected) from None


def check_count(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse limits and offsets that are none."""
    del instance
    if value is None and attribute.name == "limit":
        return
    if type(value) is not int or not 0 <= value < 2**63:
        raise InvalidValueError(attribute.name, value=value, expected="an integer from 0 on")


def check_cursor(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse cursors that are none."""
    del instance, attribute
    if value is not None:
        read_cursor(value)


def check_order(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse orders that are none."""
    del instance
    if value not in ("newest", "oldest"):
        raise InvalidValueError(attribute.name, value=value, expected="'newest' or 'oldest'")
