"""Signals that followed each other, found through indexes: no signal and no payload is read.

The names that match the patterns are found first, among all names there are in the file. They lead to the recordings that
have them, from the rarest pattern where one is rare. In each of these the index of a recording's names and positions
tells where the first signal of a name stands after another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import RecordingMatch
from openharness.core.storage import name_prefixes
from openharness.signal_store_sqlite import _catalogue as catalogue
from openharness.sqlite import Statement, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from openharness.core import RecordingQuery
    from openharness.core.patterns import Pattern, PatternSequence

__all__ = ("FIRST_AFTER", "Search")

_CANDIDATES: Final = 100
"""How many recordings are looked into at a time; others may read in between."""
_RARE: Final = 1_000
"""Up to how many recordings it is better to begin with the name than with the newest recording."""
_MAX_NAMES: Final = 500
"""A pattern that more names match says little about a recording, and is tried in the recording alone."""

_FIRST_NAME: Final = "SELECT min(name) FROM signal_names WHERE name >= ?"
_NEXT_NAME: Final = "SELECT min(name) FROM signal_names WHERE name > CAST(? AS TEXT)"
_NAMES_OF: Final = "SELECT name FROM signal_names WHERE recording = ? ORDER BY name"
FIRST_AFTER: Final = "SELECT min(seq) FROM signals WHERE recording = ? AND name = CAST(? AS TEXT) AND seq > ?"
"""Where the next signal of a name stands. Answered by the index alone."""


class Search:
    """One search. Its methods run on the thread of a connection that gives text as bytes.

    Args:
        sequence: What is looked for.
        query: Further conditions, and the page.
        store: What the store calls itself in errors.

    Attributes:
        found: What has been found, once there is nothing more to do.
    """

    def __init__(self, sequence: PatternSequence, query: RecordingQuery, *, store: str) -> None:
        self._patterns = sequence.patterns
        self._page = query
        self._query = attrs.evolve(query, limit=_CANDIDATES, offset=0)
        self._skip = query.offset
        self._store = store
        self._having: list[catalogue.HavingName] | None = None
        self._matched: dict[bytes, tuple[bool, ...]] = {}
        self.found: list[RecordingMatch] = []

    def step(self, connection: sqlite3.Connection) -> bool:
        """Look into some more recordings, and tell whether there may be others.

        Raises:
            CorruptRecordError: What is known of one of them is damaged.
        """
        if self._page.limit == 0:
            return False
        with transaction(connection, "DEFERRED"):
            if self._having is None:
                self._having = self._prepared(connection)
            if any(not having.names for having in self._having):
                return False
            statement = catalogue.select_recordings(self._query, self._having)
            rows = connection.execute(statement.sql, statement.parameters).fetchall()
            infos = catalogue.found_recordings(rows, self._query, store=self._store)
            for row, info in zip(rows, infos, strict=True):
                seqs = self._places(connection, row[0])
                if seqs is None:
                    continue
                if self._skip:
                    self._skip -= 1
                    continue
                self.found.append(RecordingMatch(info, seqs))
                if len(self.found) == self._page.limit:
                    return False
        if len(rows) < _CANDIDATES:
            return False
        self._query = self._query.next_page(infos[-1])
        return True

    def _prepared(self, connection: sqlite3.Connection) -> list[catalogue.HavingName]:
        """What a recording must have to be looked into, the rarest first if there is a rare one."""
        having: list[catalogue.HavingName] = []
        for pattern in dict.fromkeys(self._patterns):
            names = _names(connection, pattern)
            if len(names) <= _MAX_NAMES:
                having.append(catalogue.HavingName(tuple(names), _count(connection, names)))
        having.sort(key=lambda one: one.frequency)
        if having and having[0].frequency < _RARE:
            having[0] = attrs.evolve(having[0], leads=True)
        return having

    def _places(self, connection: sqlite3.Connection, number: int) -> tuple[int, ...] | None:
        if not self._patterns:
            return ()
        names = [name for (name,) in connection.execute(_NAMES_OF, (number,)).fetchall()]
        seqs: list[int] = []
        last = -1
        for index in range(len(self._patterns)):
            following = [
                seq
                for name in names
                if self._matches(name)[index]
                for (seq,) in connection.execute(FIRST_AFTER, (number, name, last)).fetchall()
                if seq is not None
            ]
            if not following:
                return None
            last = min(following)
            seqs.append(last)
        return tuple(seqs)

    def _matches(self, name: bytes) -> tuple[bool, ...]:
        """Which of the patterns match a name."""
        known = self._matched.get(name)
        if known is None:
            text = _text(name)
            known = self._matched[name] = tuple(pattern.matches(text) for pattern in self._patterns)
        return known


def _names(connection: sqlite3.Connection, pattern: Pattern) -> list[bytes]:
    """Return the names that a pattern matches, of all that signals have in this file."""
    if pattern.is_literal:
        return [pattern.text.encode()]
    names: list[bytes] = []
    (prefix,) = name_prefixes((pattern,))
    begin = prefix.encode()
    (found,) = connection.execute(_FIRST_NAME, (prefix,)).fetchone()
    # The index leads from one name to the next, however many recordings have it.
    while found is not None and found.startswith(begin):
        if pattern.matches(_text(found)):
            names.append(found)
        (found,) = connection.execute(_NEXT_NAME, (found,)).fetchone()
    return names


def _count(connection: sqlite3.Connection, names: Sequence[bytes]) -> int:
    """Return how many recordings have these names, or so many that it does not matter."""
    count = 0
    for name in names:
        if count < _RARE:
            statement = _counting(name, _RARE - count)
            count += connection.execute(statement.sql, statement.parameters).fetchone()[0]
    return count


def _counting(name: bytes, limit: int) -> Statement:
    return Statement(
        "SELECT count(*) FROM (SELECT 1 FROM signal_names WHERE name = CAST(? AS TEXT) LIMIT ?)", (name, limit)
    )


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return name.decode("utf-8", "replace")
