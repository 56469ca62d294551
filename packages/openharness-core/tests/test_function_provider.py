"""A Python function as a model."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import (
    AgentError,
    Completed,
    DefinitionError,
    FunctionProvider,
    Message,
    ProviderCapabilities,
    ProviderError,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    ProviderWarning,
    RunContext,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
    create_harness,
)
from openharness.testing import Ability, ProviderContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CONTEXT = RunContext(run_id="run-1", agent="a", activation="a#1", call="a#1/0/0")
REQUEST = ProviderRequest(messages=[Message("user", "question")])
CALL = ToolCall("c1", "add", {"a": 1})
OUTPUT = ProviderOutput(content="text", thinking="hm", usage=Usage(input_tokens=3), stop_reason="max_tokens")


async def events(function: Any, **options: Any) -> list[ProviderEvent]:
    """Return all events of a request to a function."""
    generator = FunctionProvider(function, **options).run(REQUEST, CONTEXT)
    try:
        return [event async for event in generator]
    finally:
        await generator.aclose()


async def failure(function: Any) -> ProviderError:
    """Return the error of a request that must fail because of what the function says."""
    with pytest.raises(ProviderError) as caught:
        await events(function)
    assert (caught.value.kind, caught.value.retryable) == ("protocol", False)
    return caught.value


def done(content: str, **fields: Any) -> Completed:
    """The end of an answer that is made of what came before."""
    return Completed(ProviderOutput(content=content, **{"stop_reason": "end", **fields}))


def fails(request: ProviderRequest) -> str:
    """Fail as a service does that is asked too often."""
    raise ProviderError("slow down", kind="rate_limit", status=429, retryable=True, retry_after=2.0)


class TestPlainFunction(ProviderContract):
    """A plain function that blocks keeps the contract."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self) -> FunctionProvider:
        """Return a function that takes its time."""

        def answer(request: ProviderRequest) -> str:
            time.sleep(0.02)
            return f"You said: {request.messages[-1].content}"

        return FunctionProvider(answer)

    @pytest.fixture
    def failing_provider(self) -> FunctionProvider:
        """Return a function that raises."""
        return FunctionProvider(fails)


class TestPlainGenerator(ProviderContract):
    """A plain generator that blocks between its pieces keeps the contract."""

    @pytest.fixture
    def provider(self) -> FunctionProvider:
        """Return a generator of a few words."""

        def answer(request: ProviderRequest) -> Iterator[Any]:
            for word in ["You ", "said ", request.messages[-1].content]:
                time.sleep(0.003)
                yield word
            yield CALL

        return FunctionProvider(answer)


class TestAsyncGenerator(ProviderContract):
    """An async generator keeps the contract."""

    @pytest.fixture
    def provider(self) -> FunctionProvider:
        """Return a generator of a few words and a thought."""

        async def answer(request: ProviderRequest, context: RunContext) -> AsyncIterator[Any]:
            yield ThinkingDelta(context.agent)
            for word in ["You ", "said ", request.messages[-1].content]:
                await asyncio.sleep(0)
                yield word

        return FunctionProvider(answer)


class TestAsyncFunction(ProviderContract):
    """An async function keeps the contract."""

    @pytest.fixture
    def provider(self) -> FunctionProvider:
        """Return a function that waits."""

        async def answer(request: ProviderRequest) -> ProviderOutput:
            await asyncio.sleep(0.001)
            return ProviderOutput(content=request.messages[-1].content, thinking="hm")

        return FunctionProvider(answer)


def as_function(answer: Any) -> Any:
    """A plain function that returns this."""
    return lambda request: answer


def as_coroutine(answer: Any) -> Any:
    """An async function that returns this."""

    async def function(request: ProviderRequest) -> Any:
        await asyncio.sleep(0)
        return answer

    return function


def as_generator(answer: Any) -> Any:
    """A plain generator that yields this, or each of these."""

    def function(request: ProviderRequest) -> Any:
        yield from answer if isinstance(answer, (list, tuple)) else [answer]

    return function


def as_async_generator(answer: Any) -> Any:
    """An async generator that yields this, or each of these."""

    async def function(request: ProviderRequest) -> Any:
        for piece in answer if isinstance(answer, (list, tuple)) else [answer]:
            yield piece

    return function


