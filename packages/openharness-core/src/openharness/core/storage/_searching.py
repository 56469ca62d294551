"""A search for signals that followed each other, through an index of names: what all databases do in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from openharness.core.records import RecordingMatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from openharness.core.patterns import PatternSequence
    from openharness.core.records import RecordingInfo, RecordingQuery

__all__ = ("HavingName", "RecordingSearch")

NameT = TypeVar("NameT", str, bytes)


@attrs.frozen
class HavingName(Generic[NameT]):
    """That a recording has a signal of one of some names.

    Attributes:
        names: The names, as they are in the index.
        frequency: How many recordings have them, or so many that it does not matter.
        leads: Whether to begin with the recordings that have them.
    """

    names: tuple[NameT, ...]
    frequency: int = 0
    leads: bool = False


class RecordingSearch(Generic[NameT]):
    """How far one search has come.

    The store asks its index which names there are and how many recordings have them, hands that to `lead`, and then looks
    into `CANDIDATES` recordings at a time: those that `query` finds, until `take` says that there are no more.

    Args:
        sequence: What is looked for.
        query: Further conditions, and the page.

    Attributes:
        CANDIDATES: How many recordings are looked into at a time; others may read in between.
        RARE: Up to how many recordings it is better to begin with the name than with the newest recording.
        MAX_NAMES: How many names a pattern may match; with more it says little about a recording, and is tried in the
            recording alone.
        patterns: The patterns that signals must match one after the other.
        query: The next recordings to look into.
        having: What a recording must have to be looked into; None until `lead`.
        found: What has been found.
    """

    CANDIDATES: Final = 100
    RARE: Final = 1_000
    MAX_NAMES: Final = 500

    def __init__(self, sequence: PatternSequence, query: RecordingQuery) -> None:
        self.patterns = sequence.patterns
        self.query = attrs.evolve(query, limit=self.CANDIDATES, offset=0)
        self.having: Sequence[HavingName[NameT]] | None = None
        self.found: list[RecordingMatch] = []
        self._limit = query.limit
        self._skip = query.offset
        self._matched: dict[NameT, tuple[bool, ...]] = {}

    def is_vain(self) -> bool:
        """Tell whether nothing can be found: nothing is wanted, or no recording has what is looked for."""
        return self._limit == 0 or (self.having is not None and any(not one.names for one in self.having))

    def lead(self, having: Iterable[HavingName[NameT]]) -> Sequence[HavingName[NameT]]:
        """Say what a recording must have, one for each pattern that has at most `MAX_NAMES` names; return `having`.

        The rarest comes first, and leads if it is rare: then the recordings that have it are all that is looked into.
        """
        ordered = sorted(having, key=lambda one: one.frequency)
        if ordered and ordered[0].frequency < self.RARE:
            ordered[0] = attrs.evolve(ordered[0], leads=True)
        self.having = ordered
        return ordered

    def matches(self, name: NameT, text: Callable[[], str]) -> tuple[bool, ...]:
        """Tell which of the patterns a name matches.

        Args:
            name: The name, as it is in the index.
            text: Gives the name itself; asked once for each name.
        """
        known = self._matched.get(name)
        if known is None:
            whole = text()
            known = self._matched[name] = tuple(pattern.matches(whole) for pattern in self.patterns)
        return known

    def take(self, infos: Sequence[RecordingInfo], places: Iterable[tuple[int, ...] | None]) -> bool:
        """Take what was looked into, and tell whether there may be more.

        Args:
            infos: The recordings that `query` found, in its order.
            places: For each of them where the signals stand, one for each pattern; None where they did not follow each
                other. It is not asked for more than are needed.
        """
        for info, seqs in zip(infos, places, strict=False):
            if seqs is None:
                continue
            if self._skip:
                self._skip -= 1
                continue
            self.found.append(RecordingMatch(info, seqs))
            if len(self.found) == self._limit:
                return False
        if len(infos) < self.CANDIDATES:
            return False
        self.query = self.query.next_page(infos[-1])
        return True
