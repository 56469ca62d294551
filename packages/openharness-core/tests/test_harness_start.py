"""Runs that take signals from outside, and streams."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import HangingProvider, KeepingStore, ScriptedProvider, names_of, of_name

from openharness.core import (
    AgentDefinition,
    AgentError,
    DefinitionError,
    Harness,
    HarnessTimeoutError,
    OpenHarnessError,
    PatternError,
    ProviderError,
    RecordingEndedError,
    ReplayDriftError,
    RunEndedError,
    SerializationError,
    create_harness,
)
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core import ProviderRequest, RunContext

# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time

HARNESS: Harness[dict[str, Any]] = create_harness()
AGENT = HARNESS.agent(prompt="{{ signal.payload }}", activate_on="say:*", emits="said:it")
BEGINNER = HARNESS.agent(prompt="begin", activate_on="harness:start", emits="begun:it")


def options(**more: Any) -> dict[str, Any]:
    """The keywords of a run that listens."""
    return {"agents": {"a": AGENT}, "state": {}, "provider": ScriptedProvider(), **more}


async def test_signals_from_outside_activate_agents() -> None:
    """An emitted signal is part of the log, without a parent, and activates who waits for it."""
    provider = ScriptedProvider()
    async with HARNESS.start(**options(provider=provider)) as run:
        signal = await run.emit("say:hello", (1, 2))
        assert (signal.name, signal.payload, signal.source.parent) == ("say:hello", [1, 2], None)
        assert signal.id == f"{run.run_id}/{signal.seq}"
        await run.finish()
        result = await run.result()
    assert provider.prompts == ["[1, 2]"]
    assert result.signals[signal.seq] == signal
    assert names_of(result.signals)[-1] == "harness:end"
    assert names_of(result.signals).count("harness:finished") == 1


async def test_what_is_done_to_an_emitted_signal_does_not_reach_the_log() -> None:
    """An emit returns a signal that shares nothing with the log, and takes a payload that shares nothing with the caller."""
    mine = {"list": [1]}
    async with HARNESS.start(**options()) as run:
        signal = await run.emit("say:it", mine)
        signal.payload["list"].append(2)
        mine["list"].append(3)
        await run.finish()
        result = await run.result()
    assert of_name(result.signals, "say:it")[0].payload == {"list": [1]}


async def test_a_started_run_waits_for_finish() -> None:
    """A run that has nothing left to do goes on until it is finished, and only then ends."""
    async with HARNESS.start(**options(agents={"a": AGENT, "b": BEGINNER})) as run:
        for _ in range(50):
            await asyncio.sleep(0)
        assert not run._task.done()
        await run.emit("say:late")
    result = await run.result()
    assert "say:late" in names_of(result.signals)


async def test_leaving_the_block_finishes_and_finishing_twice_is_no_error() -> None:
    """The end of the block is a finish; another one changes nothing."""
    async with HARNESS.start(**options()) as run:
        await run.finish()
        await run.finish()
    await run.finish()
    result = await run.result()
    assert names_of(result.signals) == ["harness:start", "harness:finished", "harness:end"]


async def test_work_that_was_begun_is_done_before_the_run_ends() -> None:
    """After finish the run goes to quiescence: agents that run complete, and what they emit is handled."""
    echo = HARNESS.agent(prompt="x", activate_on="said:it")
    async with HARNESS.start(**options(agents={"a": AGENT, "e": echo}, provider=ScriptedProvider(delay=0.005))) as run:
        await run.emit("say:it")
        await run.finish()
    assert (await run.result()).metrics.activations == 2


async def test_after_the_end_nothing_can_be_emitted() -> None:
    """An emit after the end raises RunEndedError that names the signal, and nothing is recorded."""
    store = KeepingStore()
    async with HARNESS.start(**options(store=store)) as run:
        await run.finish()
        await run.result()
        with pytest.raises(RunEndedError, match="say:late") as caught:
            await run.emit("say:late")
    assert caught.value.name == "say:late"
    assert "say:late" not in names_of(store.signals("rec-0"))
    with pytest.raises(RunEndedError):
        await run.emit("say:late")


async def test_an_emit_into_a_run_that_failed_says_why() -> None:
    """The error of the run is the cause of the RunEndedError."""

    class Broken(ScriptedProvider):
        def answer(self, request: Any, context: Any) -> str:
            raise RuntimeError("no answer")

    async def work() -> None:
        async with HARNESS.start(**options(provider=Broken())) as run:
            await run.emit("say:it")
            await asyncio.wait({run._task})
            await run.emit("say:more")

    with pytest.raises(RunEndedError) as caught:
        await work()
    assert isinstance(caught.value.__cause__, AgentError)


async def test_a_run_that_failed_raises_at_the_end_of_the_block() -> None:
    """The block that waits for the end gets the error of the run."""

    class Broken(ScriptedProvider):
        def answer(self, request: Any, context: Any) -> str:
            raise RuntimeError("no answer")

    with pytest.raises(AgentError, match="no answer"):
        async with HARNESS.start(**options(provider=Broken())) as run:
            await run.emit("say:it")


async def test_leaving_with_an_exception_cancels_the_run() -> None:
    """An exception in the block cancels the run and is what the caller gets."""
    store, provider = KeepingStore(), HangingProvider()

    async def work() -> None:
        async with HARNESS.start(**options(provider=provider, store=store)) as run:
            await run.emit("say:it")
            await provider.began.wait()
            raise KeyError

    with pytest.raises(KeyError):
        await work()
    assert provider.stopped == ["cancelled", "finally"]
    assert store.recordings["rec-0"].info.outcome == "cancelled"


async def test_cancelling_who_waits_in_the_block_cancels_the_run() -> None:
    """A task that is cancelled while it leaves the block cancels its run and stays cancelled."""
    store, provider = KeepingStore(), HangingProvider()

    async def work() -> None:
        async with HARNESS.start(**options(provider=provider, store=store)) as run:
            await run.emit("say:it")

    task = asyncio.ensure_future(work())
    await provider.began.wait()
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.recordings["rec-0"].info.outcome == "cancelled"


async def test_a_handle_can_cancel_its_run() -> None:
    """After cancel, result raises CancelledError, and the recording says so."""
    store, provider = KeepingStore(), HangingProvider()

    async def work() -> None:
        async with HARNESS.start(**options(provider=provider, store=store)) as run:
            await run.emit("say:it")
            await provider.began.wait()
            run.cancel()
            await run.result()

    with pytest.raises(asyncio.CancelledError):
        await work()
    assert store.recordings["rec-0"].info.outcome == "cancelled"


async def test_a_started_run_can_time_out() -> None:
    """A run that nobody finishes ends at its timeout."""
    with pytest.raises(HarnessTimeoutError):
        async with HARNESS.start(**options(timeout=0.02)) as run:
            await run.result()


async def test_a_run_is_begun_once() -> None:
    """A started run cannot be entered again; nothing waits for ever."""
    started = HARNESS.start(**options())
    async with started:
        with pytest.raises(OpenHarnessError, match="begun before"):
            await started.__aenter__()
    with pytest.raises(OpenHarnessError, match="begun before"):
        await started.__aenter__()


async def test_a_run_that_was_never_begun_can_be_left() -> None:
    """Leaving what was not entered does nothing."""
    await HARNESS.start(**options()).__aexit__(None, None, None)


@pytest.mark.parametrize(
    "name, error",
    [
        ("", PatternError),
        ("a::b", PatternError),
        ("a:*", PatternError),
        (5, PatternError),
        ("harness:end", DefinitionError),
        ("state:x:changed", DefinitionError),
        ("text:delta", DefinitionError),
        ("agent", DefinitionError),
    ],
)
async def test_names_of_the_harness_and_bad_names_cannot_be_emitted(name: Any, error: type[Exception]) -> None:
    """What is emitted has a name of its own."""
    async with HARNESS.start(**options()) as run:
        with pytest.raises(error):
            await run.emit(name)


async def test_a_payload_that_cannot_be_stored_is_refused_with_its_path() -> None:
    """The payload is converted like a state; what cannot be stored is an error, and the run goes on."""
    async with HARNESS.start(**options()) as run:
        with pytest.raises(SerializationError, match="payload"):
            await run.emit("say:it", {"a": object()})
        await run.emit("say:it", {"a": 1})


async def test_a_payload_too_large_is_refused_and_the_run_goes_on() -> None:
    """An emit of more than the run's store takes says how much that is, live and in a replay; the run has the others."""
    store = MemorySignalStore(max_bytes=10_000)
    replay: dict[str, Any] = {"agents": {"b": BEGINNER}, "mode": "replay"}
    logs: list[Any] = []
    for how in (options(agents={"b": BEGINNER}, mode="record"), replay):
        async with HARNESS.start(**how, store=store, fixture="f") as run:
            await run.emit("say:one", "x" * 9_998)
            with pytest.raises(SerializationError, match=r"payload cannot be stored.*at most 10,000 bytes, got 10001"):
                await run.emit("say:one", "x" * 9_999)
            await run.emit("say:two")
        logs.append((await run.result()).signals)
    assert [signal.name for signal in logs[0] if signal.source.parent is None and signal.name.startswith("say:")] == [
        "say:one",
        "say:two",
    ]
    assert logs[1] == logs[0]


