"""Provider calls: what providers may do wrong, retries, time limits, and that no call outlives its run."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import EventsProvider, HangingProvider, KeepingStore, ScriptedProvider, names_of, of_name

from openharness.core import (
    AgentError,
    Completed,
    DefinitionError,
    FunctionProvider,
    Harness,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderOutput,
    ProviderWarning,
    RunResult,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
    create_harness,
)
from openharness.core.values import MAX_BYTES, decode_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from openharness.core import ProviderEvent, ProviderRequest, RunContext

# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time

HARNESS: Harness[dict[str, Any]] = create_harness()


def done(text: str = "", **more: Any) -> Completed:
    """The last event of an answer."""
    return Completed(ProviderOutput(content=text, **more))


async def run(provider: Provider, store: KeepingStore | None = None, **options: Any) -> RunResult[dict[str, Any]]:
    """Run one agent."""
    agent = HARNESS.agent(prompt="x", activate_on="harness:start", retry_delay=0.001, **options)
    return await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=provider, store=store)


async def failed(provider: Provider, **options: Any) -> AgentError:
    """Run one agent whose provider fails; make sure that the run fails, and replays to the same error."""
    store = KeepingStore()
    async with asyncio.timeout(5):
        with pytest.raises(AgentError) as caught:
            await run(provider, store, **options)
        agent = HARNESS.agent(prompt="x", activate_on="harness:start", **options)
        with pytest.raises(AgentError) as again:
            await HARNESS.run_reactive(agents={"a": agent}, recording="rec-0", store=store)
    error, repeated = caught.value, again.value
    assert error.kind == "provider"
    fields = ("agent", "activation", "kind", "message", "data")
    assert [getattr(error, field) for field in fields] == [getattr(repeated, field) for field in fields]
    assert str(error) == str(repeated)
    assert error.result.signals == repeated.result.signals == tuple(store.signals("rec-0"))
    one, other = error.__cause__, repeated.__cause__
    assert isinstance(one, ProviderError)
    assert isinstance(other, ProviderError)
    for field in ("message", "kind", "status", "retryable", "retry_after", "data"):
        assert getattr(one, field) == getattr(other, field)
    return error


class Word(str):
    """A text that shows itself as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "nothing of the kind"


class Seconds(float):
    """A number that is no plain float, as those of numpy are."""


