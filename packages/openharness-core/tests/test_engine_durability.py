"""Output commit, failing and hanging stores, time limits and cancellation: what is told has been written before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import EventsProvider, FailingRunStore, HangingProvider, KeepingStore, ScriptedProvider, names_of

from openharness.core import (
    Completed,
    FunctionProvider,
    Harness,
    HarnessTimeoutError,
    InMemoryRunStore,
    InvalidValueError,
    Provider,
    ProviderError,
    ProviderOutput,
    RecorderError,
    RecordingEndedError,
    ReplayDriftError,
    RunCancelledError,
    RunEndedError,
    RunError,
    RunRecord,
    RunSaveError,
    Signal,
    StoreError,
    TextDelta,
    ToolCall,
    create_harness,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from openharness.core import ProviderRequest

# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time

HARNESS: Harness[dict[str, Any]] = create_harness()
FIRST = HARNESS.agent(
    prompt="one", activate_on="harness:start", emits="one:done", updates="one", retries=1, retry_delay=0
)
SECOND = HARNESS.agent(prompt="two {{ state.one }}", activate_on="one:done", updates="two", retries=1, retry_delay=0)
AGENTS = {"first": FIRST, "other": FIRST, "second": SECOND}
STATE = {"one": "", "two": ""}


class Journalled(Provider):
    """Notes in the store's journal when a request reaches it, and fails its first attempt."""

    type = "journalled"

    def __init__(self, store: KeepingStore) -> None:
        self._store = store
        self.calls: list[str] = []

    async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
        """Answer in two pieces."""
        self.calls.append(context.call)
        self._store.journal.append(("call", context.call))
        await asyncio.sleep(0)
        if context.attempt == 0:
            raise ProviderError("once more", retryable=True)
        yield TextDelta("o")
        yield TextDelta("k")
        yield Completed(ProviderOutput(content="ok"))


def durable_before(store: KeepingStore, index: int) -> list[str]:
    """The names of all signals that were durable when something happened."""
    return [name for what, names in store.journal[:index] if what == "append" for name in names]


async def test_no_request_is_sent_before_its_announcement_is_durable() -> None:
    """When a provider is called, provider:start of that very call, and all before it, are in the store."""

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0.001)

    store = KeepingStore(slow)
    provider = Journalled(store)
    result = await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=provider, store=store)
    order = [signal.payload["call"] for signal in result.signals if signal.name == "provider:start"]
    calls = [(index, call) for index, (what, call) in enumerate(store.journal) if what == "call"]
    assert sorted(call for _, call in calls) == sorted(order)
    for index, call in calls:
        durable = durable_before(store, index).count("provider:start")
        assert durable > order.index(call)


async def test_the_result_comes_after_everything_is_durable_and_closed() -> None:
    """What run_reactive returns is in the store, finalized and published, and its record saved."""
    store, runs = KeepingStore(), FailingRunStore()
    result = await HARNESS.run_reactive(
        agents=AGENTS, state=STATE, provider=ScriptedProvider(), store=store, run_store=runs, mode="record", fixture="f"
    )
    assert tuple(store.signals("rec-0")) == result.signals
    assert [what for what, _ in store.journal if what != "append"] == ["create", "finalize", "publish"]
    assert store.journal[-2:] == [("finalize", "completed"), ("publish", "f")]
    assert [run.status for run in runs.saved] == ["running", "completed"]
    saved = await runs.get_run(result.run_id)
    assert saved is not None
    assert (saved.state, saved.recording_id, saved.error) == (result.state, "rec-0", None)
    assert (saved.created_at, saved.completed_at) == (result.signals[0].timestamp, result.signals[-1].timestamp)


async def test_an_emit_returns_only_when_its_signal_is_durable() -> None:
    """While the store is writing, emit waits; when it returns, the signal is in the store."""
    writing = asyncio.Event()

    async def slow(what: str, subject: Any) -> None:
        if what == "append" and "out:side" in subject:
            writing.set()
            await asyncio.sleep(0.005)

    store = KeepingStore(slow)
    agent = HARNESS.agent(prompt="x", activate_on="out:side")
    async with HARNESS.start(agents={"a": agent}, state={}, provider=ScriptedProvider(), store=store) as run:
        emitting = asyncio.ensure_future(run.emit("out:side", 1))
        await writing.wait()
        await asyncio.sleep(0)
        assert not emitting.done()
        signal = await emitting
        assert signal.name in names_of(store.signals("rec-0"))


