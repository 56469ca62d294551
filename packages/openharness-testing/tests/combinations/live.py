"""Run two agents live on a provider written here, with the history in memory: what core does all by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import attrs

from openharness.core import (
    Completed,
    InMemoryRunStore,
    Provider,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    RunQuery,
    TextDelta,
    create_harness,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@attrs.define
class Story:
    """The state that the agents share."""

    topic: str
    draft: str = ""
    title: str = ""


class Shouting(Provider):
    """Answers with the question in capitals."""

    type: ClassVar[str] = "shouting"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer in one piece."""
        text = f"{context.agent}: {request.messages[-1].content.upper()}"
        yield TextDelta(text)
        yield Completed(ProviderOutput(content=text))


async def main() -> None:
    """Run the agents, and find the run in the store with the state it ended in."""
    harness = create_harness(Story)
    writer = harness.agent(
        prompt="write about {{ state.topic }}", activate_on="harness:start", emits="draft:done", updates="draft"
    )
    editor = harness.agent(prompt="a title for {{ state.draft }}", activate_on="draft:done", updates="title")
    async with InMemoryRunStore() as history:
        result = await harness.run_reactive(
            agents={"writer": writer, "editor": editor},
            state=Story(topic="rain"),
            provider=Shouting(),
            run_store=history,
        )
        draft = "writer: WRITE ABOUT RAIN"
        assert result.state == Story(topic="rain", draft=draft, title=f"editor: A TITLE FOR {draft.upper()}"), result
        (run,) = await history.list_runs(RunQuery())
        assert run.id == result.run_id, run
        assert run.status == result.status, run
    print(f"live: {len(result.signals)} signals, {result.status}")


if __name__ == "__main__":
    asyncio.run(main())