async def test_without_a_store_a_payload_may_be_as_large_as_stores_take_by_default() -> None:
    """A run that nobody records refuses what it could not record."""
    async with HARNESS.start(**options(agents={"b": BEGINNER})) as run:
        with pytest.raises(SerializationError, match="at most 16,777,216 bytes"):
            await run.emit("say:it", "x" * 2**24)
        await run.emit("say:it", "x")


@pytest.mark.slow
async def test_a_store_may_take_larger_payloads_and_they_replay() -> None:
    """The limit is that of the store, also beyond 16 MiB."""
    store = MemorySignalStore(max_bytes=2**25)
    replay: dict[str, Any] = {"agents": {"b": BEGINNER}, "mode": "replay"}
    for how in (options(agents={"b": BEGINNER}, mode="record"), replay):
        async with HARNESS.start(**how, store=store, fixture="f") as run:
            assert len((await run.emit("say:it", "x" * 2**24)).payload) == 2**24


async def test_errors_before_the_beginning_come_out() -> None:
    """A run that cannot begin says why: in emit as RunEndedError with that cause, and at the end of the block itself."""
    agent = HARNESS.agent(prompt="x", activate_on="harness:end:x")
    with pytest.raises(DefinitionError, match="has no provider"):
        async with HARNESS.start(agents={"a": agent}, state={}):
            pass
    with pytest.raises(RunEndedError) as caught:
        async with HARNESS.start(agents={"a": agent}, state={}) as run:
            await run.emit("say:it")
    assert isinstance(caught.value.__cause__, DefinitionError)


