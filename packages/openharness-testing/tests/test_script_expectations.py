"""Scripts that say which request each answer is for."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openharness.core import AgentError, Message, ProviderError, ProviderRequest, RunContext, ToolCall, create_harness
from openharness.testing import Entry, Expectation, ScriptedProvider, UnexpectedRequestError

if TYPE_CHECKING:
    import random

pytest_plugins = ("pytester",)

SEARCH = {"name": "search", "description": "", "parameters": {}}
READ = {"name": "read", "description": "", "parameters": {}}


def context(agent: str = "asker", number: int = 1) -> RunContext:
    """The context of a call of an agent's."""
    return RunContext(run_id="r", agent=agent, activation=f"{agent}#{number}", call=f"{agent}#{number}/0/0")


def ask(text: Any = "question", **options: Any) -> ProviderRequest:
    """Return a request."""
    return ProviderRequest(messages=[Message("user", text)], **options)


async def said(provider: ScriptedProvider, request: ProviderRequest, whose: RunContext | None = None) -> str:
    """Return the text of the answer to a request."""
    *_, last = [event async for event in provider.run(request, whose or context())]
    return last.output.content  # type: ignore[union-attr]


async def refused(
    provider: ScriptedProvider, request: ProviderRequest, whose: RunContext | None = None
) -> UnexpectedRequestError:
    """Return the error of a request that the script does not have."""
    with pytest.raises(UnexpectedRequestError) as caught:
        await said(provider, request, whose)
    return caught.value


REQUEST = ask("What is 1 + 2?", model="m-1", system="Be brief.", tools=[SEARCH, READ])


