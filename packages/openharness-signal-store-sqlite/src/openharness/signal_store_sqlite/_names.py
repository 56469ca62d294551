"""Which names of signals a reader wants: the index leads from one name that a recording has to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.storage import WantedNames as CoreWantedNames
from openharness.core.storage import WantedSignals

if TYPE_CHECKING:
    import sqlite3

__all__ = ("WantedNames",)

_NEXT: Final = "SELECT min(name) FROM signals WHERE recording = ? AND name > ?"
_FIRST: Final = "SELECT min(name) FROM signals WHERE recording = ? AND name >= ?"


class WantedNames(CoreWantedNames):
    """The names that patterns stand for.

    Args:
        patterns: As in `SignalStore.iter_signals`.

    Raises:
        PatternError: A pattern is not well formed.
    """

    def of(self, connection: sqlite3.Connection, number: int) -> WantedSignals:
        """Return what to read of one recording.

        Args:
            connection: A connection that gives text as bytes.
            number: The number of the recording.
        """
        found: dict[str, str] = {}
        for prefix in self.prefixes:
            some = _names_from(connection, number, prefix, self.most - len(found))
            if some is None:
                return self.among(None)
            found.update(zip(some, some, strict=True))
        return self.among(found)


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
