"""Identifiers: what may be one, and new ones that sort by time."""

from __future__ import annotations

import os
import re
import secrets
import threading
from typing import Final

from openharness.core.errors import InvalidValueError
from openharness.core.records._time import now_ms

__all__ = ("check_id", "new_id", "optional_id")

MAX_ID_BYTES: Final = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS, _RANDOM_BITS = 10, 60

_lock = threading.Lock()
_last = 0


def _renew_lock() -> None:
    """A process is forked with the lock as it is, held perhaps by a thread that it does not have."""
    global _lock  # noqa: PLW0603 - the lock lives as long as the module
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def check_id(value: object, *, name: str = "id") -> str:
    """Return ``value`` if it can be an identifier in every store.

    Args:
        value: The identifier: 1 to 200 bytes of UTF-8 without control characters. Anything else in it is only text:
            slashes, dots, quotes and upper case have no meaning.
        name: What to call it in errors.

    Raises:
        InvalidValueError: When it is not.
    """
    if type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ID_BYTES:
        return value
    expected = f"a string of 1 to {MAX_ID_BYTES} bytes without control characters"
    if not isinstance(value, str):
        raise InvalidValueError(name, value=value, expected=expected)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(name, value=value, expected=f"{expected} or surrogates") from None
    if not 0 < size <= MAX_ID_BYTES or _CONTROL.search(value):
        raise InvalidValueError(name, value=value, expected=expected)
    return str.__str__(value)


def optional_id(value: object, *, name: str = "id") -> str | None:
    """Return ``value`` as `check_id` does, or None for None."""
    return None if value is None else check_id(value, name=name)


def new_id(prefix: str) -> str:
    """Return a new identifier that sorts after those made before it: ``run_01k9…``.

    22 characters follow the prefix and its underscore: 10 of time (milliseconds) and 12 of chance. Within one process
    the order is strict, even within a millisecond and when the clock is set back; ids of several processes are in the
    order of their clocks.

    Args:
        prefix: What is identified: ``"run"``, ``"rec"``.

    Raises:
        InvalidValueError: With this prefix it would be no identifier.
    """
    global _last  # noqa: PLW0603 - the last id made is what makes the next one greater
    with _lock:
        fresh = (now_ms() << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        # A clock that stands still or goes back must not break the order.
        _last = fresh if fresh > _last else _last + 1 + secrets.randbits(_RANDOM_BITS // 2)
        number = _last
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range((_TIME_DIGITS + 12 - 1) * 5, -1, -5)]
    return check_id(f"{prefix}_{''.join(digits)}")