async def test_one_write_serves_all_steps_since_the_last() -> None:
    """Arrivals that came while the store was writing are written together."""

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0.005)

    store = KeepingStore(slow)
    agent = HARNESS.agent(prompt="x" * 200, activate_on="harness:start")
    result = await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider(size=4), store=store)
    appends = [names for what, names in store.journal if what == "append"]
    assert len(result.signals) > 50
    assert len(appends) < 15


async def test_a_store_that_fails_at_the_nth_write_fails_the_run_without_any_further_effect() -> None:
    """For every n: RecorderError, no request that was not announced durably, and what is there loads and replays."""
    appends = 1
    for nth in range(1, 100):
        count = 0

        async def fail(what: str, subject: Any, nth: int = nth) -> None:
            nonlocal count
            if what == "append":
                count += 1
                if count == nth:
                    raise StoreError("the disk is on fire")

        store, runs = KeepingStore(fail), FailingRunStore()
        provider = Journalled(store)
        caught: RecorderError | None = None
        async with asyncio.timeout(5):
            try:
                await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=provider, store=store, run_store=runs)
            except RecorderError as error:
                caught = error
        if caught is None:
            appends = count
            break
        assert "the disk is on fire" in str(caught)
        assert isinstance(caught.__cause__, StoreError)
        assert caught.recording_id == "rec-0"
        assert caught.result is not None
        announced = [signal.payload["call"] for signal in store.signals("rec-0") if signal.name == "provider:start"]
        assert set(provider.calls) <= set(announced)
        assert store.recordings["rec-0"].info.outcome == "failed"
        assert [run.status for run in runs.saved] == ["running", "failed"]
        with pytest.raises(RecordingEndedError):
            await HARNESS.run_reactive(agents=AGENTS, recording="rec-0", store=store)
    assert appends > 5


@pytest.mark.parametrize("what", ["create", "finalize", "publish"])
async def test_a_store_that_cannot_begin_or_close_a_recording_fails_the_run(what: str) -> None:
    """A store that fails at the beginning prevents the run; one that fails at the end costs its success, not its result."""

    async def fail(operation: str, subject: Any) -> None:
        if operation == what:
            raise StoreError("full")

    store, runs, provider = KeepingStore(fail), FailingRunStore(), ScriptedProvider()
    with pytest.raises(RecorderError, match="full") as caught:
        await HARNESS.run_reactive(
            agents=AGENTS, state=STATE, provider=provider, store=store, run_store=runs, mode="record", fixture="f"
        )
    assert isinstance(caught.value.__cause__, StoreError)
    assert store.published == {}
    if what == "create":
        assert (provider.requests, runs.saved) == ([], [])
    else:
        assert caught.value.result.state == {"one": "ONE", "two": "TWO ONE"}
        assert [run.status for run in runs.saved] == ["running", "completed"]


async def test_without_a_saved_beginning_there_is_no_run() -> None:
    """A run store that cannot save the running record prevents the run, and the empty recording is deleted."""
    store, provider = KeepingStore(), ScriptedProvider()
    with pytest.raises(StoreError, match="on fire"):
        await HARNESS.run_reactive(
            agents=AGENTS, state=STATE, provider=provider, store=store, run_store=FailingRunStore(fails=["running"])
        )
    assert provider.requests == []
    assert store.recordings == {}


async def test_an_empty_recording_that_cannot_be_deleted_does_not_hide_why_there_is_no_run() -> None:
    """The first error is raised, with a note about the second."""

    async def fail(what: str, subject: Any) -> None:
        if what == "delete":
            raise StoreError("not that either")

    with pytest.raises(StoreError, match="on fire") as caught:
        await HARNESS.run_reactive(
            agents=AGENTS,
            state=STATE,
            provider=ScriptedProvider(),
            store=KeepingStore(fail),
            run_store=FailingRunStore(fails=["running"]),
        )
    assert "not that either" in caught.value.__notes__[0]


async def test_a_timeout_error_of_a_store_is_not_taken_for_the_runs_own() -> None:
    """A store that raises TimeoutError fails with that, not as a run that took too long."""

    class Slow(FailingRunStore):
        async def save_run(self, run: Any) -> None:
            raise TimeoutError("the server did not answer")

    with pytest.raises(TimeoutError, match="the server did not answer") as caught:
        await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=ScriptedProvider(), run_store=Slow())
    assert not isinstance(caught.value, HarnessTimeoutError)


