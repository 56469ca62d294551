"""Which names of signals a reader wants, as far as an index can tell.

Patterns are tried on the names that a recording has, which are few beside its signals. What remains are names to look
for, whatever the patterns were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.patterns import compile_pattern
from openharness.core.storage import name_filter, name_prefixes
from openharness.postgres import bounded
from openharness.signal_store_postgres._rows import name_from, stored_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.patterns import PatternLike
    from openharness.postgres import Channel, Names

__all__ = ("Wanted", "WantedNames", "indexed_prefix")

_MAX_TRIED: Final = 64
"""On how many names of a recording patterns are tried; where there are more, all signals are read and filtered."""
_MAX_WANTED: Final = 8
"""How many names are looked for through the index: a page of each is, and only one page of all of them is used."""


@attrs.frozen
class Wanted:
    """What to read.

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

    Raises:
        PatternError: A pattern is not well formed.
    """

    def __init__(self, patterns: PatternLike | Sequence[PatternLike]) -> None:
        several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
        self._patterns = tuple(map(compile_pattern, several))
        self._matches = name_filter(several)

    async def of(self, channel: Channel, tables: Names, number: int) -> Wanted:
        """Return what to read of one recording.

        Args:
            channel: An open connection.
            tables: Where the tables are.
            number: The number of the recording.
        """
        if not self._patterns:
            return Wanted()
        rows = await channel.fetch(
            f"SELECT name, long_name FROM {tables('signal_names')} WHERE recording = $1 "  # noqa: S608 - names of our own
            f"AND EXISTS (SELECT FROM unnest($2::text[]) AS begin WHERE starts_with(name, begin)) LIMIT {_MAX_TRIED + 1}",
            number,
            [indexed_prefix(prefix) for prefix in name_prefixes(self._patterns)],
        )
        names = sorted(row[0] for row in rows if self._matches(name_from(*row)))
        if len(rows) > _MAX_TRIED or len(names) > _MAX_WANTED:
            return Wanted(matches=self._matches)
        return Wanted(tuple(names), self._matches)


def indexed_prefix(prefix: str) -> str:
    """Return what the indexed names begin with whose names begin with a prefix; those of others may begin with it too."""
    text = stored_text(prefix)
    return text if bounded(text) == text else bounded(text).rpartition("#")[0]
