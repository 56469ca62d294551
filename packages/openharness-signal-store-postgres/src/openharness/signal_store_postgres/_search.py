"""Signals that followed each other, found through indexes: no payload is read.

The names that match the patterns are found first, among all names there are in the database. They lead to the recordings
that have them, from the rarest pattern where one is rare. In each of these the index of a recording's names and positions
tells where the first signal of a name stands after another one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from openharness.core.storage import HavingName, RecordingSearch, name_prefixes
from openharness.signal_store_postgres._catalogue import Catalogue, checked_recordings, found_recording
from openharness.signal_store_postgres._names import indexed_prefix
from openharness.signal_store_postgres._rows import indexed_name, name_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core import RecordingMatch, RecordingQuery
    from openharness.core.patterns import Pattern, PatternSequence
    from openharness.postgres import Channel, Names

__all__ = ("Search", "Searches")


class Searches:
    """The statements of searches, for one store.

    Args:
        names: Where its tables are.
    """

    def __init__(self, names: Names) -> None:
        signals, known, unless_newer = names("signals"), names("signal_names"), names.unless_newer
        self.catalogue = Catalogue(names)
        # The index leads from one name to the next, however many recordings have it.
        self.names = (
            f"WITH RECURSIVE walk (name) AS ((SELECT name FROM {known} WHERE name >= $1::text ORDER BY name LIMIT 1) "  # noqa: S608
            f"UNION ALL SELECT (SELECT next.name FROM {known} AS next WHERE next.name > walk.name ORDER BY next.name LIMIT 1) "
            "FROM walk WHERE starts_with(walk.name, $1::text)) "
            f"SELECT walk.name, (SELECT had.long_name FROM {known} AS had WHERE had.name = walk.name LIMIT 1) "
            f"FROM walk WHERE starts_with(walk.name, $1::text) AND {unless_newer}"
        )
        self.count = (
            f"SELECT count(*) FROM (SELECT 1 FROM {known} WHERE name = ANY ($1::text[]) LIMIT {RecordingSearch.RARE}) "  # noqa: S608
            f"AS several WHERE {unless_newer}"
        )
        self.names_of = (
            f"SELECT recording, name, long_name FROM {known} WHERE recording = ANY ($1::bigint[]) AND {unless_newer}"  # noqa: S608
        )
        self.first_after = (
            "SELECT asked.recording, min(found.seq) FROM unnest($1::bigint[], $2::text[], $3::bigint[]) "  # noqa: S608
            f"AS asked (recording, name, last) CROSS JOIN LATERAL (SELECT seq FROM {signals} AS signals "
            "WHERE signals.recording = asked.recording AND signals.name = asked.name AND signals.seq > asked.last "
            f"ORDER BY seq LIMIT 1) AS found WHERE {unless_newer} GROUP BY asked.recording"
        )


class Search:
    """One search.

    Args:
        searches: The statements.
        sequence: What is looked for.
        query: Further conditions, and the page.
        store: What the store calls itself in errors.

    Attributes:
        found: What has been found, once there is nothing more to do.
    """

    def __init__(self, searches: Searches, sequence: PatternSequence, query: RecordingQuery, *, store: str) -> None:
        self._searches = searches
        self._search: RecordingSearch[str] = RecordingSearch(sequence, query)
        self._store = store
        self.found: list[RecordingMatch] = self._search.found

    async def step(self, channel: Channel) -> bool:
        """Look into some more recordings, and tell whether there may be others.

        Raises:
            CorruptRecordError: What is known of one of them is damaged.
        """
        search = self._search
        if search.is_vain():
            return False
        having = search.having
        if having is None:
            having = search.lead(await self._having(channel))
        if search.is_vain():
            return False
        sql, values = self._searches.catalogue.select(search.query, having)
        rows = await channel.fetch(sql, *values)
        infos = [found_recording(row, store=self._store) for row in rows]
        checked_recordings(infos, search.query, store=self._store)
        numbers = [row["number"] for row in rows]
        places = await self._places(channel, dict(zip(numbers, (info.signal_count for info in infos), strict=True)))
        # From here on nothing is waited for: a step is done again from its beginning, or not at all.
        return search.take(infos, map(places.get, numbers))

    async def _having(self, channel: Channel) -> list[HavingName[str]]:
        """Return the names of those patterns that have few, each with the number of recordings that have them."""
        having: list[HavingName[str]] = []
        for pattern in dict.fromkeys(self._search.patterns):
            names = await self._names(channel, pattern)
            if len(names) <= RecordingSearch.MAX_NAMES:
                ((count,),) = await channel.fetch(self._searches.count, names)
                having.append(HavingName(tuple(names), count))
        return having

    async def _names(self, channel: Channel, pattern: Pattern) -> list[str]:
        """Return the names that a pattern matches, of all that signals have here, as they are in the index."""
        if pattern.is_literal:
            return [indexed_name(pattern.text)[0]]
        (prefix,) = name_prefixes((pattern,))
        rows = await channel.fetch(self._searches.names, indexed_prefix(prefix))
        return [row[0] for row in rows if pattern.matches(name_from(*row))]

    async def _places(self, channel: Channel, counts: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
        """Return where the signals stand that followed each other, for those recordings that have such.

        Args:
            channel: An open connection.
            counts: How many signals each recording has. Those that were appended since then do not count.
        """
        found: dict[int, tuple[int, ...]] = dict.fromkeys(counts, ())
        if not self._search.patterns or not counts:
            return found
        names: dict[int, list[tuple[str, tuple[bool, ...]]]] = {}
        for number, name, long_name in await channel.fetch(self._searches.names_of, list(counts)):
            matched = self._search.matches(name, partial(name_from, name, long_name))
            names.setdefault(number, []).append((name, matched))
        for index in range(len(self._search.patterns)):
            asked = [
                (number, name, seqs[-1] if seqs else -1)
                for number, seqs in found.items()
                for name, matched in names.get(number, ())
                if matched[index]
            ]
            if not asked:
                return {}
            rows = await channel.fetch(self._searches.first_after, *zip(*asked, strict=True))
            found = {number: (*found[number], seq) for number, seq in rows if seq < counts[number]}
        return found
