"""Rare meetings: what happens when two things come at once, or a store is slower than everybody else."""

from __future__ import annotations

import asyncio
import enum
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import HangingProvider, KeepingStore, ScriptedProvider, names_of, of_name
from tool_kit import AskingProvider

from openharness.core import (
    AgentError,
    Harness,
    InMemoryRunStore,
    RunEndedError,
    Signal,
    StoreError,
    create_harness,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time

HARNESS: Harness[dict[str, Any]] = create_harness()
LISTENER = HARNESS.agent(prompt="{{ signal.payload }}", activate_on="say:*")
BEGINNER = HARNESS.agent(prompt="begin", activate_on="harness:start")


async def test_an_emit_that_waits_behind_a_failing_write_ends_too() -> None:
    """A signal that was not taken yet when the run failed is turned away, not forgotten."""
    writing = asyncio.Event()

    async def fail(what: str, subject: Any) -> None:
        if what == "append" and "say:first" in subject:
            writing.set()
            await asyncio.sleep(0.005)
            raise StoreError("full")

    async def work() -> None:
        async with HARNESS.start(
            agents={"a": LISTENER}, state={}, provider=ScriptedProvider(), store=KeepingStore(fail)
        ) as run:
            first = asyncio.ensure_future(run.emit("say:first"))
            await writing.wait()
            outcomes = await asyncio.gather(first, run.emit("say:second"), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [RunEndedError, RunEndedError]
            raise LookupError

    async with asyncio.timeout(5):
        with pytest.raises(LookupError):
            await work()


async def test_an_emit_that_nobody_waits_for_any_more_is_still_recorded() -> None:
    """Giving up to wait for an emit does not take the signal back, and breaks nothing."""

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0.005)

    store = KeepingStore(slow)
    async with HARNESS.start(agents={"a": LISTENER}, state={}, provider=ScriptedProvider(), store=store) as run:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run.emit("say:it"), 0.001)
        await run.finish()
    assert "say:it" in names_of(store.signals("rec-0"))


async def test_a_run_that_times_out_and_is_cancelled_is_cancelled() -> None:
    """Whoever cancels gets CancelledError; the log says what came first."""
    ending = asyncio.Event()

    async def slow(what: str, subject: Any) -> None:
        if what == "append" and "harness:timeout" in subject:
            ending.set()
        await asyncio.sleep(0.01)

    store, provider = KeepingStore(slow), HangingProvider()
    task = asyncio.ensure_future(
        HARNESS.run_reactive(agents={"b": BEGINNER}, state={}, provider=provider, timeout=0.05, store=store)
    )
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.recordings["rec-0"].info.outcome == "timed_out"


class SlowStore(KeepingStore):
    """Reads slowly, and hands out an iterator that cannot be closed."""

    def iter_signals(self, recording_id: str, **options: Any) -> AsyncIterator[Signal]:  # type: ignore[override]
        """Yield the signals one by one."""
        signals = iter(self.signals(recording_id))

        class Reader:
            def __aiter__(self) -> AsyncIterator[Signal]:
                return self

            async def __anext__(self) -> Signal:
                await asyncio.sleep(0.001)
                for signal in signals:
                    return signal
                raise StopAsyncIteration

        return Reader()


async def test_an_emit_in_a_replay_waits_for_its_recorded_signal() -> None:
    """When the store is slow to read, emit waits until its recorded signal has come."""
    store = SlowStore()
    async with HARNESS.start(agents={"a": LISTENER}, state={}, provider=ScriptedProvider(), store=store) as run:
        first = await run.emit("say:one", 1)
        second = await run.emit("say:two", 2)
    result = await run.result()
    async with asyncio.timeout(5):
        async with HARNESS.start(agents={"a": LISTENER}, recording="rec-0", store=store) as again:
            replayed = await asyncio.gather(again.emit("say:one", 1), again.emit("say:two", 2))
        assert replayed == [first, second]
        assert (await again.result()).signals == result.signals


async def test_a_long_replay_lets_others_work() -> None:
    """A replay of thousands of signals from memory does not hold the event loop until its end."""
    store = KeepingStore()
    provider = ScriptedProvider("x" * 3000, size=1)
    await HARNESS.run_reactive(agents={"b": BEGINNER}, state={}, provider=provider, store=store)
    turns = 0
    replay = asyncio.ensure_future(HARNESS.run_reactive(agents={"b": BEGINNER}, recording="rec-0", store=store))
    while not replay.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await replay).signals) > 3000
    assert turns > 10


