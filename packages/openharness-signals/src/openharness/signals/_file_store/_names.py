"""File names for fixtures: readable where the name allows it, safe on every file system for every name."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

__all__ = ("SUFFIX", "file_stem", "stem_as_name")

SUFFIX: Final = ".jsonl"

_ORDINARY: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9_-])?")
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9])(?:\..*)?")
_MAX_ORDINARY: Final = 200
_UNREADABLE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_SHOWN: Final = 80
_DIGEST_BYTES: Final = 16


def file_stem(name: str) -> str:
    """Return the name of the file for a fixture name, without the suffix.

    An ordinary name is its own file name: lower-case letters, digits, ``-``, ``_`` and ``.`` (neither first nor last),
    and none of the names Windows reserves. Any other becomes what is readable of it, a ``~`` and 32 hexadecimal digits
    of its BLAKE2b hash: different names are different files, also where case does not count, and none leads elsewhere.

    Args:
        name: The fixture name, or the id of a recording.
    """
    if stem_as_name(name) is not None:
        return name
    readable = _UNREADABLE.sub("-", name)[:_SHOWN].strip("-")
    return f"{readable}~{blake2b(name.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"


def stem_as_name(stem: str) -> str | None:
    """Return the fixture name that a file name spells out; None if it only holds the hash of one."""
    is_ordinary = len(stem) <= _MAX_ORDINARY and _ORDINARY.fullmatch(stem) and not _RESERVED.fullmatch(stem)
    return stem if is_ordinary else None
