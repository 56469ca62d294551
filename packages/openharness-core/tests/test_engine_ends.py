"""The time that the end of a run takes, and what is done in it while stores, providers or subscribers hang."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import FailingRunStore, HangingProvider, KeepingStore, ScriptedProvider
from virtual_time import VirtualTimeLoop, now

from openharness.core import (
    AgentError,
    Completed,
    Harness,
    HarnessTimeoutError,
    Provider,
    ProviderOutput,
    RecorderError,
    RecordingFinalizedError,
    RunSaveError,
    create_harness,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

# Time passes only where everything waits, and so can be measured.
pytestmark = pytest.mark.virtual_time

HARNESS: Harness[dict[str, Any]] = create_harness()
AGENT = HARNESS.agent(prompt="x", activate_on="harness:start")
SHUTDOWN = 10.0
"""Seconds that the end of these runs may take."""


class StuckProvider(Provider):
    """Does not heed that it is cancelled until it is let go."""

    type = "stuck"

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
        """Wait, whatever happens."""
        await wait_for(self.free)
        yield Completed(ProviderOutput(content=""))


async def wait_for(free: asyncio.Event) -> None:
    """Wait for an event, and heed no cancellation meanwhile."""
    while not free.is_set():
        try:
            await free.wait()
        except asyncio.CancelledError:
            continue


def hanging(operation: str, *, free: asyncio.Event | None = None, after: str | None = None) -> KeepingStore:
    """Return a store in which an operation never ends, or not before it is let go; `append` from a signal on."""

    async def hang(what: str, subject: Any) -> None:
        if what == operation and (after is None or after in subject):
            if free is None:
                await asyncio.Event().wait()
            else:
                await wait_for(free)

    return KeepingStore(hang)


async def end(store: KeepingStore, run_store: FailingRunStore, by: str, **options: Any) -> tuple[BaseException, float]:
    """Run until it ends as it is to, and return what that raised, and how long the end took."""
    waits = by != "completed"
    provider = HangingProvider() if waits else ScriptedProvider()
    task = asyncio.ensure_future(
        HARNESS.run_reactive(
            agents={"a": AGENT},
            state={},
            provider=provider,
            store=store,
            run_store=run_store,
            shutdown_timeout=SHUTDOWN,
            timeout=100.0 if by == "timed_out" else None,
            **options,
        )
    )
    began = now() + 100.0 if waits else now()
    if by == "cancelled":
        await asyncio.sleep(100)
        task.cancel()
    async with asyncio.timeout(1000):
        await asyncio.wait({task})
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    assert error is not None
    return error, now() - began


RAISED = {"timed_out": HarnessTimeoutError, "cancelled": asyncio.CancelledError, "completed": RecorderError}


def told(error: BaseException, log: str) -> str:
    """Return all that somebody is told of the end of a run."""
    return "\n".join([str(error), *getattr(error, "__notes__", ()), log])


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("by", ["timed_out", "cancelled", "completed"])
async def test_a_recording_that_is_never_closed_does_not_cost_the_record(
    by: str, heeds: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """However a run ends, its end has a limit, its record is saved within that, and what was not done is told."""
    free = asyncio.Event()
    store, run_store = hanging("finalize", free=None if heeds else free), FailingRunStore()
    error, seconds = await end(store, run_store, by)
    assert isinstance(error, RAISED[by])
    assert seconds <= SHUTDOWN
    assert [run.status for run in run_store.saved] == ["running", by]
    assert store.recordings["rec-0"].info.outcome == "incomplete"
    assert f"The run ended as {by}, but its recording could not be closed: the signal store did not" in told(
        error, caplog.text
    )
    free.set()
    await asyncio.sleep(0)


async def test_a_record_of_a_completed_run_says_that_its_recording_was_not_closed() -> None:
    """Who finds a completed run beside a recording without an end is told why; the caller still gets the result."""
    run_store = FailingRunStore()
    error, _ = await end(hanging("finalize"), run_store, "completed")
    assert isinstance(error, RecorderError)
    assert run_store.saved[-1].error == str(error)
    assert error.result is not None
    assert error.result.status == "completed"


@pytest.mark.parametrize("by", ["timed_out", "cancelled"])
async def test_an_end_that_is_never_written_does_not_cost_the_record(by: str, caplog: pytest.LogCaptureFixture) -> None:
    """A store that hangs over the last signals is given up: the record says how the run ended, the recording nothing."""
    after = "harness:timeout" if by == "timed_out" else "harness:cancelled"
    store, run_store = hanging("append", after=after), FailingRunStore()
    error, seconds = await end(store, run_store, by)
    assert isinstance(error, RAISED[by])
    assert seconds <= SHUTDOWN
    assert [run.status for run in run_store.saved] == ["running", by]
    assert store.recordings["rec-0"].info.outcome == "incomplete"
    assert "the signal store did not answer" in told(error, caplog.text)


@pytest.mark.parametrize("by", ["timed_out", "cancelled"])
async def test_a_store_that_hangs_before_the_run_is_to_end_does_not_cost_the_record(
    by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Likewise where the store was at work when the run was told to stop, which its log therefore does not say."""
    store, run_store = hanging("append", after="text:delta"), FailingRunStore()
    error, seconds = await end(store, run_store, by)
    assert isinstance(error, RAISED[by])
    assert seconds <= SHUTDOWN
    assert [run.status for run in run_store.saved] == ["running", by]
    assert "the signal store did not answer" in told(error, caplog.text)