async def test_a_builtin_without_a_signature_is_a_reducer_of_two_arguments() -> None:
    """What cannot be looked into is called with state and signal; what it raises is the reducer's failure."""
    with pytest.raises(AgentError) as caught:
        await HARNESS.run_reactive(
            agents={"b": BEGINNER}, state={}, provider=ScriptedProvider(), reducers={"harness:start": dict.update}
        )
    assert caught.value.kind == "reducer"


class Word(str):
    """A text that is none for an encoder."""

    __slots__ = ()

    def __str__(self) -> str:
        return "nothing of the kind"


class Number(float):
    """A number that is no plain float, as those of numpy are."""


class Names(enum.StrEnum):
    """Names as programs keep them."""

    AGENT = "analyst"
    FIELD = "report"
    DONE = "report:done"


def kinds_in(value: Any) -> set[type]:
    """Return the types of all that a JSON value is made of."""
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {type(value)}.union(*map(kinds_in, parts))


async def test_names_and_numbers_of_other_classes_are_plain_in_the_log() -> None:
    """Names may be those of a StrEnum, and numbers those of numpy: the log has plain ones, and the replay agrees."""
    agent = HARNESS.agent(
        prompt=lambda ctx: Word("say"),
        system=Word("be brief"),
        activate_on=Word("harness:start"),
        emits=Names.DONE,
        updates=Names.FIELD,
        model=Word("m"),
        stop=[Word("END")],
        temperature=Number(0.5),
        max_tokens=int.__new__(type("Count", (int,), {}), 5),
        tools=[tool(lambda: None, name=Word("t"), description=Word("d"))],
    )
    store = KeepingStore()
    agents = {Names.AGENT: agent}
    async with HARNESS.start(agents=agents, state={"report": ""}, provider=AskingProvider("x"), store=store) as run:
        await run.emit(Word("say:it"), Word("now"))
        await run.finish()
    result = await run.result()
    assert set(result.metrics.agents) == {"analyst"}
    assert result.state == {"report": "x"}
    kinds = set().union(*(kinds_in([signal.name, signal.source.agent, signal.payload]) for signal in result.signals))
    assert kinds <= {str, int, float, bool, type(None), list, dict}
    async with HARNESS.start(agents=agents, recording="rec-0", store=store) as run:
        await run.emit("say:it", "now")
        await run.finish()
    assert (await run.result()).signals == result.signals


async def test_the_id_of_a_run_may_be_a_text_of_another_class() -> None:
    """The run, its record and its signals have one id, also where the text that was given shows itself as another one."""
    store, run_store = KeepingStore(), InMemoryRunStore()
    result = await HARNESS.run_reactive(
        agents={"b": BEGINNER},
        state={},
        provider=ScriptedProvider(),
        store=store,
        run_store=run_store,
        run_id=Word("mine"),
        tags=[Word("tag")],
        timeout=Number(60),
    )
    (record,) = await run_store.list_runs()
    assert [type(text) for text in (result.run_id, record.id, *store.recordings["rec-0"].info.tags)] == [str] * 3
    assert (result.run_id, record.id, result.signals[0].id) == ("mine", "mine", "mine/0")


@pytest.mark.parametrize("where", ["when", "end_when"])
async def test_an_answer_that_is_neither_true_nor_false_fails_like_one_that_was_raised(where: str) -> None:
    """What refuses to say whether it is true, as an array of numbers does, is a failure of the function that returned it."""

    class Array:
        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    guards: dict[str, Any] = {where: lambda ctx: Array()}
    when, end_when = guards.get("when"), guards.get("end_when")
    agent = HARNESS.agent(prompt="x", activate_on="harness:start", when=when)
    store = KeepingStore()
    with pytest.raises(AgentError, match="ValueError: ambiguous") as caught:
        await HARNESS.run_reactive(
            agents={"a": agent}, state={}, provider=ScriptedProvider(), end_when=end_when, store=store
        )
    assert caught.value.kind == ("guard" if where == "when" else where)
    assert store.recordings["rec-0"].info.outcome == "failed"


