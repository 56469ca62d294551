"""The programs of the documentation, as a newcomer would type them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from harness_kit import ScriptedProvider

from openharness.core import (
    Context,
    InMemoryRunStore,
    Provider,
    RunQuery,
    RunRecord,
    RunStore,
    Signal,
    create_harness,
    now_ms,
)

if TYPE_CHECKING:
    from pathlib import Path


@attrs.define
class MyState:
    """The state of the examples."""

    input: str = ""
    analysis: str = ""
    words: int = 0


class ClaudeProvider(ScriptedProvider):
    """Stands in for a provider that needs a key."""


async def test_a_run_is_recorded_and_replayed_without_a_provider() -> None:
    """Record with a provider, replay with none: the same signals and the same state."""
    signals = pytest.importorskip("openharness.signals")
    harness = create_harness(MyState)
    analyzer = harness.agent(
        prompt="Analyse: {{ state.input }}",
        activate_on=["harness:start"],
        emits=["analysis:complete"],
        when=lambda ctx: ctx.state.input != "",
        updates="analysis",
    )
    agents = {"analyzer": analyzer}
    p: Provider = ClaudeProvider()
    store = signals.MemorySignalStore()
    recorded = await harness.run_reactive(
        agents=agents, state=MyState(input="tea"), provider=p, fixture="my-test", mode="record", store=store
    )
    replayed = await harness.run_reactive(
        agents=agents, state=MyState(input="tea"), fixture="my-test", mode="replay", store=store
    )
    assert recorded.state.analysis == "ANALYSE: TEA"
    assert replayed.signals == recorded.signals
    assert replayed.state == recorded.state


async def test_a_run_with_everything_the_design_shows(tmp_path: Path) -> None:
    """The long example: recorded to a store, kept in a history, with all parts of the result."""
    signals = pytest.importorskip("openharness.signals")
    sqlite = pytest.importorskip("openharness.run_store_sqlite")
    harness = create_harness(MyState)

    @harness.agent(activate_on="harness:start", updates="analysis", emits="analysis:complete")
    def analyzer(ctx: Context[MyState]) -> str:
        return f"Analyse: {ctx.state.input}"

    @harness.agent(activate_on="analysis:complete")
    def critic(ctx: Context[MyState]) -> str:
        return f"Criticise: {ctx.signal.payload['output']}"

    def count(state: MyState, signal: Signal) -> None:
        state.words += len(signal.payload["text"].split())

    async with signals.MemorySignalStore() as store, sqlite.SqliteRunStore(tmp_path / "runs.db") as run_store:
        result = await harness.run_reactive(
            agents=[analyzer, critic],
            state=MyState(input="tea"),
            provider=ClaudeProvider(),
            fixture="my-test",
            mode="record",
            store=store,
            run_store=run_store,
            reducers={"text:complete": count},
        )
        assert result.state == MyState(input="tea", analysis="ANALYSE: TEA", words=5)
        assert result.metrics.provider_calls == 2
        assert (await store.load_recording(result.recording_id)).info.run_id == result.run_id
        saved = await run_store.get_run(result.run_id)
        assert saved.state_as(MyState) == result.state
        assert saved.recording_id == result.recording_id


async def test_a_run_store_in_memory_saves_gets_and_lists() -> None:
    """The run store that needs nothing."""
    store = InMemoryRunStore()
    await store.save_run(RunRecord("run-1", created_at=now_ms(), state={"a": 1}, metadata={"team": "tea"}))
    run = await store.get_run("run-1")
    assert run is not None
    assert run.state == {"a": 1}
    assert [run.id for run in await store.list_runs(RunQuery(metadata={"team": "tea"}))] == ["run-1"]
    assert await store.list_runs(RunQuery(metadata={"team": "coffee"})) == []


PROGRAM = """
import asyncio, sys
from openharness.run_store_sqlite import SqliteRunStore

