"""Which names of signals a reader wants, as far as an index can tell.

Patterns are tried on the names that a recording has, which are few beside its signals: the index leads from one to the
next. What remains are names to look for, whatever the patterns were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.patterns import compile_pattern
from openharness.core.storage import name_filter, name_prefixes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from openharness.core.patterns import PatternLike

__all__ = ("Wanted", "WantedNames")

_MAX_TRIED: Final = 64
"""On how many names of a recording patterns are tried; where there are more, all signals are read and filtered."""
_MAX_WANTED: Final = 8
"""How many names are looked for through the index: a page of each is, and only one page of all of them is used."""

_NEXT: Final = "SELECT min(name) FROM signals WHERE recording = ? AND name > ?"
_FIRST: Final = "SELECT min(name) FROM signals WHERE recording = ? AND name >= ?"


@attrs.frozen
class Wanted:
    """What to read.

    Attributes:
        names: The names to look for; None to read every signal.
        matches: Tells whether a signal that was read is wanted; None where all are.
    """

    names: tuple[str, ...] | None = None
    matches: Callable[[str], bool] | None = None


class WantedNames:
    """The names that patterns stand for.

    Args:
        patterns: As in `SignalStore.iter_signals`.

    Raises:
        PatternError: A pattern is not well formed.
    """

    def __init__(self, patterns: PatternLike | Sequence[PatternLike]) -> None:
        several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
        self._patterns = tuple(map(compile_pattern, several))
        self._matches = name_filter(several)

    def of(self, connection: sqlite3.Connection, number: int) -> Wanted:
        """Return what to read of one recording.

        Args:
            connection: A connection that gives text as bytes.
            number: The number of the recording.
        """
        if not self._patterns:
            return Wanted()
        filtered = Wanted(matches=self._matches)
        found: set[str] = set()
        for prefix in name_prefixes(self._patterns):
            some = _names_from(connection, number, prefix, _MAX_TRIED - len(found))
            if some is None:
                return filtered
            found.update(some)
        wanted = sorted(filter(self._matches, found))
        return filtered if len(wanted) > _MAX_WANTED else Wanted(tuple(wanted), self._matches)


def _names_from(connection: sqlite3.Connection, number: int, prefix: str, limit: int) -> list[str] | None:
    """Return the names with a prefix; None if there are more than ``limit``, or some that no pattern could be tried on."""
    names: list[str] = []
    statement, last = _FIRST, prefix
    while True:
        (found,) = connection.execute(statement, (number, last)).fetchone()
        if found is None:
            return names
        try:
            last = found.decode()
        except UnicodeDecodeError:
            return None
        if not last.startswith(prefix):
            return names
        if len(names) == limit:
            return None
        names.append(last)
        statement = _NEXT