# Replay of started runs.


async def recorded(store: KeepingStore, *emits: tuple[str, Any]) -> Any:
    """Record a run with these signals from outside."""
    async with HARNESS.start(**options(store=store, mode="record", fixture="f")) as run:
        for name, payload in emits:
            await run.emit(name, payload)
            await asyncio.sleep(0)
        await run.finish()
        return await run.result()


async def emitted(emits: Iterable[tuple[str, Any]], agent: AgentDefinition[Any], **more: Any) -> None:
    """Begin a run, emit these signals, and see it to its end."""
    async with HARNESS.start(agents={"a": agent}, **more) as run:
        for name, payload in emits:
            await run.emit(name, payload)


async def test_a_started_run_replays_with_the_same_code() -> None:
    """In a replay, emit compares with the recording and returns the recorded signal; everything is as it was."""
    store = KeepingStore()
    result = await recorded(store, ("say:one", 1), ("say:two", {"x": (1,)}))
    async with HARNESS.start(agents={"a": AGENT}, mode="replay", fixture="f", store=store) as run:
        first = await run.emit("say:one", 1)
        second = await run.emit("say:two", {"x": [1]})
        await run.finish()
        replayed = await run.result()
    assert [first, second] == [signal for signal in result.signals if signal.name.startswith("say:")]
    assert replayed.signals == result.signals
    assert replayed.replayed


