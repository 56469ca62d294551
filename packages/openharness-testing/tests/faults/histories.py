"""What was asked of a store and what it acknowledged, and whether what the store holds agrees with that.

A history knows things by name (a run, the signals of a recording, what a fixture name means), and of each the changes
that were begun, in order, and which were acknowledged. A thing may have the value of its last acknowledged change, or of
one that was begun after that.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

__all__ = ("Change", "History", "Verdict")

Thing = tuple[str, ...]
NEVER = float("inf")


@attrs.define
class Change:
    """A change of a thing.

    Attributes:
        value: What it becomes; None when it is deleted.
        begun: When that was asked for.
        acknowledged: When the store said that it is done.
    """

    value: Hashable
    begun: float
    acknowledged: float = NEVER


@attrs.frozen
class Verdict:
    """What a comparison came to.

    Attributes:
        lost: Things whose acknowledged value is not there: they are older, or missing, or back again.
        strange: Things with a value that nobody ever gave them.
    """

    lost: list[str] = attrs.field(factory=list[str])
    strange: list[str] = attrs.field(factory=list[str])


class History:
    """The changes of all things.

    Args:
        clock: Tells when something happens; later calls return no less.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.changes: dict[Thing, list[Change]] = defaultdict(list)

    @contextlib.contextmanager
    def changing(self, values: Mapping[Thing, Hashable]) -> Generator[None]:
        """Note that things are being changed; at the end of the block, without an error, it is acknowledged.

        The changes of one thing must come one after the other.
        """
        begun = self.clock()
        changes = [Change(value, begun) for value in values.values()]
        for thing, change in zip(values, changes, strict=True):
            self.changes[thing].append(change)
        yield
        now = self.clock()
        for change in changes:
            change.acknowledged = now

    def acknowledged(self, at: float = NEVER) -> int:
        """Return how many changes had been acknowledged at a moment."""
        return sum(
            change.acknowledged <= min(at, sys.float_info.max) for some in self.changes.values() for change in some
        )

    def compare(self, found: Mapping[Thing, Hashable], *, at: float = NEVER) -> Verdict:
        """Compare with what a store holds.

        Args:
            found: The values of the things; what is not there is missing.
            at: The moment up to which the store had time.
        """
        verdict = Verdict()
        for thing in {*found, *self.changes}:
            value = found.get(thing)
            last: Hashable = None
            later: list[Hashable] = []
            older: list[Hashable] = [None]
            for change in self.changes.get(thing, ()):
                if change.acknowledged <= at and change.acknowledged < NEVER:
                    older += [last, *later]
                    last, later = change.value, []
                elif change.begun <= at:
                    later.append(change.value)
            if value == last or value in later:
                continue
            text = f"{'/'.join(thing)} is {value!r}, acknowledged {last!r}, begun {later!r}"
            (verdict.lost if value in older else verdict.strange).append(text)
        return verdict

    def merge(self, others: Iterable[Any]) -> None:
        """Add the changes of other histories, of other things, by the same clock."""
        for other in others:
            for thing, changes in other.items():
                self.changes[thing] += changes