@pytest.mark.parametrize("by", ["timed_out", "cancelled", "completed"])
async def test_two_stores_that_hang_are_both_told_of(by: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where neither store answers, the end has its limit all the same, and both are named."""
    error, seconds = await end(hanging("finalize"), FailingRunStore(hangs=[by]), by)
    assert isinstance(error, RunSaveError if by == "completed" else RAISED[by])
    assert seconds <= SHUTDOWN
    for store in ("the signal store did not answer", "the run store did not answer"):
        assert told(error, caplog.text).count(store) >= 1


async def test_a_cancelled_run_that_cannot_be_stopped_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """A store that does not even heed a cancellation costs the end of the run, and that is said."""
    free = asyncio.Event()
    error, _ = await end(hanging("append", free=free, after="harness:cancelled"), FailingRunStore(), "cancelled")
    assert isinstance(error, asyncio.CancelledError)
    assert "not brought to its end" in caplog.text
    free.set()
    await asyncio.sleep(0)


async def test_stores_that_are_slow_have_the_time_they_need() -> None:
    """Stores that need most of the time are waited for, one after the other, and the run completes."""

    async def slow(what: str, subject: Any) -> None:
        if what == "finalize":
            await asyncio.sleep(0.5 * SHUTDOWN)

    class SlowRunStore(FailingRunStore):
        async def save_run(self, run: Any) -> None:
            await asyncio.sleep(0.3 * SHUTDOWN)
            await super().save_run(run)

    store, run_store = KeepingStore(slow), SlowRunStore()
    options: dict[str, Any] = {"agents": {"a": AGENT}, "state": {}, "provider": ScriptedProvider()}
    result = await HARNESS.run_reactive(**options, store=store, run_store=run_store, shutdown_timeout=SHUTDOWN)
    assert result.status == store.recordings["rec-0"].info.outcome == run_store.saved[-1].status == "completed"

    # Alone, a signal store has the time of the run store too.
    slower = KeepingStore(lambda what, subject: slow(what, subject) if what != "finalize" else asyncio.sleep(8))
    result = await HARNESS.run_reactive(**options, store=slower, shutdown_timeout=SHUTDOWN)
    assert result.status == slower.recordings["rec-0"].info.outcome == "completed"


async def test_the_search_for_secrets_takes_none_of_the_time_of_the_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that is looked through for longer than the end may take is published all the same, and the run saved."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    monkeypatch.setattr("openharness.core.harness._live.refuse_secrets", lambda *_, **__: loop.compute(2 * SHUTDOWN))

    async def slow(what: str, subject: Any) -> None:
        if what in ("finalize", "publish"):
            await asyncio.sleep(0.2 * SHUTDOWN)

    store, run_store = KeepingStore(slow), FailingRunStore()
    await HARNESS.run_reactive(
        agents={"a": AGENT},
        state={},
        provider=ScriptedProvider(),
        store=store,
        run_store=run_store,
        mode="record",
        fixture="f",
        shutdown_timeout=SHUTDOWN,
    )
    assert store.published == {"f": "rec-0"}
    assert run_store.saved[-1].status == "completed"


@pytest.mark.parametrize("by", ["failed", "timed_out"])
async def test_everything_that_hangs_at_the_end_shares_its_time(by: str, caplog: pytest.LogCaptureFixture) -> None:
    """A provider and a subscriber that do not stop are waited for together, also where a run fails by itself."""
    stuck, harness = StuckProvider(), create_harness()

    async def hang(signal: Any) -> None:
        await asyncio.Event().wait()

    harness.subscribe("harness:start", hang)

    def answer(request: Any, context: Any) -> str:
        raise ValueError("no")

    provider = ScriptedProvider(answer) if by == "failed" else ScriptedProvider("yes")
    agents = {
        "a": harness.agent(prompt="x", activate_on="harness:start", provider=stuck),
        "b": harness.agent(prompt="x", activate_on="harness:start", provider=provider),
    }
    timeout = 0.0 if by == "failed" else 100.0
    began = now() + timeout
    with pytest.raises(AgentError if by == "failed" else HarnessTimeoutError):
        await harness.run_reactive(
            agents=agents, state={}, store=KeepingStore(), timeout=timeout or None, shutdown_timeout=SHUTDOWN
        )
    assert now() - began <= SHUTDOWN
    assert "did not stop within" in caplog.text
    assert "behind at the end" in caplog.text
    stuck.free.set()
    await asyncio.sleep(0)


async def test_a_run_that_another_one_has_taken_over_lets_its_subscribers_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also a run that ends because somebody else writes its recording ends what listens to it."""
    harness = create_harness()
    before = asyncio.all_tasks()

    async def hang(signal: Any) -> None:
        await asyncio.Event().wait()

    harness.subscribe("harness:start", hang)

    async def refuse(what: str, subject: Any) -> None:
        if what == "append" and "text:delta" in subject:
            raise RecordingFinalizedError("rec-0", outcome="cancelled")

    store = KeepingStore(refuse)
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(RecorderError, match="Somebody else"):
        await harness.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider(), store=store)
    assert asyncio.all_tasks() == before
    assert "behind at the end" in caplog.text