@pytest.mark.parametrize("what", ["create", "append", "finalize", "publish", "running", "completed"])
async def test_a_store_that_was_cancelled_has_failed_and_not_the_run_timed_out(what: str) -> None:
    """A store may wait for a task of its own that somebody cancels: the run ends as when a store fails, with a record."""

    async def cancelled(done: str, subject: Any) -> None:
        if done == what:
            raise asyncio.CancelledError

    class CancelledStore(InMemoryRunStore):
        async def save_run(self, run: RunRecord) -> None:
            await cancelled(run.status, None)
            await super().save_run(run)

    store, run_store = KeepingStore(cancelled), CancelledStore()
    with pytest.raises((RecorderError, RunSaveError, StoreError), match="what it waited for was cancelled"):
        await HARNESS.run_reactive(
            agents=AGENTS,
            state=STATE,
            provider=ScriptedProvider(),
            store=store,
            run_store=run_store,
            mode="record",
            fixture="f",
        )
    statuses = [run.status for run in await run_store.list_runs()]
    ends = {"append": "failed", "finalize": "completed", "publish": "completed", "completed": "running"}
    assert statuses == ([ends[what]] if what in ends else [])


async def test_a_run_that_is_cancelled_from_within_is_an_error() -> None:
    """Who waits for it was not cancelled, and hears of it; a task group would not, of a CancelledError."""

    def prompt(ctx: Any) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "x"

    agent = HARNESS.agent(prompt=prompt, activate_on="harness:start")
    with pytest.raises(RunError, match="cancelled from within") as caught:
        await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider())
    assert not isinstance(caught.value, HarnessTimeoutError)


async def test_a_result_that_cannot_be_saved_is_not_lost() -> None:
    """If only the final save fails, RunSaveError carries the result, and the recording is whole."""
    store = KeepingStore()
    with pytest.raises(RunSaveError, match="on fire") as caught:
        await HARNESS.run_reactive(
            agents=AGENTS,
            state=STATE,
            provider=ScriptedProvider(),
            store=store,
            run_store=FailingRunStore(fails=["completed"]),
            mode="record",
            fixture="f",
        )
    assert caught.value.result.state == {"one": "ONE", "two": "TWO ONE"}
    assert caught.value.result.status == "completed"
    assert store.published == {"f": "rec-0"}


async def test_what_failed_first_is_raised_and_what_failed_besides_is_noted() -> None:
    """A run that failed and could not be saved raises its own error, with a note about the save."""
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")

    class Broken(ScriptedProvider):
        def answer(self, request: Any, context: Any) -> str:
            raise RuntimeError("no answer")

    with pytest.raises(Exception, match="no answer") as caught:
        await HARNESS.run_reactive(
            agents={"a": agent}, state={}, provider=Broken(), run_store=FailingRunStore(fails=["failed"])
        )
    assert "could not be saved" in caught.value.__notes__[0]


async def test_a_replay_whose_record_cannot_be_saved_carries_its_result() -> None:
    """The same holds for a replay that is to be kept in a run store."""
    store = KeepingStore()
    await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=ScriptedProvider(), store=store)
    with pytest.raises(RunSaveError) as caught:
        await HARNESS.run_reactive(
            agents=AGENTS, recording="rec-0", store=store, run_store=FailingRunStore(fails=["completed"])
        )
    assert caught.value.result.replayed


# Time limits.


async def test_a_timeout_stops_providers_before_it_is_raised() -> None:
    """When HarnessTimeoutError is raised, every provider has seen its cancellation and has cleaned up."""
    provider, store, runs = HangingProvider(), KeepingStore(), FailingRunStore()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    async with asyncio.timeout(5):
        with pytest.raises(HarnessTimeoutError, match=r"0\.05 s") as caught:
            await HARNESS.run_reactive(
                agents={"a": agent, "b": agent}, state={}, provider=provider, timeout=0.05, store=store, run_store=runs
            )
    assert provider.stopped.count("finally") == 2
    error = caught.value
    assert (error.timeout, error.recording_id, error.result.status) == (0.05, "rec-0", "timed_out")
    assert names_of(store.signals("rec-0"))[-2:] == ["harness:timeout", "harness:end"]
    assert store.recordings["rec-0"].info.outcome == "timed_out"
    assert [run.status for run in runs.saved] == ["running", "timed_out"]