def where_user_code_runs(fails: Callable[..., Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each place in which a step calls functions of the user's: its kind, options of an agent, and of a run."""
    return [
        ("guard", {"when": fails}, {}),
        ("prompt", {"prompt": fails}, {}),
        ("prompt", {"system": fails}, {}),
        ("reducer", {}, {"reducers": {"harness:start": lambda state, signal: fails(signal)}}),
        ("end_when", {}, {"end_when": fails}),
    ]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
async def test_a_function_that_says_it_was_ended_fails_like_one_that_raises_anything_else(
    kind: type[BaseException],
) -> None:
    """What tasks and generators are ended with is a failure where no step waits: told, recorded, and replayed."""

    def fails(ctx: Any) -> Any:
        raise kind("its own")

    for where, options, run_options in where_user_code_runs(fails):
        store, run_store = KeepingStore(), InMemoryRunStore()
        agent = HARNESS.agent(**{"prompt": "x", "activate_on": "harness:start", **options})
        with pytest.raises(AgentError, match=f"{kind.__name__}: its own") as caught:
            await HARNESS.run_reactive(
                agents={"a": agent},
                state={},
                provider=ScriptedProvider(),
                store=store,
                run_store=run_store,
                **run_options,
            )
        assert (caught.value.kind, type(caught.value.__cause__)) == (where, kind)
        assert names_of(store.signals("rec-0"))[-2:] == ["agent:error", "harness:end"]
        (record,) = await run_store.list_runs()
        assert (store.recordings["rec-0"].info.outcome, record.status) == ("failed", "failed")
        with pytest.raises(AgentError, match=f"{kind.__name__}: its own"):
            await HARNESS.run_reactive(agents={"a": agent}, recording="rec-0", store=store, **run_options)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
async def test_an_agent_that_goes_on_after_errors_goes_on_after_those_too(kind: type[BaseException]) -> None:
    """on_error="continue" holds for a guard or a prompt that says it was ended: the other agents do their work."""

    def fails(ctx: Any) -> Any:
        raise kind

    for where, options, _ in where_user_code_runs(fails)[:3]:
        agent = HARNESS.agent(**{"prompt": "x", "activate_on": "harness:start", "on_error": "continue", **options})
        result = await HARNESS.run_reactive(
            agents={"a": agent, "b": BEGINNER}, state={}, provider=ScriptedProvider(), store=KeepingStore()
        )
        (error,) = of_name(result.signals, "agent:error")
        assert error.payload["kind"] == where
        assert [signal.payload["agent"] for signal in of_name(result.signals, "agent:completed")] == ["b"]


async def test_many_names_are_looked_up_rightly() -> None:
    """More signal names than the engine remembers are still matched, first and later."""
    agent = HARNESS.agent(prompt="x", activate_on="say:n4999")
    async with HARNESS.start(agents={"a": agent}, state={}, provider=ScriptedProvider(), max_activations=10) as run:
        for number in range(5000):
            await run.emit(f"say:n{number}")
        await run.emit("say:n4999")
    assert (await run.result()).metrics.activations == 2


async def test_a_clock_that_goes_back_does_not_take_the_log_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of a log never decrease, whatever the clock of the machine does, and its replay agrees."""
    times = itertools.count(10_000_000 * 1_000_000, -1_000_000_000)
    monkeypatch.setattr("time.time_ns", lambda: next(times))
    seen: list[int] = []

    def prompt(ctx: Any) -> str:
        seen.append(ctx.now)
        return "x"

    agent = HARNESS.agent(
        prompt=prompt, activate_on=["harness:start", "text:complete"], when=lambda ctx: ctx.signal.seq < 9
    )
    store = KeepingStore()
    result = await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider(), store=store)
    (time,) = {signal.timestamp for signal in result.signals}
    assert set(seen) == {time}
    assert (await HARNESS.run_reactive(agents={"a": agent}, recording="rec-0", store=store)).signals == result.signals


async def test_a_draft_that_a_reducer_changed_and_did_not_use_is_forgotten() -> None:
    """A reducer that returns a state of its own leaves no trace of what it did to the draft, nor one that changes nothing."""
    seen: list[Any] = []

    def reducer(state: dict[str, Any], signal: Signal) -> dict[str, Any]:
        state["x"].append("changed")
        return {"x": []}

    agent = HARNESS.agent(prompt="x", activate_on="harness:start", when=lambda ctx: not seen.append(ctx.state["x"]))
    result = await HARNESS.run_reactive(
        agents={"a": agent}, state={"x": []}, provider=ScriptedProvider(), reducers={"harness:start": reducer}
    )
    assert seen == [[]]
    assert result.state == {"x": []}
