"""What all contract classes share: declared abilities, patience, and how many examples are tried."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from openharness.testing._kit._abilities import Ability, required_abilities
from openharness.testing._kit._patience import promptly
from openharness.testing._kit._report import note_contract

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextlib import AbstractAsyncContextManager
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ("Contract", "undefined")

_NEEDED_FIRST = {Ability.MULTI_INSTANCE: Ability.DURABLE, Ability.MULTI_PROCESS: Ability.DURABLE}


def undefined(request: pytest.FixtureRequest, name: str, sentence: str) -> Any:
    """Fail because the author's class has not defined a fixture.

    Args:
        request: The request for the fixture.
        name: The fixture's name.
        sentence: What the fixture must return.
    """
    author = getattr(cast("Any", request).cls, "__name__", "The test class")
    pytest.fail(f"{author} must define the fixture `{name}`. {sentence}", pytrace=False)


@pytest.mark.asyncio
class Contract:
    """The base of the contract classes. An author sets the class attributes and defines the fixtures.

    Attributes:
        abilities: What the back end promises beyond what every one must do.
        patience: Seconds after which an operation counts as hanging.
        startup: Seconds that another process may take to start, import the packages and do a little work.
        examples: How many random examples each of the property tests tries. The environment variable
            ``OPENHARNESS_CONTRACT_EXAMPLES`` overrides it, and then the examples differ from run to run.
        shrink: Whether a failing example is made as small as possible, which may take a minute.
        steps: How many operations a random sequence of them has at most. The environment variable
            ``OPENHARNESS_CONTRACT_STEPS`` overrides it.
    """

    abilities: ClassVar[frozenset[Ability]] = frozenset()
    patience: ClassVar[float] = 30.0
    startup: ClassVar[float] = 50.0
    examples: ClassVar[int] = 15
    shrink: ClassVar[bool] = True
    steps: ClassVar[int] = 20
    _properties: list[tuple[str, object]] | None = None

    @pytest.fixture(autouse=True)
    def declared_abilities(self, request: pytest.FixtureRequest) -> frozenset[Ability]:
        """Skip the test, with the reason, unless the class declares what the test needs."""
        for ability, first in _NEEDED_FIRST.items():
            if ability in self.abilities and first not in self.abilities:
                pytest.fail(f"{type(self).__name__} declares {ability} without {first}.", pytrace=False)
        self._properties = request.node.user_properties
        note_contract(request.config, type(self).__name__, self.abilities)
        missing = required_abilities(request.function) - self.abilities
        if missing:
            names = ", ".join(sorted(str(ability) for ability in missing))
            pytest.skip(f"{type(self).__name__} does not declare {names}")
        return self.abilities

    def promptly(self, what: str) -> AbstractAsyncContextManager[None]:
        """Return a block that fails when it takes longer than the class has patience."""
        return promptly(self.patience, what)

    async def soon(self, awaitable: Awaitable[T], what: str = "the operation") -> T:
        """Await something, and fail when it takes longer than the class has patience."""
        async with self.promptly(what):
            return await awaitable

    @property
    def example_count(self) -> tuple[int, bool]:
        """How many examples to try, and whether they are the same ones in every run."""
        override = os.environ.get("OPENHARNESS_CONTRACT_EXAMPLES")
        return (self.examples, True) if override is None else (int(override), False)

    @property
    def step_count(self) -> int:
        """How many operations a random sequence has at most."""
        return int(os.environ.get("OPENHARNESS_CONTRACT_STEPS", self.steps))

    def note_figure(self, what: str, number: int) -> None:
        """Say how much was tried, in the properties of the test in the report that ``--junitxml`` of pytest writes.

        Args:
            what: What was tried: ``"examples"``.
            number: How many.
        """
        if self._properties is not None:
            self._properties.append((what, number))
