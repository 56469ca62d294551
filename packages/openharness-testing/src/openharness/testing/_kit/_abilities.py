"""What a back end may promise beyond the contract; declared by its author, never found out by trying."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Ability", "required_abilities", "requires")

F = TypeVar("F", bound="Callable[..., object]")

_ATTRIBUTE: Final = "__openharness_requires__"


class Ability(enum.Enum):
    """What a back end promises beyond what every one must do.

    An ability that is declared is tested; one that is not shows as a skipped test that names it.
    """

    DURABLE = "durable"
    """What was acknowledged survives `close` and the death of the process. The class defines the fixture `reopen`."""
    MULTI_INSTANCE = "multi_instance"
    """Several instances in one process may use the same data at once. Needs `DURABLE`."""
    MULTI_PROCESS = "multi_process"
    """Several processes may use the same data at once. Needs `DURABLE`."""
    CHECKSUMS = "checksums"
    """A damaged record is an error and never an answer. The class defines the fixture `damage`."""
    RESTORE = "restore"
    """A signal store can take over recordings of other stores: `SignalStore.restore_recording`."""
    FAILURES = "failures"
    """Requests of a provider can be made to fail. The class defines the fixture `failing_provider`."""


def requires(*abilities: Ability) -> Callable[[F], F]:
    """Mark a test as one for back ends that declare these abilities.

    Args:
        *abilities: All of them must be declared, or the test is skipped.
    """

    def mark(test: F) -> F:
        setattr(test, _ATTRIBUTE, frozenset(abilities))
        return test

    return mark


def required_abilities(test: object) -> frozenset[Ability]:
    """Return the abilities that `requires` marked a test with."""
    found: frozenset[Ability] = getattr(test, _ATTRIBUTE, frozenset[Ability]())
    return found