class Unsure:
    """Neither true nor false, as an array of numpy is."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize("text", [Word("said"), enum.Enum("Said", {"IT": "said"}, type=str)["IT"]])
async def test_a_text_of_another_class_is_the_text_that_it_holds(text: str) -> None:
    """Of a text that shows itself as another one, the run and its log have what it says."""
    result = await run(EventsProvider([TextDelta(text), ThinkingDelta(text), done(text)]))
    assert {signal.payload["text"] for signal in of_name(result.signals, "text:delta")} == {"said"}
    (complete,) = of_name(result.signals, "text:complete")
    assert (complete.payload["text"], type(complete.payload["text"])) == ("said", str)


@pytest.mark.parametrize(
    "events, message",
    [
        ([TextDelta("a")], "ended without Completed"),
        ([], "ended without Completed"),
        ([done("a"), done("a")], "went on after Completed"),
        ([done("a"), TextDelta("b")], "went on after Completed"),
        ([TextDelta("a"), done("b")], "not what the deltas said"),
        ([TextDelta("a"), done("")], "not what the deltas said"),
        (["text"], "which is no event"),
        ([None], "which is no event"),
        ([{"type": "text"}], "which is no event"),
        ([TextDelta(5)], "where text belongs"),  # type: ignore[arg-type]
        ([TextDelta(b"x")], "where text belongs"),  # type: ignore[arg-type]
        ([ThinkingDelta(None)], "where text belongs"),  # type: ignore[arg-type]
        ([done(5)], "where text belongs"),  # type: ignore[arg-type]
        ([ToolCall("1", "t", object())], "cannot be recorded"),
        ([ToolCall("1", "t", {"x": float("nan")})], "cannot be recorded"),
        ([ToolCall("1", "t", decode_json("[" * 199 + "]" * 199))], "nested deeper than 192 levels"),
        ([done("a", continuation=decode_json("[" * 200 + "]" * 200))], "nested deeper than 192 levels"),
        ([ToolCall(1, "t", {})], "where text belongs"),  # type: ignore[arg-type]
        ([ToolCall("1", None, {})], "where text belongs"),  # type: ignore[arg-type]
        ([ProviderWarning("w", object())], "cannot be recorded"),
        ([ProviderWarning(5)], "where text belongs"),  # type: ignore[arg-type]
        ([done("a", data=object())], "cannot be recorded"),
        ([done("a", data={1: 2})], "cannot be recorded"),
        ([done("a", usage=Usage(input_tokens="5"))], "where a number belongs"),  # type: ignore[arg-type]
        ([done("a", usage=Usage(cost=float("inf")))], "cannot be recorded"),
        ([done("a", usage=Usage(output_tokens=True))], "where a number belongs"),
        ([done("a", usage=Usage(output_tokens=2**70))], "cannot be recorded"),
        ([Completed("text")], "AttributeError"),  # type: ignore[arg-type]
        ([done("a", usage=None)], "AttributeError"),
        ([done("a"), RuntimeError("after all")], "RuntimeError: after all"),
        ([TextDelta("a"), ValueError("in the middle")], "ValueError: in the middle"),
        ([StopAsyncIteration()], "RuntimeError"),
        ([asyncio.CancelledError()], "was cancelled"),
        ([TimeoutError("its own")], "TimeoutError: its own"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_provider_that_breaks_its_contract_fails_its_agent(events: list[Any], message: str) -> None:
    """Whatever a provider yields or raises, the agent fails with a message that says what was wrong."""
    error = await failed(EventsProvider(events))
    assert message in error.message
    assert names_of(error.result.signals)[-3:] == ["provider:error", "agent:error", "harness:end"]


async def test_a_provider_that_cancels_its_own_task_fails_its_agent() -> None:
    """The run hears of a call that is cancelled from within, instead of waiting for it for ever."""

    class Cancelling(EventsProvider):
        async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
            yield TextDelta("a")
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    error = await asyncio.wait_for(failed(Cancelling([])), 5)
    assert "was cancelled, and not by the run" in error.message
    assert names_of(error.result.signals)[-3:] == ["provider:error", "agent:error", "harness:end"]


async def test_an_error_that_cannot_be_recorded_is_recorded_as_far_as_it_can() -> None:
    """A ProviderError with fields of the wrong types still ends the call, with what can be kept of it."""

    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no words")

    error = await failed(
        EventsProvider(
            [ProviderError("m", kind="k", status="teapot", retry_after=float("nan"), data=Mute())]  # type: ignore[arg-type]
        )
    )
    cause = error.__cause__
    assert isinstance(cause, ProviderError)
    assert (cause.message, cause.kind, cause.status, cause.retry_after) == ("m", "k", None, None)
    assert "Mute" in str(cause.data)


@pytest.mark.parametrize(
    "details, told",
    [
        ({"kind": Word("rate_limit")}, {"kind": "rate_limit"}),
        ({"message": Word("slow down")}, {"message": "slow down"}),
        ({"status": HTTPStatus.TOO_MANY_REQUESTS}, {"status": 429}),
        ({"status": 2**70}, {}),
        ({"retry_after": Seconds(1.5)}, {"retry_after": 1.5}),
        ({"retryable": Unsure()}, {"kind": "error", "message": "ProviderError: m"}),
    ],
)
async def test_an_error_made_of_peculiar_parts_is_plain_in_the_log(details: Any, told: Any) -> None:
    """Subclasses of text and numbers are recorded as what they are; what cannot be read does not hang the run."""
    error = await failed(EventsProvider([ProviderError(**{"message": "m", "kind": "k", **details})]))
    (signal,) = of_name(error.result.signals, "provider:error")
    recorded = signal.payload["error"]
    expected = {"kind": "k", "type": "ProviderError", "message": "m", "retryable": False, **told}
    assert recorded == expected
    assert {name: type(value) for name, value in recorded.items()} == {
        name: type(value) for name, value in expected.items()
    }


@pytest.mark.parametrize("message", [5, None, object()])
async def test_an_error_without_a_text_is_still_an_error(message: Any) -> None:
    """A ProviderError whose message or kind is no text fails the agent like any other."""
    error = await failed(EventsProvider([ProviderError(message, kind=message)]))
    assert "ProviderError" in error.message


async def test_an_exception_that_cannot_say_what_it_is_does_not_hang_the_run() -> None:
    """An exception whose own text raises fails the agent by its type's name."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    assert (await failed(EventsProvider([MuteError()]))).message == "MuteError"


