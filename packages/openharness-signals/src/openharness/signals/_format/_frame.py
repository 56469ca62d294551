"""What makes a line one of ours: a JSON object whose last member is the checksum of all the bytes before it."""

from __future__ import annotations

from typing import Final
from zlib import crc32

__all__ = ("FORMAT", "begins_sealed", "is_sealed", "seal")

FORMAT: Final = "openharness-recording"
"""The ``format`` of every header."""

_SEAL: Final = b',"crc":"%08x"}'
_SEAL_LENGTH: Final = 18
_SEAL_BEGINS: Final = b',"crc":"'


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


def begins_sealed(text: bytes) -> bool:
    """Tell whether a text begins with a whole line, whatever stands in the place of its line feed."""
    checksum, start = 0, 0
    while (end := text.find(_SEAL_BEGINS, start)) >= 0:
        # Goes on from the part before, so that a text of many such places costs no more than one look at it.
        checksum = crc32(memoryview(text)[start:end], checksum)
        if text[end : end + _SEAL_LENGTH] == _SEAL % checksum:
            return True
        start = end
        end += 1
        checksum = crc32(text[start:end], checksum)
        start = end
    return False