async def test_a_run_that_timed_out_replays_to_the_same_error() -> None:
    """The recorded timeout is an arrival like any other: the replay ends with it, without waiting."""
    store = KeepingStore()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(HarnessTimeoutError) as live:
        await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=HangingProvider(), timeout=0.02, store=store)
    with pytest.raises(HarnessTimeoutError) as again:
        await HARNESS.run_reactive(agents={"a": agent}, recording="rec-0", store=store)
    assert again.value.timeout == 0.02
    assert again.value.result.signals == live.value.result.signals
    assert str(again.value) == str(live.value)


async def look_up() -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return ""


async def ask_for_look_up(request: ProviderRequest) -> ToolCall:
    """Answer with a call."""
    return ToolCall("1", "look_up", {})


WAITS: dict[str, tuple[dict[str, Any], dict[str, Any], list[Any]]] = {
    "provider 'hanging' to agent 'a' (a#1/0/0)": (
        {},
        {"provider": HangingProvider()},
        [{"kind": "provider", "id": "a#1/0/0", "agent": "a", "name": "hanging"}],
    ),
    "the next attempt of agent 'a' (a#1)": (
        {"retries": 1, "retry_delay": 9},
        {"provider": EventsProvider([ProviderError("busy", retryable=True)])},
        [{"kind": "retry", "id": "a#1", "agent": "a", "name": "events"}],
    ),
    "the tool 'look_up' of agent 'a' (a#1/0/0)": (
        {"tools": [look_up]},
        {},
        [{"kind": "tool", "id": "a#1/0/0", "agent": "a", "name": "look_up"}],
    ),
    "the approval of the tool 'look_up' of agent 'a' (a#1/0/0)": (
        {"tools": [tool(look_up, needs_approval=True)]},
        {},
        [{"kind": "approval", "id": "a#1/0/0", "agent": "a", "name": "look_up"}],
    ),
    "signals from outside, or finish()": ({"activate_on": "b:c"}, {}, []),
}


@pytest.mark.parametrize("words", WAITS)
async def test_a_run_that_timed_out_says_what_it_waited_for(words: str) -> None:
    """Providers, retries, tools and people are told apart, by name and as data, also by the replay."""
    agent_options, run_options, pending = WAITS[words]
    store = KeepingStore()
    agent = HARNESS.agent(**{"prompt": "x", "activate_on": "harness:start", **agent_options})
    provider = FunctionProvider(ask_for_look_up)
    options: dict[str, Any] = {"agents": {"a": agent}, "store": store}
    with pytest.raises(RunEndedError):
        async with HARNESS.start(**options, state={}, timeout=0.05, **{"provider": provider, **run_options}) as run:
            await run.wait_for("never:emitted")
    with pytest.raises(HarnessTimeoutError) as caught:
        await run.result()
    assert str(caught.value).startswith("The run took longer than its timeout of 0.05 s. It was waiting for ")
    assert str(caught.value).endswith(f"{words}.")
    assert list(caught.value.pending) == pending
    with pytest.raises(HarnessTimeoutError) as again:
        await HARNESS.run_reactive(**options, recording="rec-0")
    assert (str(again.value), again.value.pending) == (str(caught.value), caught.value.pending)


async def test_a_run_that_timed_out_for_want_of_slots_says_so() -> None:
    """What waits for `max_concurrency` is told apart from what runs; of many only the first are listed."""
    agents = {f"a{number}": HARNESS.agent(prompt="x", activate_on="harness:start") for number in range(8)}
    with pytest.raises(HarnessTimeoutError) as caught:
        await HARNESS.run_reactive(agents=agents, state={}, provider=HangingProvider(), timeout=0.05, max_concurrency=1)
    assert [one["kind"] for one in caught.value.pending] == ["provider", *["slot"] * 7]
    assert "a slot for agent 'a1' (a1#1)" in str(caught.value)
    assert str(caught.value).endswith(", 3 more.")


@pytest.mark.parametrize("drift", ["error", "warn"])
async def test_a_recording_whose_error_was_worded_in_another_way_replays(drift: Any) -> None:
    """What ended a run is compared, and not how the release that recorded it worded that."""
    store = KeepingStore()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(HarnessTimeoutError) as live:
        await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=HangingProvider(), timeout=0.02, store=store)
    [*others, end] = store.recordings["rec-0"].lines
    replay: dict[str, Any] = {"agents": {"a": agent}, "recording": "rec-0", "store": store, "drift": drift}

    store.recordings["rec-0"].lines = [*others, end.replace(b"The run took longer", b"It took too long")]
    assert store.recordings["rec-0"].lines[-1] != end
    with pytest.raises(HarnessTimeoutError) as again:
        await HARNESS.run_reactive(**replay)
    assert str(again.value) == str(live.value)
    assert again.value.result.drift == ()

    store.recordings["rec-0"].lines = [*others, end.replace(b"HarnessTimeoutError", b"AgentError")]
    with pytest.raises(ReplayDriftError, match="'harness:end'"):
        await HARNESS.run_reactive(**{**replay, "drift": "error"})


