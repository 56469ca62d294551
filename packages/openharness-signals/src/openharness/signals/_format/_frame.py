"""What makes a line one of ours: a JSON object whose last member is the checksum of all the bytes before it."""

from __future__ import annotations

from typing import Final
from zlib import crc32

__all__ = ("FORMAT", "is_sealed", "seal")

FORMAT: Final = "openharness-recording"
"""The ``format`` of every header."""

_SEAL: Final = b',"crc":"%08x"}'
_SEAL_LENGTH: Final = 18


def seal(members: bytes, *, goes_on: bool = False) -> bytes:
    """Return a whole line.

    Args:
        members: The JSON object without its closing brace: ``{"a":1``.
        goes_on: Whether the line belongs to an append that goes on in the next line; it then says ``"more":true``.

    Returns:
        The object with its last member ``crc`` (the CRC-32 of ``members``, eight hexadecimal digits) and a line feed.
    """
    if goes_on:
        members += b',"more":true'
    return b'%b,"crc":"%08x"}\n' % (members, crc32(members))


def is_sealed(line: bytes) -> bool:
    """Tell whether a line, without its line feed, ends in its own checksum."""
    return line[-_SEAL_LENGTH:] == _SEAL % crc32(line[:-_SEAL_LENGTH])
