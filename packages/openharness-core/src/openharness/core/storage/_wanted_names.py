"""Which names of signals a reader wants, as far as an index can tell.

Patterns are tried on the names that there are, which are few beside the signals. What remains are names to look for,
whatever the patterns were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.patterns import compile_pattern
from openharness.core.storage._log_reading import name_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openharness.core.patterns import Pattern, PatternLike

__all__ = ("WantedNames", "WantedSignals", "name_prefixes")

_MAX_WANTED: Final = 8
"""How many names are looked for through the index: a page of each is, and only one page of all of them is used."""


@attrs.frozen
class WantedSignals:
    """What to read of a recording.

    Attributes:
        names: The names to look for, as they are in the index; None to read every signal.
        matches: Tells whether a signal that was read is wanted; None where all are.
    """

    names: tuple[str, ...] | None = None
    matches: Callable[[str], bool] | None = None


class WantedNames:
    """The names that patterns stand for.

    Args:
        patterns: As in `SignalStore.iter_signals`.

    Attributes:
        prefixes: What the wanted names begin with, as in `name_prefixes`; none where every signal is wanted.
        most: On how many names of a recording patterns are tried; where there are more, all signals are read and filtered.

    Raises:
        PatternError: A pattern is not well formed.
    """

    most: Final = 64

    def __init__(self, patterns: PatternLike | Sequence[PatternLike]) -> None:
        several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
        self.prefixes = tuple(name_prefixes(map(compile_pattern, several)))
        self._matches = name_filter(several)

    def among(self, names: Mapping[str, str] | None) -> WantedSignals:
        """Return what to read of a recording.

        Args:
            names: The names that it has with these prefixes, by what they are in the index; perhaps some others too. None
                where patterns could not be tried on all of them.
        """
        if not self.prefixes:
            return WantedSignals()
        if names is not None and len(names) <= self.most:
            wanted = sorted(indexed for indexed, name in names.items() if self._matches(name))
            if len(wanted) <= _MAX_WANTED:
                return WantedSignals(tuple(wanted), self._matches)
        return WantedSignals(matches=self._matches)


def name_prefixes(patterns: Iterable[Pattern]) -> list[str]:
    """Return what the names begin with that patterns match, for an index of names; none begins with another one."""
    kept: list[str] = []
    for prefix in sorted(map(_prefix, patterns)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


def _prefix(pattern: Pattern) -> str:
    if not isinstance(pattern.source, str):
        return ""
    if pattern.is_literal:
        return pattern.source
    # ``tool:**`` also matches ``tool``.
    return pattern.source.partition("*")[0].removesuffix(":")