@pytest.mark.parametrize("form", [as_function, as_coroutine, as_generator, as_async_generator])
@pytest.mark.parametrize(
    "answer, expected",
    [
        ("text", [TextDelta("text"), done("text")]),
        ("", [done("")]),
        (["in ", "", "pieces"], [TextDelta("in "), TextDelta("pieces"), done("in pieces")]),
        ((), [done("")]),
        ([ThinkingDelta("h"), ThinkingDelta("m"), "x"],
         [ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("x"), done("x", thinking="hm")]),
        (CALL, [CALL, done("", stop_reason="tool_calls")]),
        (["I add.", CALL, CALL], [TextDelta("I add."), CALL, CALL, done("I add.", stop_reason="tool_calls")]),
        ([ProviderWarning("slow"), "x"], [ProviderWarning("slow"), TextDelta("x"), done("x")]),
        (OUTPUT, [ThinkingDelta("hm"), TextDelta("text"), Completed(OUTPUT)]),
        (["te", TextDelta("xt"), OUTPUT], [TextDelta("te"), TextDelta("xt"), ThinkingDelta("hm"), Completed(OUTPUT)]),
        ([CALL, Completed(OUTPUT)], [CALL, ThinkingDelta("hm"), TextDelta("text"), Completed(OUTPUT)]),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
async def test_an_answer_becomes_events(form: Any, answer: Any, expected: list[ProviderEvent]) -> None:
    """Whatever kind of function says it, the same answer is the same events, and the end comes by itself."""
    assert await events(form(answer)) == expected


@pytest.mark.parametrize("form", [as_function, as_coroutine, as_generator, as_async_generator])
@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "returned or yielded None.*lack a return"),
        ({"a": 1}, "returned or yielded {'a': 1}.*JSON text"),
        (b"text", "b'text'"),
        (7, "yielded 7, which is no part of an answer"),
        (["fine", 7], "yielded 7, which"),
        (TextDelta(3), r"TextDelta\(text=3\).*is a str"),  # type: ignore[arg-type]
        ([OUTPUT, "more"], "went on after the end of its answer, with 'more'"),
        (["other", OUTPUT], "ended with 'text', and its pieces said 'other'"),
        (ProviderOutput(content=None), "None"),  # type: ignore[arg-type]
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_no_answer_is_told(form: Any, answer: Any, words: str) -> None:
    """What a function returns is checked, and the error says what came, from which function, and what to write."""
    error = await failure(form(answer))
    with pytest.raises(ProviderError, match=words):
        raise error
    assert "function" in str(error) or "<lambda>" in str(error)


async def test_a_long_wrong_answer_is_cut() -> None:
    """An error does not repeat megabytes."""
    assert len(str(await failure(as_function({"a": "x" * 10_000})))) < 500


async def test_what_a_function_is_given() -> None:
    """A function of one argument gets the request, one of two the context as well, however it is made."""

    class Client:
        def method(self, request: ProviderRequest, context: RunContext) -> str:
            return f"method {context.call}"

        def __call__(self, request: ProviderRequest) -> str:
            return f"called {request.messages[0].content}"

    def optional(request: ProviderRequest, extra: str = "extra") -> str:
        return extra

    for function, expected in (
        (lambda request: request.messages[0].content, "question"),
        (lambda request, context: context.call, "a#1/0/0"),
        (lambda *given: f"{len(given)}", "2"),
        (Client().method, "method a#1/0/0"),
        (Client(), "called question"),
        (functools.partial(lambda prefix, request: prefix + request.messages[0].content, "a "), "a question"),
        (optional, "extra"),
    ):
        assert (await events(function))[-1] == done(expected)


@pytest.mark.parametrize(
    "function",
    ["text", None, lambda: "x", lambda one, two, three: "x", lambda request, *, needed: "x"],
    ids=["text", "none", "no arguments", "three", "by name"],
)
def test_what_cannot_be_called_is_refused_at_once(function: Any) -> None:
    """A function that could not be called with a request is an error where it is given."""
    with pytest.raises(DefinitionError, match="FunctionProvider"):
        FunctionProvider(function)


async def test_something_to_be_awaited() -> None:
    """What a plain function returns may be awaited, or iterated over asynchronously: that is done in the event loop."""
    here = threading.get_ident()

    async def ask() -> str:
        assert threading.get_ident() == here
        return "awaited"

    async def stream() -> AsyncIterator[str]:
        assert threading.get_ident() == here
        yield "streamed"

    assert (await events(lambda request: ask()))[-1] == done("awaited")
    assert (await events(lambda request: stream()))[-1] == done("streamed")


@pytest.mark.parametrize("kind", ["function", "generator"])
async def test_a_plain_function_does_not_block_the_event_loop(kind: str) -> None:
    """A plain function, and each step of a plain generator, may wait for what only the event loop brings."""
    came = threading.Event()

    def function(request: ProviderRequest) -> str:
        assert came.wait(50)
        return "ab"

    def generator(request: ProviderRequest) -> Iterator[str]:
        yield "a"
        assert came.wait(50)
        yield "b"

    asking = asyncio.ensure_future(events(function if kind == "function" else generator))
    asyncio.get_running_loop().call_later(0.01, came.set)
    assert (await asyncio.wait_for(asking, 50))[-1] == done("ab")


async def test_pieces_come_as_they_are_made() -> None:
    """A generator that waits for somebody to have read its first piece is no deadlock."""
    read = threading.Event()

    def function(request: ProviderRequest) -> Iterator[str]:
        yield "first"
        assert read.wait(50)
        yield "second"

    stream = FunctionProvider(function).run(REQUEST, CONTEXT)
    assert await anext(stream) == TextDelta("first")
    read.set()
    assert await anext(stream) == TextDelta("second")
    await stream.aclose()


async def test_a_plain_generator_stays_in_one_thread_and_context() -> None:
    """All steps of a request, and its clean-up, run in one thread that sees the caller's context variables."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
    threads: list[threading.Thread] = []
    closed = threading.Event()

    def function(request: ProviderRequest) -> Iterator[str]:
        try:
            for _ in range(3):
                threads.append(threading.current_thread())
                yield variable.get()
        finally:
            threads.append(threading.current_thread())
            closed.set()

    variable.set("caller's")
    stream = FunctionProvider(function).run(REQUEST, CONTEXT)
    assert await anext(stream) == TextDelta("caller's")
    assert await anext(stream) == TextDelta("caller's")
    await stream.aclose()
    assert await asyncio.to_thread(closed.wait, 50)
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    await asyncio.to_thread(threads[0].join, 50)
    assert not threads[0].is_alive()


async def test_cancelling_leaves_a_function_that_blocks(caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled request ends at once though its function blocks; a generator is closed when it lets go."""
    begun, let_go, closed = threading.Event(), threading.Event(), threading.Event()

    def function(request: ProviderRequest) -> Iterator[str]:
        try:
            begun.set()
            assert let_go.wait(50)
            yield "never seen"
        finally:
            closed.set()

    asking = asyncio.ensure_future(events(function))
    assert await asyncio.to_thread(begun.wait, 50)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 50)
    assert not closed.is_set()
    let_go.set()
    assert await asyncio.to_thread(closed.wait, 50)
    await asyncio.sleep(0)
    assert caplog.messages == []


