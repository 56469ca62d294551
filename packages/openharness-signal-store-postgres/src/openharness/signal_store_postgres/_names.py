"""Which names of signals a reader wants: those that a recording has, and how their beginnings are indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core.storage import WantedNames as CoreWantedNames
from openharness.postgres import bounded
from openharness.signal_store_postgres._rows import name_from, stored_text

if TYPE_CHECKING:
    from openharness.core.storage import WantedSignals
    from openharness.postgres import Channel, Names

__all__ = ("WantedNames", "indexed_prefix")


class WantedNames(CoreWantedNames):
    """The names that patterns stand for.

    Args:
        patterns: As in `SignalStore.iter_signals`.

    Raises:
        PatternError: A pattern is not well formed.
    """

    async def of(self, channel: Channel, tables: Names, number: int) -> WantedSignals:
        """Return what to read of one recording.

        Args:
            channel: An open connection.
            tables: Where the tables are.
            number: The number of the recording.
        """
        if not self.prefixes:
            return self.among({})
        rows = await channel.fetch(
            f"SELECT name, long_name FROM {tables('signal_names')} WHERE recording = $1 "  # noqa: S608 - names of our own
            "AND EXISTS (SELECT FROM unnest($2::text[]) AS begin WHERE starts_with(name, begin)) "
            f"AND {tables.unless_newer} LIMIT {self.most + 1}",
            number,
            [indexed_prefix(prefix) for prefix in self.prefixes],
        )
        return self.among({name: name_from(name, long_name) for name, long_name in rows})


def indexed_prefix(prefix: str) -> str:
    """Return what the indexed names begin with whose names begin with a prefix; those of others may begin with it too."""
    text = stored_text(prefix)
    return text if bounded(text) == text else bounded(text).rpartition("#")[0]
