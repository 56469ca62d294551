"""Which names of signals a reader wants: those that a recording has, and how their beginnings are indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core.storage import WantedNames as CoreWantedNames
from openharness.postgres import bounded
from openharness.signal_store_postgres._rows import name_from, stored_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.storage import WantedSignals

__all__ = ("WantedNames", "indexed_prefix")


class WantedNames(CoreWantedNames):
    """The names that patterns stand for.

    Args:
        patterns: As in `SignalStore.iter_signals`.

    Raises:
        PatternError: A pattern is not well formed.
    """

    @property
    def indexed(self) -> list[str]:
        """What the indexed names begin with that may be wanted."""
        return [indexed_prefix(prefix) for prefix in self.prefixes]

    def of(self, rows: Sequence[tuple[str, str | None]]) -> WantedSignals:
        """Return what to read of one recording.

        Args:
            rows: Its names that begin with one of `indexed`, at most one more than `most`: as they are in the index, and
                in whole where that is not the same.
        """
        return self.among({name: name_from(name, long_name) for name, long_name in rows})


def indexed_prefix(prefix: str) -> str:
    """Return what the indexed names begin with whose names begin with a prefix; those of others may begin with it too."""
    text = stored_text(prefix)
    return text if bounded(text) == text else bounded(text).rpartition("#")[0]