@pytest.mark.parametrize("wrapped", [False, True])
async def test_cancelling_reaches_what_is_async(wrapped: bool) -> None:
    """An async generator is closed in the event loop before the request has ended."""
    seen: list[str] = []

    async def function(request: ProviderRequest) -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            seen.append("closed")

    given = (lambda request: aiter(function(request))) if wrapped else function
    stream = FunctionProvider(given).run(REQUEST, CONTEXT)
    await anext(stream)
    await stream.aclose()
    assert seen == ["closed"]
    stream = FunctionProvider(given).run(REQUEST, CONTEXT)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert seen == ["closed", "closed"]


async def test_what_a_generator_raises_when_it_is_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A clean-up that fails in its thread, where nobody waits, is logged without its words."""

    def function(request: ProviderRequest) -> Iterator[str]:
        try:
            yield "a"
        finally:
            raise ValueError("private")

    stream = FunctionProvider(function).run(REQUEST, CONTEXT)
    await anext(stream)
    (thread,) = [one for one in threading.enumerate() if one.name == "openharness function a#1/0/0"]
    await stream.aclose()
    await asyncio.to_thread(thread.join, 50)
    # What the thread has handed to the event loop is done next.
    await asyncio.sleep(0)
    assert "raised ValueError" in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize("form", [as_function, as_coroutine, as_generator, as_async_generator])
async def test_what_a_function_raises_is_raised(form: Any) -> None:
    """An exception of the function comes out as it is, after the pieces before it."""

    class Breaks(list[str]):
        def __iter__(self) -> Iterator[str]:
            yield "so far"
            raise ConnectionError("gone")

    stream = FunctionProvider(form(Breaks())).run(REQUEST, CONTEXT)
    assert await anext(stream) == TextDelta("so far")
    with pytest.raises(ConnectionError, match="gone"):
        await anext(stream)


async def test_agents_run_on_a_function() -> None:
    """A function answers an agent with a tool, its answer updates the state, and its failure is the agent's."""
    harness = create_harness()

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def model(request: ProviderRequest) -> object:
        if request.messages[-1].role == "tool":
            return f"The sum is {request.messages[-1].content}."
        return ["I add.", ToolCall("c1", "add", {"a": 1, "b": 2})]

    asker = harness.agent(prompt="1 + 2?", activate_on="harness:start", updates="answer", tools=[add])
    result = await harness.run_reactive(agents={"asker": asker}, state={"answer": ""}, provider=FunctionProvider(model))
    assert result.state == {"answer": "The sum is 3."}
    with pytest.raises(AgentError, match="slow down"):
        await harness.run_reactive(agents={"asker": asker}, state={"answer": ""}, provider=FunctionProvider(fails))


def test_what_it_is_called() -> None:
    """Its name is the function's unless another is given, and its capabilities can be chosen."""
    assert (FunctionProvider(fails).display_name, FunctionProvider(fails, name="rules").display_name) == (
        "fails",
        "rules",
    )
    assert FunctionProvider(functools.partial(fails)).display_name == "partial"
    assert "fails" in repr(FunctionProvider(fails))
    assert FunctionProvider.type == "function"
    assert FunctionProvider(fails).capabilities.tools
    assert not FunctionProvider(fails, capabilities=ProviderCapabilities()).capabilities.tools
