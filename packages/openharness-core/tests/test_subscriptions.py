"""Subscribers: outside of the run's steps, in order, bounded, and unable to break a run."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import HangingProvider, KeepingStore, ScriptedProvider, names_of, of_name

from openharness.core import Harness, HarnessTimeoutError, InvalidValueError, PatternError, Signal, create_harness
from openharness.core.harness._subscriptions import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time


@pytest.fixture
def harness() -> Iterator[Harness[dict[str, Any]]]:
    """A harness of its own for each test: subscriptions belong to a harness."""
    return create_harness()


async def run(harness: Harness[dict[str, Any]], answer: str = "hello", **options: Any) -> Any:
    """Run one agent."""
    agent = harness.agent(prompt="x", activate_on="harness:start", emits="done:it")
    options.setdefault("provider", ScriptedProvider(answer, size=1))
    return await harness.run_reactive(agents={"a": agent}, state={}, **options)


async def test_a_subscriber_is_told_what_it_wants_in_order(harness: Harness[Any]) -> None:
    """All matching signals of a run reach a subscriber in their order, before run_reactive returns."""
    seen: list[Signal] = []
    some: list[str] = []
    harness.subscribe("**", seen.append)
    harness.subscribe(["text:delta", re.compile("agent:.*")], lambda signal: some.append(signal.name))
    result = await run(harness)
    assert tuple(seen) == result.signals
    wanted = [name for name in names_of(result.signals) if name == "text:delta" or name.startswith("agent:")]
    assert some == wanted


async def test_subscribers_may_wait(harness: Harness[Any]) -> None:
    """A coroutine function is awaited, one signal at a time."""
    seen: list[str] = []
    running = 0

    async def slow(signal: Signal) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        seen.append(signal.name)
        running -= 1

    harness.subscribe("**", slow)
    result = await run(harness)
    assert seen == names_of(result.signals)


async def test_subscribers_are_told_only_of_what_is_durable(harness: Harness[Any]) -> None:
    """A signal that a subscriber sees is in the store."""

    async def slow(what: str, subject: Any) -> None:
        await asyncio.sleep(0.001)

    store = KeepingStore(slow)
    missing: list[str] = []

    def look(signal: Signal) -> None:
        if signal not in store.signals("rec-0"):
            missing.append(signal.name)

    harness.subscribe("**", look)
    await run(harness, store=store)
    assert missing == []


async def test_a_subscriber_that_raises_does_not_break_the_run(
    harness: Harness[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its failure is subscriber:error in the log, it is told the next signals, and the run completes."""
    calls = 0

    def fail(signal: Signal) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("never again")

    harness.subscribe(["harness:start", "text:complete"], fail)
    store = KeepingStore()
    result = await run(harness, provider=ScriptedProvider(delay=0.002), store=store)
    assert calls == 2
    assert result.status == "completed"
    errors = of_name(result.signals, "subscriber:error")
    assert errors[0].payload == {"signal": result.signals[0].id, "message": "RuntimeError: never again"}
    assert "never again" in caplog.text
    replayed = await run(harness, provider=None, recording="rec-0", store=store)
    assert replayed.signals == result.signals


async def test_a_subscriber_that_fails_at_the_news_of_its_failure_comes_to_rest(harness: Harness[Any]) -> None:
    """A subscriber to everything that always raises does not fill the log with its own errors."""

    def fail(signal: Signal) -> None:
        raise RuntimeError("always")

    harness.subscribe("**", fail)
    result = await run(harness, provider=ScriptedProvider("ab", delay=0.05, size=1))
    errors = of_name(result.signals, "subscriber:error")
    others = len(result.signals) - len(errors)
    assert 0 < len(errors) <= others


async def test_what_a_subscriber_waits_for_may_be_cancelled(harness: Harness[Any]) -> None:
    """A CancelledError out of a subscriber is its failure; it is told the next signals, and the run goes on."""
    seen: list[str] = []

    async def wait(signal: Signal) -> None:
        seen.append(signal.name)
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    harness.subscribe("**", wait, buffer=2)
    async with asyncio.timeout(5):
        result = await run(harness)
    assert {"harness:start", "harness:end"} <= set(seen)
    assert "CancelledError" in of_name(result.signals, "subscriber:error")[0].payload["message"]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
async def test_a_subscriber_that_says_it_was_ended_is_told_the_next_signals(
    harness: Harness[Any], kind: type[BaseException], waits: bool
) -> None:
    """A subscriber that raises the exceptions of tasks and generators fails as with any other, and holds up nobody."""
    seen: list[str] = []

    def fail(signal: Signal) -> None:
        seen.append(signal.name)
        raise kind("its own")

    async def fail_later(signal: Signal) -> None:
        await asyncio.sleep(0)
        fail(signal)

    harness.subscribe("**", fail_later if waits else fail, buffer=2)
    async with asyncio.timeout(5):
        result = await run(harness)
    assert {"harness:start", "harness:end"} <= set(seen)
    assert of_name(result.signals, "subscriber:error")[0].payload["message"] == f"{kind.__name__}: its own"


