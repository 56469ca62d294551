"""What a test session has to remember of its tests, in one process or in many."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pathlib

__all__ = ("Books",)


@dataclasses.dataclass
class Books:
    """Which tests there were, how they ended, and which recordings they used.

    Everything is made of texts, for the processes of pytest-xdist send it to one another.

    Attributes:
        collected: The folder and the name of the recordings of every test, by node id.
        ended: The node ids of the tests that were run to their end.
        passed: Those of the tests that passed.
        used: Folders and names of the recordings that were replayed or recorded.
        gaps: Why the session did not run all that there is to run.
    """

    collected: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict[str, tuple[str, str]])
    ended: set[str] = dataclasses.field(default_factory=set[str])
    passed: set[str] = dataclasses.field(default_factory=set[str])
    used: set[tuple[str, str]] = dataclasses.field(default_factory=set[tuple[str, str]])
    gaps: set[str] = dataclasses.field(default_factory=set[str])

    def use(self, folder: pathlib.Path, name: str) -> None:
        """Remember that a recording was replayed or recorded."""
        self.used.add((str(folder), name))

    def sharing(self, folder: pathlib.Path, name: str) -> list[str]:
        """Return the node ids of the tests whose first run has this name."""
        return sorted(test for test, place in self.collected.items() if place == (str(folder), name))

    def end(self, test: str, *, passed: bool) -> None:
        """Remember how a test ended; when it is run again, the last time counts."""
        self.ended.add(test)
        if passed:
            self.passed.add(test)
        else:
            self.passed.discard(test)

    def as_data(self) -> dict[str, Any]:
        """Return all this as lists and texts."""
        return {
            "collected": {test: list(place) for test, place in self.collected.items()},
            "ended": sorted(self.ended),
            "passed": sorted(self.passed),
            "used": sorted(map(list, self.used)),
            "gaps": sorted(self.gaps),
        }

    def add(self, data: dict[str, Any]) -> None:
        """Add what another process remembered, as `as_data` gave it."""
        places = cast("dict[str, list[str]]", data["collected"])
        self.collected.update({test: (folder, name) for test, (folder, name) in places.items()})
        self.ended.update(data["ended"])
        self.passed.update(data["passed"])
        self.used.update((folder, name) for folder, name in data["used"])
        self.gaps.update(data["gaps"])