@pytest.mark.parametrize("what", ["create", "append", "finalize"])
async def test_a_signal_store_that_hangs_cannot_hold_a_run_that_is_to_stop(what: str) -> None:
    """With a timeout, a hanging store is given up after shutdown_timeout, and providers are stopped."""

    async def hang(operation: str, subject: Any) -> None:
        if operation == what and (what != "append" or "text:delta" in subject):
            await asyncio.Event().wait()

    store, provider = KeepingStore(hang), HangingProvider()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    async with asyncio.timeout(5):
        with pytest.raises(HarnessTimeoutError) as caught:
            await HARNESS.run_reactive(
                agents={"a": agent}, state={}, provider=provider, timeout=0.05, shutdown_timeout=0.05, store=store
            )
    assert "did not answer" in caught.value.__notes__[0]
    assert provider.stopped == ([] if what == "create" else ["cancelled", "finally"])
    if what != "create":
        assert store.recordings["rec-0"].info.outcome == "incomplete"


@pytest.mark.parametrize("status", ["running", "timed_out"])
async def test_a_run_store_that_hangs_cannot_hold_a_run_that_is_to_stop(status: str) -> None:
    """A hanging run store costs the record, never the caller."""
    provider = HangingProvider()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    async with asyncio.timeout(5):
        with pytest.raises(HarnessTimeoutError):
            await HARNESS.run_reactive(
                agents={"a": agent},
                state={},
                provider=provider,
                timeout=0.05,
                shutdown_timeout=0.05,
                run_store=FailingRunStore(hangs=[status]),
            )


@pytest.mark.parametrize("timeout", [-1, "5", float("nan"), True])
@pytest.mark.parametrize("name", ["timeout", "shutdown_timeout"])
async def test_time_limits_are_seconds(name: str, timeout: Any) -> None:
    """A limit that is no number from 0 on is refused."""
    with pytest.raises(InvalidValueError, match=name):
        await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=ScriptedProvider(), **{name: timeout})


async def test_a_timeout_of_zero_is_a_run_that_times_out() -> None:
    """The smallest limit still gives a run with a beginning and an end in its log."""
    store = KeepingStore()
    with pytest.raises(HarnessTimeoutError):
        await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=HangingProvider(), timeout=0, store=store)
    names = names_of(store.signals("rec-0"))
    assert (names[0], names[-1]) == ("harness:start", "harness:end")


# Cancellation.


async def cancelled_after(passes: int, store: KeepingStore, runs: FailingRunStore) -> bool:
    """Run, cancel after so many turns of the event loop, and tell whether the run had ended before."""
    task = asyncio.ensure_future(
        HARNESS.run_reactive(
            agents=AGENTS, state=STATE, provider=Journalled(store), store=store, run_store=runs, shutdown_timeout=2
        )
    )
    for _ in range(passes):
        if task.done():
            break
        await asyncio.sleep(0)
    if task.done():
        await task
        return True
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert task.cancelled()
    return False


async def test_a_run_can_be_cancelled_at_any_point() -> None:
    """For every n: CancelledError is raised, and recording and record are whole and say how the run ended."""
    outcomes: set[str] = set()

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0)

    for passes in range(400):
        store, runs = KeepingStore(slow), FailingRunStore()
        if await cancelled_after(passes, store, runs):
            break
        for recording_id, kept in store.recordings.items():
            outcomes.add(str(kept.info.outcome))
            signals = store.signals(recording_id)
            assert [signal.seq for signal in signals] == list(range(len(signals)))
            if kept.info.outcome == "cancelled":
                assert names_of(signals)[-2:] == ["harness:cancelled", "harness:end"]
                with pytest.raises(RunCancelledError):
                    await HARNESS.run_reactive(agents=AGENTS, recording=recording_id, store=store)
        if runs.saved:
            assert [run.status for run in runs.saved] in (["running", "cancelled"], ["running", "completed"])
            assert runs.saved[-1].status == next(iter(store.recordings.values())).info.outcome
    else:
        pytest.fail("the run never ended by itself")
    assert passes > 20
    assert outcomes == {"cancelled", "completed"}