@pytest.mark.parametrize(
    "fields, fits",
    [
        ({}, True),
        ({"agent": "asker"}, True),
        ({"agent": "other"}, False),
        ({"model": "m-1"}, True),
        ({"model": "m"}, False),
        ({"model": re.compile("^m")}, True),
        ({"system": "Be brief."}, True),
        ({"system": "Be"}, False),
        ({"system": re.compile("brief")}, True),
        ({"system": re.compile("long")}, False),
        ({"system": lambda text: len(text) < 20}, True),
        ({"message": "What is 1 + 2?"}, True),
        ({"message": "1 + 2"}, False),
        ({"message": re.compile(r"\d \+ \d")}, True),
        ({"message": lambda text: "3" in text}, False),
        ({"message": lambda text: text["no"]}, False),
        ({"tools": ["search", "read"]}, True),
        ({"tools": {"read", "search"}}, True),
        ({"tools": ["search"]}, False),
        ({"tools": []}, False),
        ({"when": lambda request: request.temperature is None}, True),
        ({"when": lambda request: request.seed == 1}, False),
        ({"agent": "asker", "model": "m-1", "message": "another"}, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else str(value),
)  # fmt: skip
async def test_what_fits_is_answered(fields: dict[str, Any], fits: bool) -> None:
    """A text must be the same, a pattern be found, a function say yes, and the tools be all that are offered."""
    provider = ScriptedProvider([Expectation("3", **fields)])
    if fits:
        assert await said(provider, REQUEST) == "3"
        provider.assert_done()
    else:
        error = await refused(provider, REQUEST)
        assert error.expectation == Expectation("3", **fields)
        assert provider.unexpected == [error]
        # The answer is still there for the request that it is for.
        assert len(provider.unused) == 1
        with pytest.raises(AssertionError, match="1 requests that the script does not have"):
            provider.assert_done()


async def test_what_is_not_there() -> None:
    """A request without a system prompt, model or text in its message fits only what asks for nothing there."""
    bare = ask([{"type": "image"}])
    for fields in ({"system": re.compile("")}, {"model": re.compile("")}, {"message": re.compile("")}, {"system": ""}):
        await refused(ScriptedProvider([Expectation("x", **fields)]), bare)
    fitting = Expectation("x", system=lambda text: text is None, message=lambda content: content[0]["type"] == "image")
    assert await said(ScriptedProvider([fitting]), bare) == "x"


async def test_an_unexpected_request_is_shown_beside_what_was_expected() -> None:
    """The error is a table of both, marks what differs, cuts long texts to where they part, and says who asked."""
    start = "Here is a very long beginning of a prompt that both have, "
    provider = ScriptedProvider(
        ["first", Expectation("x", agent="critic", message=f"{start}and one end", tools=["search"])]
    )
    await said(provider, ask())
    error = await refused(provider, ask(f"{start}but another end", model="m-1", tools=[SEARCH]), context("planner"))
    assert str(error).splitlines() == [
        "Answer 2 of the script is for another request than this (planner#1/0/0):",
        "             expected                        came",
        '  ! agent    "critic"                        "planner"',
        '    model    (anything)                      "m-1"',
        "    system   (anything)                      -",
        '  ! message  …that both have, and one end"   …that both have, but another end"',
        "    tools    search                          search",
    ]
    assert (error.request.model, error.context.agent) == ("m-1", "planner")


async def test_functions_and_patterns_in_the_table() -> None:
    """A pattern is shown as it is written, a function by its name, and what it raised."""

    def is_short(text: str) -> bool:
        return len(text) < 3

    def breaks(request: ProviderRequest) -> bool:
        raise KeyError("no")

    provider = ScriptedProvider([Expectation("x", system=re.compile("^Be"), message=is_short, when=breaks)])
    error = str(await refused(provider, ask("long")))
    for line in (
        r"! system   /\^Be/ +-$",
        r'! message  is_short\(\) +"long"$',
        r"! when     breaks\(\) raised KeyError +False$",
    ):
        assert re.search(line, error, re.MULTILINE), error


async def test_agents_in_another_order() -> None:
    """A list is an order: what comes too early is refused, and the error says which answer it is for, and what to do."""
    provider = ScriptedProvider([Expectation("p", agent="planner"), Expectation("c", agent="critic")])
    error = await refused(provider, ask(), context("critic"))
    assert "It is what answer 2 is for. If agents run at once" in str(error)
    assert error.expectation is not None
    assert error.expectation.agent == "planner"


async def test_beyond_the_script() -> None:
    """Where nothing is left, the nearest expectation is one that was used; without expectations what came is shown."""
    provider = ScriptedProvider([Expectation("x", message="one"), Expectation("y", message="two", model="m")])
    await said(provider, ask("one"))
    await said(provider, ask("two", model="m"))
    error = await refused(provider, ask("other", model="m"))
    assert "The script has 2 answers, and this is request 3 (asker#1/0/0):" in str(error)
    assert "The nearest expectation, which was used before:" in str(error)
    assert error.expectation is not None
    assert error.expectation.message == "two"
    error = await refused(ScriptedProvider([]), ask("hello", tools=[READ]))
    assert str(error).splitlines()[1:] == [
        '    agent    "asker"',
        "    model    -",
        "    system   -",
        '    message  "hello"',
        "    tools    read",
    ]
    assert error.expectation is None


async def test_a_script_for_each_agent() -> None:
    """A mapping gives each agent its own answers, in its own order, or a function; an activation goes before its agent."""
    provider = ScriptedProvider(
        {
            "planner": ["plan", Expectation("again", message="2")],
            "critic": lambda request: request.messages[0].content * 2,
            "planner#2": ["second"],
        }
    )
    assert await said(provider, ask(), context("planner", 2)) == "second"
    assert await said(provider, ask("no"), context("critic")) == "nono"
    assert await said(provider, ask("1"), context("planner")) == "plan"
    assert repr(provider) == "ScriptedProvider(2 of 3 answers used)"
    with pytest.raises(AssertionError, match=r"1 of 3 .*:\n  planner 2: Expectation\(answer='again'"):
        provider.assert_done()
    error = await refused(provider, ask("3"), context("planner", 3))
    assert "Answer planner 2 of the script is for another request than this (planner#3/0/0):" in str(error)
    assert await said(provider, ask("2"), context("planner", 3)) == "again"
    error = await refused(provider, ask("2"), context("planner", 3))
    assert "The script has 2 answers for 'planner', and this is request 3" in str(error)
    error = await refused(provider, ask(), context("stranger"))
    assert "The script has answers for 'planner', 'critic', 'planner#2', and none for this (stranger#1/0/0):" in str(
        error
    )
    assert provider.unused == []
    with pytest.raises(AssertionError, match=r"3 requests that the script does not have. The first:\nAnswer planner 2"):
        provider.assert_done()


async def test_many_unused_answers_are_cut() -> None:
    """The message names what is left, and not all of a long script."""
    with pytest.raises(AssertionError, match=r"10: 'x'\n  … and 20 more$"):
        ScriptedProvider(["x"] * 30).assert_done()


@pytest.mark.parametrize(
    "script, words",
    [
        ({"planner": "text"}, r"script of 'planner' must be a list .* write \['text'\]"),
        (Expectation("x"), r"write \[Expectation\(\.\.\.\)\]"),
        ({"planner": Expectation("x")}, r"write \[Expectation\(\.\.\.\)\]"),
    ],
)
def test_scripts_that_are_no_lists(script: Any, words: str) -> None:
    """A part of a script that is no list is an error that says what to write."""
    with pytest.raises(TypeError, match=words):
        ScriptedProvider(script)


@pytest.mark.parametrize("field", ["model", "system", "message"])
def test_expectations_that_cannot_fit(field: str) -> None:
    """What is no text, pattern or function, and a text for the tools, is an error where it is written."""
    with pytest.raises(TypeError, match=f"{field} must be a text, a compiled pattern or a function, got 3"):
        Expectation("x", **{field: 3})
    with pytest.raises(TypeError, match=r"write \['search'\]"):
        Expectation("x", tools="search")


LINES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(LINES, st.randoms(use_true_random=False))
def test_answers_do_not_depend_on_who_is_first(order: list[str], chance: random.Random) -> None:
    """However the requests of agents that run at once are mixed, each gets the answer that it would get alone."""
    script: dict[str, list[Entry]] = {"a": [], "b": [], "c": []}
    asked = []
    for agent in order:
        text = f"{agent} {len(script[agent])}"
        asked.append((agent, text))
        script[agent].append(Expectation(f"answer to {text}", message=text))
    mixed = [agent for agent, _ in asked]
    chance.shuffle(mixed)
    queues = {agent: [text for whose, text in asked if whose == agent] for agent in "abc"}

    async def run() -> None:
        async with ScriptedProvider(script) as provider:
            texts = [(agent, queues[agent].pop(0)) for agent in mixed]
            answers = await asyncio.gather(*(said(provider, ask(text), context(agent)) for agent, text in texts))
            assert answers == [f"answer to {text}" for _, text in texts]

    asyncio.run(run())


async def test_agents_at_once_with_tools_and_retries() -> None:
    """In a run, agents that work at once get their own answers: tool calls, errors that are tried again, and texts."""
    harness = create_harness()

    def search(query: str) -> str:
        """Search."""
        return f"found {query}"

    agents = {
        "finder": harness.agent(prompt="Find.", activate_on="harness:start", updates="found", tools=[search]),
        "writer": harness.agent(prompt="Write.", activate_on="harness:start", updates="text", retries=1),
    }
    script: Any = {
        "writer": [
            Expectation(
                [0.01, ProviderError("busy", kind="overloaded", retryable=True, retry_after=0.0)], message="Write."
            ),
            Expectation(["It ", "is."], message="Write.", tools=[]),
        ],
        "finder": [
            Expectation(["Well, ", ToolCall("c1", "search", {"query": "tea"})], message="Find.", tools=["search"]),
            Expectation(
                0.02 and ["Tea."], message="found tea", when=lambda request: request.messages[-1].role == "tool"
            ),
        ],
    }
    async with ScriptedProvider(script) as provider:
        result = await harness.run_reactive(agents=agents, state={"found": "", "text": ""}, provider=provider)
    assert result.state == {"found": "Tea.", "text": "It is."}
    with pytest.raises(AgentError) as caught:
        await harness.run_reactive(
            agents=agents, state={"found": "", "text": ""}, provider=ScriptedProvider({"finder": script["finder"]})
        )
    assert "none for this (writer#1/0/0)" in str(caught.value)


FIXTURE_TESTS = """
import pytest
from openharness.core import Message, ProviderRequest, RunContext
from openharness.testing import ScriptedProvider

CONTEXT = RunContext(run_id="r", agent="a", activation="a#1", call="a#1/0/0")


async def ask(provider):
    return [event async for event in provider.run(ProviderRequest(messages=[Message("user", "hi")]), CONTEXT)]


async def test_done(scripted_provider: type[ScriptedProvider]):
    await ask(scripted_provider(["one"]))


async def test_left_over(scripted_provider):
    await ask(scripted_provider(["one", "never asked for"]))


async def test_swallowed(scripted_provider):
    with pytest.raises(Exception):
        await ask(scripted_provider([]))


async def test_second_of_two(scripted_provider):
    await ask(scripted_provider(["one"]))
    scripted_provider({"a": ["never asked for"]})


async def test_fails_itself(scripted_provider):
    scripted_provider(["never asked for"])
    raise ZeroDivisionError


async def test_replay(scripted_provider, recording):
    scripted_provider(["asked for while recording"])


async def test_made_by_hand():
    ScriptedProvider(["nobody looks"])
"""


def test_the_fixture_checks_at_the_end_of_the_test(pytester: pytest.Pytester) -> None:
    """A test whose scripts were not used as written fails, once, unless it failed otherwise or replayed."""
    pytester.makepyfile(FIXTURE_TESTS)
    options = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"]
    result = pytester.runpytest_inprocess(*options)
    result.assert_outcomes(passed=3, failed=4)
    result.stdout.fnmatch_lines_random(
        [
            "E*AssertionError: 1 of 2 scripted answers were not asked for:",
            "E*AssertionError: There were 1 requests that the script does not have. The first:",
            "E*AssertionError: 1 of 1 scripted answers were not asked for:",
            "FAILED *::test_fails_itself*",
        ]
    )


GUARD_TESTS = """
import asyncio

from openharness.core import FunctionProvider, create_harness

HARNESS = create_harness()
AGENT = HARNESS.agent(prompt="hi", activate_on="harness:start", updates="answer")


def test_a_function_of_this_file():
    provider = FunctionProvider(lambda request: "mine")
    result = asyncio.run(HARNESS.run_reactive(agents={"a": AGENT}, state={"answer": ""}, provider=provider))
    assert result.state == {"answer": "mine"}


def test_a_function_from_elsewhere():
    import model

    asyncio.run(
        HARNESS.run_reactive(agents={"a": AGENT}, state={"answer": ""}, provider=FunctionProvider(model.answer))
    )
"""


def test_functions_of_tests_are_doubles(pytester: pytest.Pytester) -> None:
    """Where tests must reach no model, a function of the test file may answer, and one of the program may not."""
    pytester.makepyfile(model="def answer(request):\n    return 'a real one'")
    pytester.makepyfile(GUARD_TESTS)
    result = pytester.runpytest_inprocess(
        "--harness-mode=replay", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED *::test_a_function_from_elsewhere*"])
