"""Runs to compare: a newsroom of agents with a provider whose answers, pieces and figures a test chooses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from openharness.core import (
    Completed,
    Provider,
    ProviderOutput,
    Recording,
    RunError,
    RunResult,
    SignalSource,
    TextDelta,
    Usage,
    create_harness,
    new_id,
)
from openharness.core.records import signal_id
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from openharness.core import AgentDefinition, Harness, ProviderEvent, ProviderRequest, RunContext, Signal
    from openharness.core.interfaces import SignalStore

HEADLINE = "Write a headline for these facts: {{ state.facts }}"
STATE = {"article": "Two ducks crossed.", "facts": "", "headline": "", "verdict": ""}
ANSWERS = {
    "reader": "There were two ducks.\nThey crossed the road.\nNobody was hurt.",
    "editor": "Two ducks crossed the road near the old mill, and nobody at all was hurt.",
    "critic": "Dull.",
}


class Writer(Provider):
    """Answers by agent, in pieces of a length, with figures and after a time of the test's choice."""

    type: ClassVar[str] = "writer"

    def __init__(
        self,
        answers: Mapping[str, str] = ANSWERS,
        *,
        pieces: int = 7,
        usage: Usage | None = None,
        delay: Callable[[RunContext], float] = lambda _: 0.0,
        fail: Callable[[RunContext], Exception | None] = lambda _: None,
    ) -> None:
        self._answers = answers
        self._pieces = pieces
        self._usage = usage or Usage(input_tokens=10, output_tokens=5, cost=0.25)
        self._delay = delay
        self._fail = fail

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer, or fail."""
        text = self._answers[context.agent]
        await asyncio.sleep(self._delay(context))
        for start in range(0, len(text), self._pieces):
            yield TextDelta(text[start : start + self._pieces])
        if (error := self._fail(context)) is not None:
            raise error
        yield Completed(ProviderOutput(content=text, usage=self._usage, request_id=new_id("req")))


def newsroom_agents(
    *, prompt: str = HEADLINE, critic: bool = False, retries: int = 0
) -> tuple[Harness[Any], dict[str, AgentDefinition[Any]]]:
    """A harness and the agents of the newsroom."""
    harness = create_harness()
    return harness, {
        "reader": harness.agent(
            prompt="List the facts in: {{ state.article }}",
            activate_on="harness:start",
            updates="facts",
            emits="facts:found",
            retries=retries,
            retry_delay=0.0,
        ),
        "editor": harness.agent(prompt=prompt, activate_on="facts:found", updates="headline", emits="headline:written"),
        # The critic is always there, so that the sets of agents are the same.
        "critic": harness.agent(
            prompt="Judge: {{ state.headline }}",
            activate_on="headline:written",
            updates="verdict",
            when=lambda _: critic,
        ),
    }


async def newsroom(
    provider: Provider | None = None,
    *,
    store: SignalStore | None = None,
    prompt: str = HEADLINE,
    critic: bool = False,
    retries: int = 0,
    fixture: str | None = None,
) -> tuple[Recording, RunResult[Any] | None]:
    """Run the newsroom live and return what a store kept, and the result; no result of a run that failed."""
    store = MemorySignalStore() if store is None else store
    harness, agents = newsroom_agents(prompt=prompt, critic=critic, retries=retries)
    result: RunResult[Any] | None
    try:
        result = await harness.run_reactive(
            agents=agents,
            state=STATE,
            provider=provider or Writer(),
            store=store,
            **({} if fixture is None else {"fixture": fixture, "mode": "record"}),
        )
        recording_id = result.recording_id
    except RunError as error:
        result, recording_id = None, error.recording_id
    assert recording_id is not None
    recording = await store.load_recording(recording_id)
    assert recording is not None
    return recording, result


async def crowd(delays: Mapping[str, float]) -> Recording:
    """Run three agents at once that answer in an order of the test's choice."""
    store, harness = MemorySignalStore(), create_harness()
    agents = {name: harness.agent(prompt=name, activate_on="harness:start", emits=f"{name}:done") for name in delays}
    provider = Writer(dict.fromkeys(delays, "An answer."), delay=lambda context: delays[context.agent])
    result = await harness.run_reactive(agents=agents, state={}, provider=provider, store=store)
    assert result.recording_id is not None
    recording = await store.load_recording(result.recording_id)
    assert recording is not None
    return recording


def renumbered(recording: Recording, signals: Sequence[Signal], *, run_id: str | None = None) -> Recording:
    """A recording of these signals in this order, with ids and positions of their own."""
    run = run_id or recording.info.run_id
    ids = {signal.id: signal_id(run, seq) for seq, signal in enumerate(signals)}

    def moved(seq: int, signal: Signal) -> Signal:
        source = signal.source
        parent = None if source.parent is None else ids.get(source.parent, "elsewhere/0")
        return attrs.evolve(
            signal,
            id=signal_id(run, seq),
            seq=seq,
            source=SignalSource(source.agent, source.provider, parent, source.activation),
        )

    kept = [moved(seq, signal) for seq, signal in enumerate(signals)]
    return attrs.evolve(recording, info=attrs.evolve(recording.info, run_id=run, signal_count=len(kept)), signals=kept)
