"""Names of signals that followed each other: the rule of `SignalStore.search_recordings`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from openharness.core.patterns._pattern import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core.patterns._pattern import Pattern, PatternLike

__all__ = ("PatternSequence", "SequenceSearch")


class PatternSequence:
    """Patterns of signals, each to be followed by the next; other signals may come in between.

    Args:
        patterns: One pattern, or several in their order.

    Raises:
        PatternError: A pattern is not well formed.

    Attributes:
        patterns: The compiled patterns.
    """

    def __init__(self, patterns: PatternLike | Sequence[PatternLike]) -> None:
        several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
        self.patterns: tuple[Pattern, ...] = tuple(map(compile_pattern, several))

    @property
    def sources(self) -> list[PatternLike]:
        """The patterns as `SignalStore.iter_signals` takes them."""
        return [pattern.source for pattern in self.patterns]

    def search(self) -> SequenceSearch:
        """Begin a search, which is handed the signals of one recording."""
        return SequenceSearch(self)

    def find(self, names: Iterable[tuple[int, str]]) -> tuple[int, ...] | None:
        """Return where the patterns match one after the other, each at the first place after the one before.

        Args:
            names: The seq and the name of signals, in order; those that no pattern matches may be left out. No more of
                them are taken than are needed.

        Returns:
            A seq for each pattern; None where the signals do not follow each other so.
        """
        search = self.search()
        if search.found is None:
            for seq, name in names:
                if search.take(seq, name):
                    break
        return search.found


class SequenceSearch:
    """One search, which is handed the signals of a recording one by one."""

    def __init__(self, sequence: PatternSequence) -> None:
        self._patterns = sequence.patterns
        self._seqs: list[int] = []

    @property
    def found(self) -> tuple[int, ...] | None:
        """A seq for each pattern; None as long as one is missing."""
        return tuple(self._seqs) if len(self._seqs) == len(self._patterns) else None

    def take(self, seq: int, name: str) -> bool:
        """Look at the next signal, and tell whether nothing more is needed."""
        if self._patterns[len(self._seqs)].matches(name):
            self._seqs.append(seq)
        return len(self._seqs) == len(self._patterns)
