"""The provider that says what a test wrote down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openharness.core import (
    Completed,
    LimitedProvider,
    Message,
    Provider,
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
)
from openharness.testing import Ability, Answer, ProviderContract, ScriptedProvider, UnexpectedRequestError

CONTEXT = RunContext(run_id="run-1", agent="a", activation="a#1", call="a#1/0/0")


def ask(text: str = "question") -> ProviderRequest:
    """Return a request."""
    return ProviderRequest(messages=[Message("user", text)])


async def events(provider: ScriptedProvider, request: ProviderRequest | None = None) -> list[ProviderEvent]:
    """Return all events of a request."""
    return [event async for event in provider.run(request or ask(), CONTEXT)]


class TestScriptedProvider(ProviderContract):
    """`ScriptedProvider` is a provider like any other."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self) -> ScriptedProvider:
        """Return one that repeats the question."""
        return ScriptedProvider(lambda request: ["You said: ", 0.001, request.messages[-1].content])

    @pytest.fixture
    def failing_provider(self) -> ScriptedProvider:
        """Return one that fails in the middle."""
        return ScriptedProvider([["so far", ProviderError("no", kind="rate_limit", retryable=True)]])


class TestLimitedProvider(TestScriptedProvider):
    """A provider with limits keeps every promise of the provider that it limits."""

    @pytest.fixture
    def provider(self) -> LimitedProvider:  # type: ignore[override]
        """Return one that lets a few requests run at once, and more a minute than there are."""
        scripted = ScriptedProvider(lambda request: ["You said: ", 0.001, request.messages[-1].content])
        return LimitedProvider(scripted, max_concurrency=8, requests_per_minute=1000)

    @pytest.fixture
    def failing_provider(self) -> LimitedProvider:  # type: ignore[override]
        """Return one that fails in the middle."""
        failing = ScriptedProvider([["so far", ProviderError("no", kind="rate_limit", retryable=True)]])
        return LimitedProvider(failing, max_concurrency=1)

    async def test_the_type_is_a_short_name(self, provider: Provider) -> None:
        """In signals it is who answers, and so not of the class."""
        assert provider.type == ScriptedProvider.type


def done(content: str, **fields: Any) -> Completed:
    """Return the end of a scripted answer."""
    return Completed(ProviderOutput(content=content, **{"stop_reason": "end", **fields}))


CALL = ToolCall("c1", "add", {"a": 1})
OUTPUT = ProviderOutput(content="text", thinking="hm", usage=Usage(input_tokens=3), stop_reason="max_tokens")


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("text", [TextDelta("text"), done("text")]),
        ("", [done("")]),
        (["in ", "pieces"], [TextDelta("in "), TextDelta("pieces"), done("in pieces")]),
        (("a", 0, "b"), [TextDelta("a"), TextDelta("b"), done("ab")]),
        ([], [done("")]),
        ([ThinkingDelta("h"), ThinkingDelta("m"), "x"], None),
        (CALL, [CALL, done("", stop_reason="tool_calls")]),
        ([ProviderWarning("slow"), "x"], [ProviderWarning("slow"), TextDelta("x"), done("x")]),
        (OUTPUT, [ThinkingDelta("hm"), TextDelta("text"), Completed(OUTPUT)]),
        (["text", Completed(OUTPUT), "never said"], [TextDelta("text"), Completed(OUTPUT)]),
        pytest.param(
            lambda request: request.messages[0].content, [TextDelta("question"), done("question")], id="function"
        ),
        pytest.param(lambda request: lambda request: ["a"], [TextDelta("a"), done("a")], id="function of a function"),
    ],
    ids=repr,
)
async def test_an_answer_becomes_events(answer: Answer, expected: list[ProviderEvent] | None) -> None:
    """Texts are deltas, numbers pauses, events themselves, functions are asked, and the end comes by itself."""
    if expected is None:
        expected = [ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("x"), done("x", thinking="hm")]
    async with ScriptedProvider([answer]) as provider:
        assert await events(provider) == expected


async def test_answers_are_taken_in_the_order_in_which_requests_begin() -> None:
    """The first request to begin gets the first answer, whichever ends first."""
    provider = ScriptedProvider([[0.02, "first"], "second"])
    one, two = await asyncio.gather(events(provider, ask("one")), events(provider, ask("two")))
    assert one[-1] == done("first")
    assert two[-1] == done("second")
    assert [request.messages[0].content for request in provider.requests] == ["one", "two"]
    assert provider.contexts == [CONTEXT, CONTEXT]


@pytest.mark.parametrize("error", [ProviderError("no", kind="x"), ConnectionError("gone"), TimeoutError()], ids=repr)
async def test_an_exception_is_raised(error: Exception) -> None:
    """An exception is raised as it is, as the whole answer or after a part of it."""
    provider = ScriptedProvider([error, ["part", error]])
    with pytest.raises(type(error)) as caught:
        await events(provider)
    assert caught.value is error
    generator = provider.run(ask(), CONTEXT)
    assert await anext(generator) == TextDelta("part")
    with pytest.raises(type(error)):
        await anext(generator)
    provider.assert_done()


async def test_a_request_too_many_is_a_provider_error() -> None:
    """Beyond the script, a request fails with a kind of its own, and the end complains."""
    provider = ScriptedProvider(["only"])
    await events(provider)
    with pytest.raises(UnexpectedRequestError, match="The script has 1 answers, and this is request 2") as caught:
        await events(provider, ask("too many"))
    assert (caught.value.kind, caught.value.retryable) == ("unexpected_request", False)
    with pytest.raises(AssertionError, match="too many"):
        provider.assert_done()


async def test_unused_answers_are_complained_of() -> None:
    """Answers that nobody asked for fail the end of ``async with``."""

    async def use_one() -> None:
        async with ScriptedProvider(["one", "two", "three"]) as provider:
            await events(provider)
            assert provider.unused == ["two", "three"]

    with pytest.raises(AssertionError, match="2 of 3 scripted answers were not asked for:\n  2: 'two'\n  3: 'three'"):
        await use_one()


async def test_an_error_in_the_block_is_not_hidden() -> None:
    """What went wrong first comes out, and not that answers are left."""

    async def fail() -> None:
        async with ScriptedProvider(["unused"]):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_one_function_answers_everything() -> None:
    """A script that is a function is never used up and never left over."""
    async with ScriptedProvider(lambda request: request.messages[0].content.upper()) as provider:
        for text in ("a", "b"):
            assert (await events(provider, ask(text)))[-1] == done(text.upper())
        assert provider.unused == []
    async with ScriptedProvider(lambda request: "never asked"):
        pass


async def test_a_delay_comes_before_each_event() -> None:
    """With ``delay`` every delta waits."""
    provider = ScriptedProvider([["a", "b", "c"]], delay=0.02)
    start = asyncio.get_running_loop().time()
    await events(provider)
    assert asyncio.get_running_loop().time() - start >= 0.055


def test_a_text_instead_of_a_list_is_refused() -> None:
    """A text would be a list of its letters."""
    with pytest.raises(TypeError, match=r"write \['hello'\]"):
        ScriptedProvider("hello")


def test_it_tells_how_far_it_is() -> None:
    """Its repr is of use in a failing test, and its capabilities can be chosen."""
    assert repr(ScriptedProvider(["a", "b"])) == "ScriptedProvider(0 of 2 answers used)"
    assert "0 requests" in repr(ScriptedProvider(lambda request: ""))
    assert ScriptedProvider([]).capabilities.tools
    assert not ScriptedProvider([], capabilities=ProviderCapabilities()).capabilities.tools
