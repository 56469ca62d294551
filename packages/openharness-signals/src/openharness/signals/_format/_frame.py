"""What makes a line one of ours: a JSON object whose last member is the checksum of all the bytes before it."""

from __future__ import annotations

from typing import Final
from zlib import crc32

__all__ = ("END", "FORMAT", "GOES_ON", "SEAL", "SEAL_LENGTH", "begins_sealed", "is_sealed", "seal")

FORMAT: Final = "openharness-recording"
"""The ``format`` of every header."""

SEAL: Final = b',"crc":"%08x"}'
"""How a line ends, around its checksum."""

END: Final = SEAL + b"\n"
"""The same with the line feed."""

GOES_ON: Final = b',"more":true'
"""Stands before the checksum of a line whose append goes on in the next line."""

SEAL_LENGTH: Final = 18
_SEAL_BEGINS: Final = b',"crc":"'


def seal(members: bytes) -> bytes:
    """Return a whole line.

    Args:
        members: The JSON object without its closing brace: ``{"a":1``.

    Returns:
        The object with its last member ``crc`` (the CRC-32 of ``members``, eight hexadecimal digits) and a line feed.
    """
    return members + END % crc32(members)


def is_sealed(line: bytes) -> bool:
    """Tell whether a line, without its line feed, ends in its own checksum."""
    return line[-SEAL_LENGTH:] == SEAL % crc32(line[:-SEAL_LENGTH])


def begins_sealed(text: bytes) -> bool:
    """Tell whether a text begins with a whole line, whatever stands in the place of its line feed."""
    checksum, start = 0, 0
    while (end := text.find(_SEAL_BEGINS, start)) >= 0:
        # Goes on from the part before, so that a text of many such places costs no more than one look at it.
        checksum = crc32(memoryview(text)[start:end], checksum)
        if text[end : end + SEAL_LENGTH] == SEAL % checksum:
            return True
        start = end
        end += 1
        checksum = crc32(text[start:end], checksum)
        start = end
    return False