async def test_all_that_a_provider_tells_of_its_failure_is_recorded_and_replayed() -> None:
    """Kind, status, retry_after and data of a ProviderError come back in the replay."""
    failure = ProviderError(
        "slow down", kind="rate_limit", status=429, retryable=True, retry_after=1.5, data={"x": (1,)}
    )
    error = await failed(EventsProvider([failure]))
    (told,) = of_name(error.result.signals, "provider:error")
    assert told.payload["error"] == {
        "kind": "rate_limit",
        "type": "ProviderError",
        "message": "slow down",
        "retryable": True,
        "status": 429,
        "retry_after": 1.5,
        "data": {"x": [1]},
    }
    # The log of the failing agent is as short as it always was; whoever catches the error need not search the log.
    assert error.result.signals[-2].payload["data"] == {"type": "ProviderError"}
    facts = {"kind": "rate_limit", "status": 429, "retryable": True, "retry_after": 1.5, "data": {"x": [1]}}
    assert error.data == {"type": "ProviderError", **facts}


async def test_what_a_failure_tells_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The details of a provider's failure are redacted like its message; of other failures only the name is told."""
    monkeypatch.setenv("ACME_API_KEY", "hunter2-hunter2")
    failure = ProviderError("refused", kind="authentication", data={"key": "hunter2-hunter2"})
    error = await failed(EventsProvider([failure]))
    assert error.data == {
        "type": "ProviderError",
        "kind": "authentication",
        "retryable": False,
        "data": {"key": "[redacted:ACME_API_KEY]"},
    }

    def prompt(_: object) -> str:
        raise failure

    agent = HARNESS.agent(prompt=prompt, activate_on="harness:start")
    with pytest.raises(AgentError) as caught:
        await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider())
    assert (caught.value.kind, caught.value.data) == ("prompt", {"type": "ProviderError"})


class CoroutineProvider(Provider):
    """Was written without yield."""

    type = "coroutine"

    async def run(self, request: Any, context: Any) -> Any:
        """Return what should have been yielded."""
        return [done("x")]


class IteratorProvider(Provider):
    """Returns an iterator that cannot be closed."""

    type = "iterator"

    def run(self, request: Any, context: Any) -> Any:
        """Return it."""

        class Events:
            def __aiter__(self) -> AsyncIterator[Any]:
                return self

            async def __anext__(self) -> Any:
                return done("x")

        return Events()


class RaisingProvider(Provider):
    """Raises before there is a generator."""

    type = "raising"

    def run(self, request: Any, context: Any) -> Any:
        """Raise."""
        raise LookupError("no model")


@pytest.mark.parametrize(
    "provider, message",
    [
        (CoroutineProvider(), "async def with yield"),
        (IteratorProvider(), "async def with yield"),
        (RaisingProvider(), "LookupError: no model"),
    ],
    ids=lambda value: getattr(value, "type", None),
)
async def test_a_run_that_is_no_async_generator_is_an_error(provider: Provider, message: str) -> None:
    """A provider whose run() is not an async def with yield is told so, and nothing is left un-awaited."""
    assert message in (await failed(provider)).message


class StubbornProvider(Provider):
    """Goes on after its generator is closed, or fails while it is."""

    type = "stubborn"

    def __init__(self, *, at_close: Any) -> None:
        self._at_close = at_close

    async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
        """Yield once too often."""
        try:
            yield done("x")
            yield done("x")
        finally:
            if isinstance(self._at_close, Exception):
                raise self._at_close
            yield self._at_close