async def test_emits_are_compared_in_the_order_in_which_they_were_made() -> None:
    """Who emits first comes first, also where several wait until it is clear that the run is a replay."""

    class Slow(KeepingStore):
        async def find_recording(self, name: str) -> Any:
            for _ in range(5):
                await asyncio.sleep(0)
            return await super().find_recording(name)

    store = Slow()
    await recorded(store, ("say:early", None), ("say:late", None))
    async with HARNESS.start(agents={"a": AGENT}, mode="replay", store=store, fixture="f") as run:
        decided = run._runner.decided

        async def emit_late() -> None:
            # Woken by the very same event, before who has been waiting in its emit.
            await decided.wait()
            await run.emit("say:late")

        late = asyncio.create_task(emit_late())
        await asyncio.sleep(0)
        assert not decided.is_set()
        await asyncio.gather(run.emit("say:early"), late)


@pytest.mark.parametrize(
    "emits, message",
    [
        ([("say:one", 1)], "'say:two' here"),
        ([], "'say:one' here"),
        ([("say:one", 1), ("say:two", 2), ("say:three", 3)], "was not recorded"),
        ([("say:one", 1), ("say:other", 2)], "'say:two' was recorded"),
        ([("say:two", 2), ("say:one", 1)], "'say:one' was recorded"),
        ([("say:one", "changed")], '"changed"'),
        ([("say:one", 1.0)], "1.0"),
    ],
)
async def test_other_signals_from_outside_are_drift(emits: list[tuple[str, Any]], message: str) -> None:
    """A signal that is missing, new, changed or in another place is ReplayDriftError, and never a hang."""
    store = KeepingStore()
    await recorded(store, ("say:one", 1), ("say:two", 2))
    async with asyncio.timeout(5):
        with pytest.raises(ReplayDriftError) as caught:
            await emitted(emits, AGENT, fixture="f", mode="replay", store=store)
    assert message in str(caught.value)


async def test_an_emit_in_a_replay_that_drifted_raises_the_drift() -> None:
    """Code that drifted before a signal from outside says where it drifted, not that the signal is unknown."""
    store = KeepingStore()
    await recorded(store, ("say:one", 1), ("say:two", 2))
    changed = HARNESS.agent(prompt="changed", activate_on="say:*", emits="said:it")
    with pytest.raises(ReplayDriftError, match="changed"):
        await emitted([("say:one", 1), ("say:two", 2)], changed, fixture="f", mode="replay", store=store)


async def test_an_emit_beyond_an_incomplete_recording_says_that_it_ended() -> None:
    """A recording that was cut off raises RecordingEndedError also in the emit that it does not have any more."""
    store = KeepingStore()
    await recorded(store, ("say:one", 1), ("say:two", 2))
    cut = store.rewrite("rec-0", lambda signals: signals[: names_of(signals).index("say:two")])
    with pytest.raises(RecordingEndedError):
        await emitted([("say:one", 1), ("say:two", 2)], AGENT, recording=cut, store=store)


async def test_an_emit_that_came_too_late_comes_too_late_again() -> None:
    """Code that meets RunEndedError live meets it in the replay."""

    async def work(**more: Any) -> list[str]:
        met: list[str] = []
        async with HARNESS.start(agents={"a": AGENT}, **more) as run:
            await run.emit("say:it")
            await run.finish()
            await asyncio.wait({run._task})
            try:
                await run.emit("say:late")
            except RunEndedError as error:
                met.append(error.name)
        return met

    store = KeepingStore()
    assert await work(state={}, provider=ScriptedProvider(), store=store) == ["say:late"]
    assert await work(recording="rec-0", store=store) == ["say:late"]