async def test_cancelling_twice_and_more_changes_nothing() -> None:
    """However often the task is cancelled while the run ends, the run ends in order."""

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0.002)

    store, provider = KeepingStore(slow), HangingProvider()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    task = asyncio.ensure_future(HARNESS.run_reactive(agents={"a": agent}, state={}, provider=provider, store=store))
    await provider.began.wait()
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.recordings["rec-0"].info.outcome == "cancelled"
    assert provider.stopped == ["cancelled", "finally"]


async def test_a_cancelled_run_whose_store_hangs_is_cancelled_all_the_same() -> None:
    """A hanging store is given up after shutdown_timeout; what was durable can be loaded as incomplete."""

    async def hang(what: str, subject: Any) -> None:
        if what == "append" and "harness:cancelled" in subject:
            await asyncio.Event().wait()

    store, provider = KeepingStore(hang), HangingProvider()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    task = asyncio.ensure_future(
        HARNESS.run_reactive(agents={"a": agent}, state={}, provider=provider, store=store, shutdown_timeout=0.05)
    )
    await provider.began.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert provider.stopped == ["cancelled", "finally"]
    assert store.recordings["rec-0"].info.outcome == "incomplete"
    with pytest.raises(RecordingEndedError):
        await HARNESS.run_reactive(agents={"a": agent}, recording="rec-0", store=store)


async def test_a_cancellation_while_a_stuck_run_is_given_up_is_not_swallowed() -> None:
    """A run that is being given up after its timeout, and is cancelled then, raises CancelledError."""
    release = asyncio.Event()

    class Blocking(Provider):
        type = "blocking"

        async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            yield Completed(ProviderOutput(content=""))

    async def hang(what: str, subject: Any) -> None:
        while what == "append" and "harness:timeout" in subject and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    task = asyncio.ensure_future(
        HARNESS.run_reactive(
            agents={"a": agent},
            state={},
            provider=Blocking(),
            store=KeepingStore(hang),
            timeout=0.01,
            shutdown_timeout=0.1,
        )
    )
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.sleep(0)


async def test_an_outer_time_limit_is_a_cancellation_and_stays_one() -> None:
    """asyncio.timeout around a run gives TimeoutError, and the run is recorded as cancelled."""
    store, runs = KeepingStore(), FailingRunStore()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.05):
            await HARNESS.run_reactive(
                agents={"a": agent}, state={}, provider=HangingProvider(), store=store, run_store=runs
            )
    assert not isinstance(caught.value, HarnessTimeoutError)
    assert store.recordings["rec-0"].info.outcome == "cancelled"
    assert [run.status for run in runs.saved] == ["running", "cancelled"]


async def test_an_emit_into_a_run_whose_store_fails_ends_and_says_so() -> None:
    """An emit whose signal could not be made durable raises RunEndedError; it never waits for ever."""

    async def fail(what: str, subject: Any) -> None:
        if what == "append" and "out:side" in subject:
            raise StoreError("full")

    agent = HARNESS.agent(prompt="x", activate_on="out:side")
    async with asyncio.timeout(5):
        with pytest.raises(RunEndedError):
            async with HARNESS.start(
                agents={"a": agent}, state={}, provider=ScriptedProvider(), store=KeepingStore(fail)
            ) as run:
                await run.emit("out:side")


async def test_an_emit_while_the_run_closes_ends_and_says_so() -> None:
    """An emit that comes while the store finalizes the recording raises RunEndedError."""
    closing = asyncio.Event()
    release = asyncio.Event()

    async def wait(what: str, subject: Any) -> None:
        if what == "finalize":
            closing.set()
            await release.wait()

    agent = HARNESS.agent(prompt="x", activate_on="out:side")
    async with asyncio.timeout(5):
        async with HARNESS.start(
            agents={"a": agent}, state={}, provider=ScriptedProvider(), store=KeepingStore(wait)
        ) as run:
            await run.finish()
            await closing.wait()
            with pytest.raises(RunEndedError, match="out:side"):
                await run.emit("out:side")
            release.set()


async def test_signals_in_the_store_share_nothing_with_the_run() -> None:
    """What the store was given is what it holds, whatever is done to the result afterwards."""
    store = KeepingStore()
    result = await HARNESS.run_reactive(agents=AGENTS, state=STATE, provider=ScriptedProvider(), store=store)
    before = store.signals("rec-0")
    signal: Signal = result.signals[0]
    signal.payload["state"]["one"] = "changed"
    assert store.signals("rec-0") == before