class Searching(KeepingStore):
    """Never finds what it is asked for, and never says so."""

    async def find_recording(self, name: str) -> Any:
        """Search for ever."""
        await asyncio.Event().wait()

    async def iter_signals(self, recording_id: str, **options: Any) -> AsyncGenerator[Any, None]:  # type: ignore[override]
        """Read for ever."""
        await asyncio.Event().wait()
        yield


@pytest.mark.parametrize("what", ["auto", "replay", "resume", "fork"])
async def test_the_timeout_of_a_run_covers_what_comes_before_its_first_signal(what: str) -> None:
    """A store that never answers when a run is to begin costs the timeout and no more, and nothing is recorded."""
    store, run_store, provider = Searching(), FailingRunStore(), ScriptedProvider()
    options: dict[str, Any] = {"agents": {"a": AGENT}, "store": store, "run_store": run_store, "provider": provider}
    # One that has not completed can be resumed.
    await end(store, FailingRunStore(), "timed_out")
    began = now()
    if what in ("auto", "replay"):
        run = HARNESS.run_reactive(**options, state={}, fixture="f", mode=what, timeout=3.0)
    else:
        run = (HARNESS.resume if what == "resume" else HARNESS.fork)("rec-0", **options, timeout=3.0)
    with pytest.raises(HarnessTimeoutError, match="timeout of 3 s") as caught:
        await asyncio.wait_for(run, 1000)
    assert now() - began == 3.0
    assert caught.value.recording_id is None
    assert "nothing was recorded" in caught.value.__notes__[0]
    assert (list(store.recordings), run_store.saved, provider.requests) == (["rec-0"], [], [])


async def test_the_timeout_of_a_run_goes_on_from_the_search_into_the_run() -> None:
    """What the search for a fixture has taken, the run has less."""

    class Slow(KeepingStore):
        async def find_recording(self, name: str) -> Any:
            await asyncio.sleep(2)
            return await super().find_recording(name)

    store, began = Slow(), now()
    with pytest.raises(HarnessTimeoutError) as caught:
        await HARNESS.run_reactive(
            agents={"a": AGENT},
            state={},
            provider=HangingProvider(),
            store=store,
            fixture="f",
            mode="auto",
            timeout=3.0,
        )
    assert now() - began == 3.0
    assert (caught.value.timeout, store.recordings["rec-0"].info.outcome) == (3.0, "timed_out")


async def test_a_timeout_of_the_stores_own_is_not_that_of_the_run() -> None:
    """What a store raises while a fixture is searched is raised as it is, also where it is a TimeoutError."""

    class Late(KeepingStore):
        async def find_recording(self, name: str) -> Any:
            raise TimeoutError("the server is slow")

    with pytest.raises(TimeoutError, match="the server is slow"):
        await HARNESS.run_reactive(
            agents={"a": AGENT},
            state={},
            provider=ScriptedProvider(),
            store=Late(),
            fixture="f",
            mode="auto",
            timeout=3.0,
        )