async def main():
    async with SqliteRunStore(sys.argv[1]) as store:
        run = await store.get_run("run-1")
        print(run.state["a"], run.status.value)

asyncio.run(main())
"""


async def test_a_saved_run_is_there_in_another_process(tmp_path: Path) -> None:
    """Saved to a file, closed, and read by a new process."""
    sqlite = pytest.importorskip("openharness.run_store_sqlite")
    path = tmp_path / "runs.db"
    async with sqlite.SqliteRunStore(filename=str(path)) as store:
        await store.save_run(RunRecord("run-1", created_at=now_ms(), state={"a": 1}))
    done = subprocess.run(  # noqa: ASYNC221, S603 - our own program, and nothing else runs here
        [sys.executable, "-c", PROGRAM, str(path)], check=True, capture_output=True, text=True, timeout=50
    )
    assert done.stdout.split() == ["1", "running"]


class ListRunStore(RunStore):
    """A store of one's own needs four methods."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}

    async def save_run(self, run: RunRecord) -> None:
        """Keep a run."""
        self.runs[run.id] = run

    async def get_run(self, run_id: str) -> RunRecord | None:
        """Return a run."""
        return self.runs.get(run_id)

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        """Return what matches, newest first."""
        query = query or RunQuery()
        found = [run for run in self.runs.values() if query.matches(run)]
        found.sort(key=lambda run: (run.created_at, run.id), reverse=query.order == "newest")
        limit = None if query.limit is None else query.offset + query.limit
        return found[query.offset : limit]

    async def delete_run(self, run_id: str) -> None:
        """Forget a run."""
        self.runs.pop(run_id, None)


async def test_a_store_of_ones_own_needs_four_methods() -> None:
    """A harness keeps its runs in any `RunStore`, and the other methods work on top of the four."""
    store = ListRunStore()
    harness = create_harness(run_store=store)
    agent = harness.agent(prompt="hi", activate_on="harness:start", updates="answer")
    results: list[Any] = [
        await harness.run_reactive(agents={"a": agent}, state={"answer": ""}, provider=ScriptedProvider())
        for _ in range(3)
    ]
    async with store:
        assert [run.id for run in await store.list_runs(RunQuery(limit=2, order="oldest"))] == [
            r.run_id for r in results[:2]
        ]
        assert await store.count_runs(RunQuery(status="completed")) == 3
        assert await store.prune_runs(keep_last=1) == 2
        await store.delete_run(results[2].run_id)
        assert await store.get_run(results[2].run_id) is None


async def test_a_person_approves_in_the_middle_of_a_run() -> None:
    """A signal from outside, and a subscriber that sees what goes on."""
    harness = create_harness(MyState)
    drafter = harness.agent(prompt="Draft {{ state.input }}", activate_on="harness:start", emits="draft:ready")
    sender = harness.agent(
        prompt="Send what {{ signal.payload.by }} approved",
        activate_on="approval:given",
        updates="analysis",
    )
    seen: list[str] = []
    harness.subscribe("draft:ready", lambda signal: seen.append(signal.payload["output"]))
    async with harness.start(
        agents={"drafter": drafter, "sender": sender}, state=MyState(input="tea"), provider=ScriptedProvider()
    ) as run:
        await run.emit("approval:given", {"by": "Ann"})
        await run.finish()
        result = await run.result()
    assert result.state.analysis == "SEND WHAT ANN APPROVED"
    assert seen == ["DRAFT TEA"]


async def test_the_signals_of_a_run_are_streamed() -> None:
    """A loop over the signals while the run goes on."""
    harness = create_harness(MyState)
    agent = harness.agent(prompt="{{ state.input }}", activate_on="harness:start")
    text = ""
    async with harness.stream(agents={"a": agent}, state=MyState(input="tea"), provider=ScriptedProvider()) as stream:
        async for signal in stream:
            if signal.name == "text:delta":
                text += signal.payload["text"]
    assert text == "TEA"