@pytest.mark.parametrize("at_close", [TextDelta("more"), OSError("socket")])
async def test_a_provider_that_fails_to_close_fails_its_agent(at_close: Any) -> None:
    """What goes wrong while the generator is closed is an error of the call, not of the program."""
    assert (await failed(StubbornProvider(at_close=at_close))).kind == "provider"


@pytest.mark.parametrize("text", ["\ud83d\ude00", "a\ud83d", "\0", "é\ude00\ud83d"])
async def test_text_is_in_the_run_what_it_is_in_the_log(text: str) -> None:
    """Half characters, joined across deltas or not, are the same live, in the log, and in the replay."""
    store = KeepingStore()
    harness = create_harness()
    agent = harness.agent(
        prompt=lambda ctx: text, system=lambda ctx: f"s{text}", activate_on="harness:start", updates="x", emits="e:e"
    )
    provider = EventsProvider(
        [
            *map(ThinkingDelta, text),
            *map(TextDelta, text),
            ToolCall(text, text, {text: text}),
            done(text, thinking=text, model=text),
        ]
    )
    options: dict[str, Any] = {"agents": {"a": agent}, "state": {"x": text}, "input": text}
    result = await harness.run_reactive(**options, provider=provider, store=store)
    assert tuple(store.signals("rec-0")) == result.signals
    replayed = await harness.run_reactive(**options, recording="rec-0", store=store)
    assert replayed.signals == result.signals
    assert replayed.state == result.state


async def test_a_retryable_error_is_tried_again_and_again() -> None:
    """A request is sent again up to `retries` times after errors that may pass; each attempt is in the log."""
    busy = ProviderError("busy", retryable=True)
    provider = EventsProvider([TextDelta("half"), busy], [busy], [TextDelta("ok"), done("ok")])
    store = KeepingStore()
    result = await run(provider, store, retries=2)
    assert provider.calls == 3
    starts = of_name(result.signals, "provider:start")
    assert [(signal.payload["call"], signal.payload["attempt"]) for signal in starts] == [
        ("a#1/0/0", 0),
        ("a#1/0/1", 1),
        ("a#1/0/2", 2),
    ]
    assert [signal.payload["delay_ms"] for signal in of_name(result.signals, "provider:retry")] == [1, 2]
    assert of_name(result.signals, "text:complete")[0].payload["text"] == "ok"
    assert (result.metrics.provider_calls, result.metrics.retries, result.metrics.errors) == (3, 2, 0)


async def test_when_all_attempts_fail_the_agent_fails() -> None:
    """After the last attempt the error is the agent's."""
    provider = EventsProvider([ProviderError("busy", retryable=True)])
    error = await failed(provider, retries=3)
    assert provider.calls == 4
    assert error.message == "busy"


async def test_an_error_that_cannot_pass_is_not_tried_again() -> None:
    """Retries are for errors that say they may pass."""
    provider = EventsProvider([ProviderError("no", retryable=False)])
    await failed(provider, retries=3)
    assert provider.calls == 1


async def test_a_providers_wish_to_wait_goes_first_and_a_replay_does_not_wait() -> None:
    """retry_after goes before the delay of the agent; the replay of hours of waiting takes no time."""
    store = KeepingStore()
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start", retries=1, retry_delay=3600)
    provider = EventsProvider([ProviderError("wait", retryable=True, retry_after=0.002)], [done("ok")])
    result = await harness.run_reactive(agents={"a": agent}, state={}, provider=provider, store=store)
    assert of_name(result.signals, "provider:retry")[0].payload["delay_ms"] == 2

    def an_hour(signals: list[Any]) -> list[Any]:
        return [signal for signal in signals if signal.name != "text:delta"]

    changed = store.rewrite("rec-0", an_hour)
    async with asyncio.timeout(5):
        replayed = await harness.run_reactive(agents={"a": agent}, recording=changed, store=store)
    assert names_of(replayed.signals) == names_of(result.signals)


