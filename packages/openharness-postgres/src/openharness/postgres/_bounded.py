"""Texts of any length in an index, which takes short ones only."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ("bounded",)

_LONGEST: Final = 256
"""In bytes, how much of a text is indexed as it is. What an index of PostgreSQL holds is 2,704 bytes at most."""


def bounded(text: str) -> str:
    """Return a text as it is indexed: itself or, of a long one, its beginning and a digest of all of it.

    What is not whole is longer than anything that is, so the two cannot be taken for each other.
    """
    if len(text) * 4 <= _LONGEST:
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= _LONGEST:
        return text
    return f"{data[:_LONGEST].decode(errors='ignore')}#{blake2b(data, digest_size=16).hexdigest()}"