def test_a_subscriber_at_work_when_its_loop_ends_is_not_told_of_as_failed(harness: Harness[Any]) -> None:
    """The end of a subscriber whose task is thrown away with its event loop is nobody's failure."""
    failures: list[BaseException] = []

    async def hang(signal: Signal) -> None:
        await asyncio.get_running_loop().create_future()

    async def listen() -> Listener:
        listener = Listener(harness.subscribe("**", hang), lambda signal, error: failures.append(error))
        await listener.offer(Signal("r/0", name="harness:start", payload=None, timestamp=0, seq=0))
        await asyncio.sleep(0)
        return listener

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    listener = loop.run_until_complete(listen())
    loop.close()
    del listener
    gc.collect()
    assert failures == []


async def test_an_exception_that_cannot_say_what_it_is_is_told_by_its_name(harness: Harness[Any]) -> None:
    """A subscriber's exception whose own text raises breaks nothing."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    def fail(signal: Signal) -> None:
        raise MuteError

    harness.subscribe("harness:start", fail)
    result = await run(harness, provider=ScriptedProvider(delay=0.005))
    assert of_name(result.signals, "subscriber:error")[0].payload["message"] == "MuteError"


async def test_block_makes_the_run_wait_and_loses_nothing(harness: Harness[Any]) -> None:
    """With the policy "block" a slow subscriber with a buffer of one is told every signal."""
    seen: list[str] = []

    async def slow(signal: Signal) -> None:
        await asyncio.sleep(0.0005)
        seen.append(signal.name)

    subscription = harness.subscribe("**", slow, buffer=1, policy="block")
    result = await run(harness, "x" * 40)
    assert seen == names_of(result.signals)
    assert subscription.dropped == 0


async def test_drop_drops_counts_and_never_holds_the_run(harness: Harness[Any]) -> None:
    """With the policy "drop" what does not fit is counted, what fits is told in order."""
    release = asyncio.Event()
    seen: list[Signal] = []

    async def wait(signal: Signal) -> None:
        await release.wait()
        seen.append(signal)

    subscription = harness.subscribe("**", wait, buffer=3, policy="drop")
    harness.subscribe("harness:end", lambda signal: release.set())
    result = await run(harness, "x" * 40)
    assert subscription.dropped > 0
    assert subscription.connected
    assert len(seen) + subscription.dropped == len(result.signals)
    assert [signal.seq for signal in seen] == sorted(signal.seq for signal in seen)


async def test_disconnect_ends_the_subscription_and_never_holds_the_run(
    harness: Harness[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """With the policy "disconnect" a subscriber that is too far behind is told nothing more, and it is logged."""

    async def wait(signal: Signal) -> None:
        await asyncio.sleep(0.01)

    subscription = harness.subscribe("**", wait, buffer=3, policy="disconnect")
    await run(harness, "x" * 40)
    assert not subscription.connected
    assert "was disconnected" in caplog.text


async def test_a_subscriber_that_never_returns_cannot_hold_a_run_that_is_to_stop(
    harness: Harness[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A timeout ends a run whose subscriber blocks it, and the recording is closed."""

    async def hang(signal: Signal) -> None:
        await asyncio.Event().wait()

    harness.subscribe("**", hang, buffer=1)
    store = KeepingStore()
    async with asyncio.timeout(5):
        with pytest.raises(HarnessTimeoutError):
            await run(harness, provider=HangingProvider(), timeout=0.05, shutdown_timeout=0.2, store=store)
    assert store.recordings["rec-0"].info.outcome == "timed_out"
    assert "behind at the end" in caplog.text