async def test_a_run_that_is_cancelled_while_it_waits_to_retry_ends_at_once() -> None:
    """A retry that is due in an hour does not hold the end of the run."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start", retries=1, retry_delay=3600)
    provider = EventsProvider([ProviderError("wait", retryable=True)])
    store = KeepingStore()
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await harness.run_reactive(agents={"a": agent}, state={}, provider=provider, timeout=0.05, store=store)
    assert store.recordings["rec-0"].info.outcome == "timed_out"


async def test_an_attempt_that_takes_too_long_is_stopped_and_may_be_tried_again() -> None:
    """An agent's timeout stops the attempt, is recorded as an error of kind "timeout", and counts as one that may pass."""
    provider = HangingProvider()
    error = await failed(provider, timeout=0.02, retries=1)
    assert provider.stopped == ["cancelled", "finally"] * 2
    assert "longer than 0.02 s" in error.message
    assert isinstance(error.__cause__, ProviderError)
    assert (error.__cause__.kind, error.__cause__.retryable) == ("timeout", True)


async def test_a_timeout_that_is_not_reached_changes_nothing() -> None:
    """An attempt that is in time is an attempt like any other."""
    result = await run(ScriptedProvider("ok"), timeout=30)
    assert "provider:error" not in names_of(result.signals)


async def test_a_fast_provider_is_held_back_by_the_run() -> None:
    """A provider cannot run ahead of a slow store: it waits when the run is 64 events behind."""
    ahead: list[int] = []
    taken = 0

    async def slow(what: str, subject: Any) -> None:
        nonlocal taken
        if what == "append":
            taken += sum(name == "text:delta" for name in subject)
            await asyncio.sleep(0.001)

    class Fast(Provider):
        type = "fast"

        async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            for number in range(400):
                ahead.append(number - taken)
                yield TextDelta("x")
            yield done("x" * 400)

    result = await run(Fast(), KeepingStore(slow))
    assert names_of(result.signals).count("text:delta") == 400
    assert max(ahead) <= 2 * 64 + 1


async def test_agents_have_providers_of_their_own() -> None:
    """An agent's own provider goes before the run's, and the log says which one answered."""
    own, general = ScriptedProvider("own"), ScriptedProvider("general")
    harness = create_harness(provider=general)
    agents = {
        "a": harness.agent(prompt="x", activate_on="harness:start", provider=own),
        "b": harness.agent(prompt="x", activate_on="harness:start"),
    }
    result = await harness.run_reactive(agents=agents, state={})
    texts = {signal.source.agent: signal.payload["text"] for signal in of_name(result.signals, "text:complete")}
    assert texts == {"a": "own", "b": "general"}
    given = ScriptedProvider("given")
    result = await harness.run_reactive(agents=agents, state={}, provider=given)
    assert len(given.requests) == 1


async def test_without_a_provider_there_is_no_run() -> None:
    """An agent without a provider is an error that says where one can be given."""
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(DefinitionError, match="OPENHARNESS_PROVIDER"):
        await HARNESS.run_reactive(agents={"a": agent}, state={})


async def test_a_system_prompt_needs_a_provider_that_takes_one() -> None:
    """What a provider cannot do is refused before anything is sent."""

    class Plain(ScriptedProvider):
        capabilities = ProviderCapabilities(system=False)

    provider = Plain()
    with pytest.raises(DefinitionError, match="system prompt"):
        await run(provider, system="be brief")
    assert provider.requests == []


async def test_the_traceback_of_what_a_provider_did_not_foresee_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The logger tells where an exception comes from that is no `ProviderError`; the log of the run has its message."""

    async def look_up(request: ProviderRequest) -> str:
        return {"a": "b"}[request.model or "nobody"]

    error = await failed(FunctionProvider(look_up))
    assert error.message == "KeyError: 'nobody'"
    [record] = [record for record in caplog.records if record.name == "openharness"]
    assert record.getMessage() == "The provider 'function' failed in a#1/0/0"
    assert "in look_up" in caplog.text


async def test_what_a_provider_says_of_its_failure_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    """A `ProviderError` is told by the run alone: no traceback is logged."""
    await failed(EventsProvider([ProviderError("busy", kind="rate_limit")]))
    assert caplog.text == ""


async def test_an_exception_that_is_no_exception_reaches_the_loop_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A BaseException of a provider is recorded as its failure, and is logged."""

    class Odd(BaseException):
        """Neither an Exception nor one of Python's own."""

    error = await failed(EventsProvider([Odd("very")]))
    assert error.message == "Odd: very"
    assert "raised what is no Exception" in caplog.text


