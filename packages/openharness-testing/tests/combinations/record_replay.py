"""Record a run, replay it without a provider, and see a changed prompt reported as drift."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import attrs

from openharness.core import (
    AgentDefinition,
    Completed,
    Provider,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    ReplayDriftError,
    RunContext,
    TextDelta,
    create_harness,
)
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@attrs.define
class Counted:
    """The state that the agents share."""

    left: str = ""
    right: str = ""


class Counting(Provider):
    """Answers with the number of the call, so that a second call could not go unnoticed."""

    type: ClassVar[str] = "counting"

    def __init__(self) -> None:
        self.calls = 0

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer in two pieces, and let the other agent have its turn in between."""
        self.calls += 1
        number = str(self.calls)
        yield TextDelta("call ")
        await asyncio.sleep(0)
        yield TextDelta(number)
        yield Completed(ProviderOutput(content=f"call {number}"))


harness = create_harness(Counted)


def agents(question: str) -> dict[str, AgentDefinition[Counted]]:
    """Return two agents that work at the same time."""
    return {
        "left": harness.agent(prompt=question, activate_on="harness:start", updates="left"),
        "right": harness.agent(prompt="right?", activate_on="harness:start", updates="right"),
    }


async def main() -> None:
    """Record, replay, drift."""
    store = MemorySignalStore()
    provider = Counting()
    recorded = await harness.run_reactive(
        agents=agents("left?"), state=Counted(), provider=provider, fixture="smoke", mode="record", store=store
    )
    assert provider.calls == len(agents("left?")), provider.calls
    replayed = await harness.run_reactive(
        agents=agents("left?"), state=Counted(), fixture="smoke", mode="replay", store=store
    )
    assert replayed.replayed
    assert replayed.state == recorded.state, (replayed.state, recorded.state)
    assert replayed.signals == recorded.signals, "the replay's signals differ"
    assert provider.calls == len(agents("left?")), provider.calls
    try:
        await harness.run_reactive(agents=agents("LEFT?"), state=Counted(), fixture="smoke", mode="replay", store=store)
    except ReplayDriftError as drift:
        print(f"record and replay: {len(recorded.signals)} signals equal; drift noticed: {type(drift).__name__}")
    else:
        message = "a changed prompt went unnoticed"
        raise AssertionError(message)


if __name__ == "__main__":
    asyncio.run(main())