async def test_a_run_waits_for_its_subscribers_a_bounded_time(
    harness: Harness[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A completed run returns although a subscriber hangs, after shutdown_timeout at most."""

    async def hang(signal: Signal) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            raise

    harness.subscribe("harness:end", hang)
    async with asyncio.timeout(5):
        result = await run(harness, shutdown_timeout=0.05)
    assert result.status == "completed"
    assert "behind at the end" in caplog.text
    await asyncio.sleep(0.05)


async def test_cancelled_subscriptions_are_told_nothing(harness: Harness[Any]) -> None:
    """A subscription ends with cancel or with its block, also in the middle of a run."""
    seen: list[str] = []
    with harness.subscribe("**", lambda signal: seen.append(signal.name)) as subscription:
        assert subscription.connected
    subscription.cancel()
    await run(harness)
    assert seen == []

    def once(signal: Signal) -> None:
        seen.append(signal.name)
        second.cancel()

    second = harness.subscribe("**", once)
    await run(harness)
    assert seen == ["harness:start"]
    assert not second.wants("harness:end")


async def test_a_run_that_waits_for_a_subscriber_goes_on_when_that_is_cancelled(harness: Harness[Any]) -> None:
    """Cancelling a subscription whose buffer is full lets the run go on, though its function has not returned."""
    called, returns = asyncio.Event(), asyncio.Event()

    async def slow(_: Signal) -> None:
        called.set()
        await returns.wait()

    told: list[str] = []
    harness.subscribe("agent:completed", lambda signal: told.append(signal.name))
    with harness.subscribe("**", slow, buffer=1):
        running = asyncio.create_task(run(harness, shutdown_timeout=1))
        await called.wait()
        done, _ = await asyncio.wait({running}, timeout=60)
        assert (len(done), told) == (0, [])
    result = await running
    assert (result.status, told) == ("completed", ["agent:completed"])
    returns.set()


async def test_subscriptions_are_those_of_the_beginning_of_a_run(harness: Harness[Any]) -> None:
    """Who subscribes while a run goes on is told of the next run."""
    late: list[str] = []
    harness.subscribe(
        "harness:start", lambda signal: harness.subscribe("**", lambda each: late.append(each.name)) and None
    )
    await run(harness)
    assert late == []
    await run(harness)
    assert late[0] == "harness:start"


async def test_subscribers_are_told_of_replays(harness: Harness[Any]) -> None:
    """A replay tells subscribers the same signals; one that fails is logged only, for the log is fixed."""
    store = KeepingStore()
    result = await run(harness, store=store)
    seen: list[Signal] = []

    def fail(signal: Signal) -> None:
        seen.append(signal)
        raise RuntimeError("not now")

    harness.subscribe("**", fail)
    replayed = await run(harness, provider=None, recording="rec-0", store=store)
    assert tuple(seen) == result.signals == replayed.signals


async def test_what_a_subscriber_does_to_a_signal_does_not_reach_the_log(harness: Harness[Any]) -> None:
    """Subscribers are told of copies."""

    def change(signal: Signal) -> None:
        if signal.name == "done:it":
            signal.payload["output"] = "changed"

    harness.subscribe("**", change)
    assert of_name((await run(harness)).signals, "done:it")[0].payload["output"] == "hello"


async def test_what_a_subscriber_does_to_a_signal_reaches_no_other(harness: Harness[Any]) -> None:
    """Each subscriber has a copy of its own, and so has who reads the stream."""
    seen: list[Any] = []

    def change(signal: Signal) -> None:
        seen.append(signal.payload["output"])
        signal.payload["output"] = "changed"

    for _ in range(3):
        harness.subscribe("done:it", change)
    agent = harness.agent(prompt="hello", activate_on="harness:start", emits="done:it")
    async with harness.stream(agents={"a": agent}, state={}, provider=ScriptedProvider()) as stream:
        async for signal in stream:
            if signal.name == "done:it":
                change(signal)
    assert seen == ["HELLO"] * 4


@pytest.mark.parametrize(
    "pattern, options, error",
    [
        ("", {}, PatternError),
        (["a:b", 5], {}, PatternError),
        ("a:b", {"buffer": 0}, InvalidValueError),
        ("a:b", {"buffer": 1.5}, InvalidValueError),
        ("a:b", {"policy": "wait"}, InvalidValueError),
        ("a:b", {"function": None}, InvalidValueError),
    ],
)
def test_a_subscription_that_cannot_work_is_refused(
    harness: Harness[Any], pattern: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    """Pattern, function, buffer and policy are checked at once."""
    function = options.pop("function", print)
    with pytest.raises(error):
        harness.subscribe(pattern, function, **options)


@pytest.mark.parametrize("waits_for", ["emit", "wait_for"])
async def test_a_subscriber_that_waits_for_its_own_run_does_not_hold_it(harness: Harness[Any], waits_for: str) -> None:
    """A run waits for a subscriber that is behind, but not while that one waits for the run: both would for ever."""
    told: list[str] = []
    handles: list[Any] = []

    async def answering(signal: Signal) -> None:
        told.append(signal.name)
        if signal.name == "text:complete" and waits_for == "emit":
            await handles[0].emit("person:saw", None)
        if signal.name == "provider:start" and waits_for == "wait_for":
            await handles[0].wait_for("done:it")

    harness.subscribe("**", answering, buffer=1)
    agent = harness.agent(prompt="x", activate_on="harness:start", emits="done:it")
    options: dict[str, Any] = {"agents": {"a": agent}, "state": {}, "provider": ScriptedProvider("hello" * 40, size=1)}
    async with asyncio.timeout(10):
        async with harness.start(**options) as run:
            handles.append(run)
            await run.wait_for("person:saw" if waits_for == "emit" else "done:it")
            await run.finish()
            result = await run.result()
    assert told == names_of(result.signals)
    assert told.count("person:saw") == (waits_for == "emit")
    assert "subscriber:error" not in told