async def test_a_failed_run_with_signals_from_outside_replays_to_the_same_end() -> None:
    """Emits into a run that failed meanwhile end in the same way in the replay."""

    class Broken(ScriptedProvider):
        def answer(self, request: Any, context: Any) -> str:
            raise RuntimeError("no answer")

    async def work(**more: Any) -> None:
        async with HARNESS.start(agents={"a": AGENT}, **more) as run:
            await run.emit("say:it")
            await asyncio.wait({run._task})
            await run.emit("say:late")

    store = KeepingStore()
    for more in ({"state": {}, "provider": Broken()}, {"recording": "rec-0"}):
        with pytest.raises(RunEndedError) as caught:
            await work(**more, store=store)
        assert isinstance(caught.value.__cause__, AgentError)


# Streams.


async def test_a_stream_yields_every_signal_in_order() -> None:
    """What a stream yields is the log of the run, live, and its result is there afterwards."""
    stream = HARNESS.stream(**options(agents={"b": BEGINNER}))
    seen = [signal async for signal in stream]
    result = await stream.result()
    assert tuple(seen) == result.signals
    assert stream.run_id == result.run_id


async def test_a_signal_is_streamed_only_when_it_is_durable() -> None:
    """Every signal that a stream yields can be found in the store."""

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0.001)

    store = KeepingStore(slow)
    async with HARNESS.stream(**options(agents={"b": BEGINNER}, store=store)) as stream:
        async for signal in stream:
            assert signal in store.signals("rec-0")


async def test_leaving_a_stream_cancels_its_run() -> None:
    """After an early break and the end of the block, provider and recording have ended as cancelled."""
    store, provider = KeepingStore(), HangingProvider()
    async with HARNESS.stream(**options(agents={"b": BEGINNER}, provider=provider, store=store)) as stream:
        async for signal in stream:
            if signal.name == "text:delta":
                break
    assert provider.stopped[-1] == "finally"
    assert store.recordings["rec-0"].info.outcome == "cancelled"


async def test_closing_the_iteration_of_a_stream_cancels_its_run() -> None:
    """The iteration itself, closed in the middle, cancels the run as well."""
    store, provider = KeepingStore(), HangingProvider()
    iteration: Any = aiter(HARNESS.stream(**options(agents={"b": BEGINNER}, provider=provider, store=store)))
    async with aclosing(iteration) as signals:
        async for signal in signals:
            if signal.name == "provider:start":
                break
    assert store.recordings["rec-0"].info.outcome == "cancelled"


async def test_a_slow_reader_holds_the_run_and_loses_nothing() -> None:
    """A stream that is not read holds the run when its buffer is full; read to the end, it has everything."""
    provider = ScriptedProvider("x" * 4000, size=1)
    stream = HARNESS.stream(**options(agents={"b": BEGINNER}, provider=provider))
    async with stream:
        for _ in range(3000):
            await asyncio.sleep(0)
        assert provider.running == 1
        seen = [signal async for signal in stream]
        result = await stream.result()
    assert tuple(seen) == result.signals
    assert len(seen) > 4000


async def test_a_stream_that_nobody_reads_can_still_time_out_and_give_its_result() -> None:
    """A timeout is not held by a full buffer, and result() passes over what nobody takes."""
    provider = ScriptedProvider("x" * 4000, size=1)
    stream = HARNESS.stream(**options(agents={"b": BEGINNER}, provider=provider))
    result = await stream.result()
    assert len(result.signals) > 4000
    held = HARNESS.stream(**options(agents={"b": BEGINNER}, provider=provider, timeout=0.05))
    async with asyncio.timeout(5), held:
        await asyncio.sleep(0.1)
        with pytest.raises(HarnessTimeoutError):
            await held.result()


