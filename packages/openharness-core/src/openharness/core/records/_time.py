"""Times are integers: milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

import datetime
import time
from typing import Final

from openharness.core.errors import InvalidValueError

__all__ = ("Moment", "now_ms", "optional_time_ms", "time_ms")

Moment = int | datetime.datetime
"""What a constructor accepts as a time: milliseconds since the epoch, or an aware ``datetime``."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_EARLIEST: Final = -62_135_596_800_000
_LATEST: Final = 253_402_300_799_999


def now_ms() -> int:
    """Return the present time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def time_ms(value: Moment, *, name: str = "time") -> int:
    """Return a time as milliseconds since the epoch.

    Args:
        value: Milliseconds as an ``int``, or an aware ``datetime`` (rounded down to the millisecond).
        name: What to call the value in errors.

    Raises:
        InvalidValueError: For a naive ``datetime``, a ``float``, a ``bool``, anything else, and times outside the
            years 1 to 9999.
    """
    milliseconds = value
    if isinstance(value, datetime.datetime):
        if value.utcoffset() is None:
            raise InvalidValueError(
                name, value=value, expected="milliseconds since the epoch or an aware datetime (this one has no zone)"
            )
        milliseconds = (value - _EPOCH) // _MILLISECOND
    if type(milliseconds) is not int:
        raise InvalidValueError(name, value=value, expected="milliseconds since the epoch as int, or an aware datetime")
    if _EARLIEST <= milliseconds <= _LATEST:
        return milliseconds
    raise InvalidValueError(name, value=value, expected="a time within the years 1 to 9999, UTC")


def optional_time_ms(value: Moment | None, *, name: str = "time") -> int | None:
    """Return `time_ms` of the value, or None for None."""
    return None if value is None else time_ms(value, name=name)