class DeafProvider(Provider):
    """Does not heed that it is cancelled, and goes on sending."""

    type = "deaf"

    def __init__(self) -> None:
        self.sent = 0
        self.closed = False

    async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
        """Send for ever."""
        try:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.001)
                self.sent += 1
                yield TextDelta("more")
        finally:
            self.closed = True


async def test_a_provider_that_does_not_heed_its_cancellation_is_closed_all_the_same() -> None:
    """Its next event after the end of the run closes it; it cannot go on unseen."""
    provider = DeafProvider()
    store = KeepingStore()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(TimeoutError):
        await HARNESS.run_reactive(agents={"a": agent}, state={}, provider=provider, timeout=0.03, store=store)
    assert provider.closed
    assert store.recordings["rec-0"].info.outcome == "timed_out"


async def test_a_provider_that_blocks_its_cancellation_does_not_cost_the_recording(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A provider that never stops is waited for a bounded time; recording and record are closed all the same."""
    release = asyncio.Event()

    class Blocking(Provider):
        type = "blocking"

        async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            yield TextDelta("a")
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

    store = KeepingStore()
    agent = HARNESS.agent(prompt="x", activate_on="harness:start")
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError) as caught:
            await HARNESS.run_reactive(
                agents={"a": agent}, state={}, provider=Blocking(), timeout=0.02, shutdown_timeout=0.2, store=store
            )
    assert store.recordings["rec-0"].info.outcome == "timed_out"
    assert names_of(store.signals("rec-0"))[-2:] == ["harness:timeout", "harness:end"]
    assert getattr(caught.value, "result", None) is not None
    assert "did not stop within" in caplog.text
    release.set()
    await asyncio.sleep(0)


async def test_an_answer_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that sends text without end is stopped when no signal could tell of its answer any more."""
    monkeypatch.setattr("openharness.core.engine._calls.LARGEST", 100_000)
    sent = 0

    class Endless(Provider):
        """Sends the same for ever."""

        type = "endless"
        display_name = "Endless"
        capabilities = ProviderCapabilities()

        async def run(self, request: ProviderRequest, context: RunContext) -> AsyncIterator[ProviderEvent]:
            nonlocal sent
            while True:
                sent += 1
                yield TextDelta("x" * 1_000) if sent % 2 else ThinkingDelta("y" * 1_000)

    error = await failed(Endless())
    assert "longer than the" in str(error)
    assert sent == 101


@pytest.mark.parametrize("character, count", [("x", 100_000), ("\x01", 17_000), ("\u20ac", 34_000)])
async def test_an_answer_that_no_signal_could_hold_is_a_failure_of_its_provider(
    monkeypatch: pytest.MonkeyPatch, character: str, count: int
) -> None:
    """What counts is the answer as JSON; just below the limit it is taken."""
    monkeypatch.setattr("openharness.core.engine._calls.LARGEST", 100_000)
    monkeypatch.setattr("openharness.core.engine._sizes.LARGEST", 100_000)
    error = await failed(EventsProvider([done(character * count)]))
    assert "longer than the" in str(error)
    fitting = character * (count - 1_000)
    result = await run(EventsProvider([done(fitting)]))
    assert of_name(result.signals, "text:complete")[0].payload["text"] == fitting


async def test_an_answer_that_no_json_of_ours_could_hold_is_a_failure_of_its_provider() -> None:
    """An answer that comes all at once and is longer than anything that is written fails as any other does."""
    error = await failed(EventsProvider([done("x" * (MAX_BYTES + 1))]))
    assert "longer than the 15 MiB" in str(error)
