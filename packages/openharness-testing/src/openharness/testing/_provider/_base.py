"""The fixtures of a provider's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs
import pytest
import pytest_asyncio

from openharness.core import Completed, Message, Provider, ProviderEvent, ProviderRequest, RunContext
from openharness.testing._kit._contract import Contract, undefined

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openharness.core import ProviderOutput
    from openharness.testing._kit._abilities import Ability

__all__ = ("ProviderCase", "make_context", "output_of")


def make_context(number: int = 0) -> RunContext:
    """Return the context of a call."""
    return RunContext(run_id="run-1", agent="analyzer", activation=f"analyzer#{number}", call=f"analyzer#{number}/0/0")


def output_of(events: list[ProviderEvent]) -> ProviderOutput:
    """Return the output that the last event brings."""
    assert events, "the provider yielded nothing"
    last = events[-1]
    assert isinstance(last, Completed), f"the last event must be Completed, got {last!r}"
    return last.output


class ProviderCase(Contract):
    """What every part of the contract of providers builds on.

    Attributes:
        max_lag: Seconds for which the event loop may stand still while a request runs. What the whole process stands
            still, on a machine that is busy otherwise, does not count.
    """

    patience: ClassVar[float] = 60.0
    max_lag: ClassVar[float] = 0.5

    @pytest.fixture
    def provider(self, request: pytest.FixtureRequest) -> Provider:
        """Return the provider under test. The contract closes it. Defined by the author."""
        provider: Provider = undefined(
            request, "provider", "It returns a provider that can answer the fixture `provider_request`."
        )
        return provider

    @pytest.fixture
    def provider_request(self, provider: Provider) -> ProviderRequest:
        """Return the request that is sent, several times; it should be answered quickly. May be defined by the author."""
        return ProviderRequest(
            messages=[Message("user", "Count from one to five.")],
            max_tokens=24,
            temperature=0.0,
            seed=7 if provider.capabilities.seed else None,
        )

    @pytest.fixture
    def failing_provider(self, request: pytest.FixtureRequest) -> Provider:
        """Return a provider whose requests fail. Defined by authors that declare `Ability.FAILURES`."""
        provider: Provider = undefined(
            request,
            "failing_provider",
            "It returns a provider whose requests fail: a wrong key, an address where nobody listens, a missing model.",
        )
        return provider

    @pytest_asyncio.fixture(autouse=True)
    async def closed_at_the_end(
        self, declared_abilities: frozenset[Ability], provider: Provider
    ) -> AsyncIterator[None]:
        """Close the provider when the test ends."""
        del declared_abilities  # it comes first, to skip before a provider is made
        yield
        await self.soon(provider.close(), "close()")

    async def events_of(self, provider: Provider, request: ProviderRequest, *, number: int = 0) -> list[ProviderEvent]:
        """Run a request to its end and return all events, as the harness does.

        Args:
            provider: The provider.
            request: The request.
            number: Tells the calls of one test apart.
        """
        events: list[ProviderEvent] = []
        generator = provider.run(request, make_context(number))
        async with self.promptly("a request"):
            try:
                events += [event async for event in generator]
            finally:
                await generator.aclose()
        return events

    def other_request(self, request: ProviderRequest, text: str) -> ProviderRequest:
        """Return a request that asks something else."""
        return attrs.evolve(request, messages=[Message("user", text)])