async def test_a_stream_raises_what_the_run_raised_after_its_last_signal() -> None:
    """All signals of a failed run are yielded, harness:end too, and then its error is raised."""

    class Broken(ScriptedProvider):
        def answer(self, request: Any, context: Any) -> str:
            raise RuntimeError("no answer")

    seen: list[str] = []

    async def read() -> None:
        nonlocal seen
        async for signal in HARNESS.stream(**options(agents={"b": BEGINNER}, provider=Broken())):
            seen += [signal.name]

    with pytest.raises(AgentError, match="no answer"):
        await read()
    assert seen[-1] == "harness:end"


async def test_a_stream_of_a_replay_yields_the_recorded_signals() -> None:
    """A replay can be streamed like a live run."""
    store = KeepingStore()
    result = await HARNESS.run_reactive(**options(agents={"b": BEGINNER}, store=store))
    seen = [signal async for signal in HARNESS.stream(agents={"b": BEGINNER}, recording="rec-0", store=store)]
    assert tuple(seen) == result.signals


async def test_a_stream_that_is_never_begun_costs_nothing() -> None:
    """Making a stream begins nothing, and leaving it before it began is no error."""
    provider = ScriptedProvider()
    stream = HARNESS.stream(**options(agents={"b": BEGINNER}, provider=provider))
    await stream.__aexit__(None, None, None)
    assert provider.requests == []


async def test_what_is_done_to_a_streamed_signal_does_not_reach_the_log() -> None:
    """A stream yields copies."""
    stream = HARNESS.stream(**options(agents={"b": BEGINNER}, state={"list": []}))
    async for signal in stream:
        if signal.name == "harness:start":
            signal.payload["state"]["list"].append("changed")
    assert (await stream.result()).signals[0].payload["state"] == {"list": []}


async def test_a_handle_waits_for_signals_of_the_past_and_of_the_future() -> None:
    """`wait_for` returns the first match, also one that is there already; ``after`` asks for the next one."""
    harness = create_harness()
    agent = harness.agent(prompt="go", activate_on=["harness:start", "again"], emits="done")
    async with harness.start(agents={"a": agent}, state={}, provider=ScriptedProvider()) as run:
        first = await run.wait_for("done")
        assert await run.wait_for("do*") == first
        await run.emit("again")
        second = await run.wait_for("done", after=first)
        assert second.seq > first.seq
        first.payload["agent"] = "changed by the one who waited"
    assert (await run.result()).signals[first.seq].payload["agent"] == "a"


async def test_who_waits_for_what_never_comes_is_told() -> None:
    """A run that ends without the signal ends the wait, and the error says what ended the run."""

    def refuse(request: ProviderRequest, context: RunContext) -> str:
        raise ProviderError("no")

    harness = create_harness()
    agent = harness.agent(prompt="go", activate_on="harness:start", emits="done")
    started = harness.start(agents={"a": agent}, state={}, provider=ScriptedProvider(refuse))
    with pytest.raises(RunEndedError) as caught:
        async with started as run:
            await run.wait_for("done")
    assert isinstance(caught.value.__cause__, AgentError)


async def test_a_started_run_replays_without_its_program() -> None:
    """What was emitted into a recorded run stands in the recording, so `run_reactive` replays it too."""
    harness, store = create_harness(), KeepingStore()
    agent = harness.agent(prompt="{{ signal.payload.ok }}", activate_on="approved", emits="done", updates="answer")
    options: dict[str, Any] = {"agents": {"a": agent}, "store": store}
    async with harness.start(**options, state={"answer": None}, provider=ScriptedProvider()) as run:
        await run.emit("approved", {"ok": "yes"})
    result = await run.result()
    replayed = await harness.run_reactive(**options, recording=result.recording_id)
    assert (replayed.signals, replayed.state) == (result.signals, result.state)


def test_a_run_that_was_not_begun_says_how() -> None:
    """Who takes what `start` returns for the handle is told how to get it."""
    started: Any = HARNESS.start(**options())
    with pytest.raises(AttributeError, match=r"has no attribute 'emit'.*async with harness\.start"):
        started.emit("say:hello", "world")
