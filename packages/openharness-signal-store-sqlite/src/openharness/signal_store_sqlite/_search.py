"""Signals that followed each other, found through indexes: no signal and no payload is read.

The names that match the patterns are found first, among all names there are in the file. They lead to the recordings that
have them, from the rarest pattern where one is rare. In each of these the index of a recording's names and positions
tells where the first signal of a name stands after another one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from openharness.core.storage import HavingName, RecordingSearch, name_prefixes
from openharness.signal_store_sqlite import _catalogue as catalogue
from openharness.sqlite import Statement, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from openharness.core import RecordingMatch, RecordingQuery
    from openharness.core.patterns import Pattern, PatternSequence

__all__ = ("FIRST_AFTER", "Search")

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
        self._search: RecordingSearch[bytes] = RecordingSearch(sequence, query)
        self._store = store
        self.found: list[RecordingMatch] = self._search.found

    def step(self, connection: sqlite3.Connection) -> bool:
        """Look into some more recordings, and tell whether there may be others.

        Raises:
            CorruptRecordError: What is known of one of them is damaged.
        """
        search = self._search
        if search.is_vain():
            return False
        with transaction(connection, "DEFERRED"):
            having = search.having
            if having is None:
                having = search.lead(self._having(connection))
            if search.is_vain():
                return False
            statement = catalogue.select_recordings(search.query, having)
            rows = connection.execute(statement.sql, statement.parameters).fetchall()
            infos = [catalogue.found_recording(row, store=self._store) for row in rows]
            catalogue.checked_recordings(infos, search.query, store=self._store)
            return search.take(infos, (self._places(connection, row[0]) for row in rows))

    def _having(self, connection: sqlite3.Connection) -> list[HavingName[bytes]]:
        """Return the names of those patterns that have few, each with the number of recordings that have them."""
        each = [_names(connection, pattern) for pattern in dict.fromkeys(self._search.patterns)]
        return [
            HavingName(tuple(names), _count(connection, names))
            for names in each
            if len(names) <= RecordingSearch.MAX_NAMES
        ]

    def _places(self, connection: sqlite3.Connection, number: int) -> tuple[int, ...] | None:
        """Return where the signals stand that followed each other in a recording, None where they did not."""
        if not self._search.patterns:
            return ()
        names = [name for (name,) in connection.execute(_NAMES_OF, (number,)).fetchall()]
        matched = [(name, self._search.matches(name, partial(_text, name))) for name in names]
        seqs: list[int] = []
        last = -1
        for index in range(len(self._search.patterns)):
            following = [
                seq
                for name, matches in matched
                if matches[index]
                for (seq,) in connection.execute(FIRST_AFTER, (number, name, last)).fetchall()
                if seq is not None
            ]
            if not following:
                return None
            last = min(following)
            seqs.append(last)
        return tuple(seqs)


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
        if count < RecordingSearch.RARE:
            statement = _counting(name, RecordingSearch.RARE - count)
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
