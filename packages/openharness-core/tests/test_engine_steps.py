"""Steps: what one arrival causes, in which order, and who is asked."""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any

import attrs
import pytest
from harness_kit import EventsProvider, KeepingStore, ScriptedProvider, names_of, of_name, outline

from openharness.core import (
    AgentError,
    Completed,
    Context,
    DefinitionError,
    InvalidValueError,
    PatternError,
    ProviderOutput,
    RunResult,
    Signal,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    UnknownNameError,
    Usage,
    create_harness,
)


@attrs.define
class State:
    """A state with a field to look at and one to fill."""

    input: str = ""
    answer: str = ""
    order: list[str] = attrs.field(factory=list)


harness = create_harness(State)


async def run(**options: Any) -> RunResult[State]:
    """Run with a provider that shouts back, unless the test says otherwise."""
    options.setdefault("provider", ScriptedProvider())
    options.setdefault("state", State())
    return await harness.run_reactive(**options)


async def test_a_run_begins_goes_to_quiescence_and_ends() -> None:
    """A run of one agent is harness:start, its activation, its answer, and harness:end."""
    agent = harness.agent(prompt="hi", activate_on="harness:start", emits=["a:done", "b:done"], updates="answer")
    result = await run(agents={"greeter": agent})
    assert outline(result.signals) == [
        "harness:start",
        "agent:activated greeter",
        "provider:start greeter",
        "provider:end greeter",
        "text:complete greeter",
        "state:answer:changed greeter",
        "agent:completed greeter",
        "a:done greeter",
        "b:done greeter",
        "harness:end",
    ]
    assert result.signals[-1].payload == {"status": "completed", "error": None, "terminated_early": False}
    assert of_name(result.signals, "a:done")[0].payload == {"agent": "greeter", "output": "HI"}


async def test_positions_ids_times_and_parents_follow_rules() -> None:
    """Seqs are gapless from 0, ids derive from run and seq, times never decrease, and a parent precedes its child."""
    agent = harness.agent(
        prompt="hi", activate_on=["harness:start", "go:on"], emits="go:on", when=lambda c: c.signal.seq < 40
    )
    result = await run(agents={"a": agent, "b": agent})
    assert [signal.seq for signal in result.signals] == list(range(len(result.signals)))
    assert all(signal.id == f"{result.run_id}/{signal.seq}" for signal in result.signals)
    times = [signal.timestamp for signal in result.signals]
    assert times == sorted(times)
    seen: set[str | None] = {None}
    for signal in result.signals:
        assert signal.source.parent in seen
        seen.add(signal.id)
    assert [signal.name for signal in result.signals if signal.source.parent is None] == ["harness:start"]


async def test_the_start_holds_state_input_seed_and_the_agents() -> None:
    """harness:start has everything a replay needs: initial state, input, seed, and how the agents are wired."""
    agent = harness.agent(
        prompt="{{ input.x }}",
        activate_on=re.compile("harness:.*"),
        emits="a:b",
        when=lambda c: c.signal.name == "harness:start",
    )
    result = await run(agents={"a": agent}, state=State(input="i"), input={"x": (1, 2)}, seed=7)
    assert result.signals[0].payload == {
        "state": {"input": "i", "answer": "", "order": []},
        "input": {"x": [1, 2]},
        "seed": 7,
        "agents": {"a": {"activate_on": ["harness:.*"], "emits": ["a:b"], "updates": None}},
    }


async def test_a_signal_goes_through_reducers_then_end_when_then_agents() -> None:
    """For one signal: reducers in the order of definition, then end_when, then guards in the order of the agents."""
    asked: list[str] = []

    def note(what: str, answer: object = None) -> Any:
        def look(*args: object) -> object:
            asked.append(what)
            return answer

        return look

    def reducer(what: str) -> Any:
        return lambda state, signal: asked.append(what)

    agents = {
        name: harness.agent(prompt="x", activate_on="harness:start", when=note(f"guard {name}", False))
        for name in ("z", "a")
    }
    await run(
        agents=agents,
        reducers={"harness:start": reducer("first"), "harness:*": reducer("second")},
        end_when=note("end_when", False),
    )
    assert asked[:5] == ["first", "second", "end_when", "guard z", "guard a"]


async def test_reducers_come_before_guards_and_prompts() -> None:
    """What a reducer makes of a signal is what the guard and the prompt for that signal see."""

    def fill(state: State, signal: Signal) -> None:
        state.input = "filled"

    agent = harness.agent(
        prompt="{{ state.input }}", activate_on="harness:start", when=lambda ctx: ctx.state.input == "filled"
    )
    provider = ScriptedProvider()
    await run(agents={"a": agent}, reducers={"harness:start": fill}, provider=provider)
    assert provider.prompts == ["filled"]


async def test_signals_of_a_step_are_handled_first_in_first_out() -> None:
    """A step is a list, not a recursion: what an activation causes comes after all that was caused before it."""
    first = harness.agent(prompt="x", activate_on="harness:start", emits=["one:a", "two:b"])
    on_one = harness.agent(prompt="x", activate_on="one:a")
    on_two = harness.agent(prompt="x", activate_on="two:b")
    result = await run(agents={"first": first, "on_two": on_two, "on_one": on_one})
    names = outline(result.signals)
    start = names.index("one:a first")
    assert names[start : start + 6] == [
        "one:a first",
        "two:b first",
        "agent:activated on_one",
        "provider:start on_one",
        "agent:activated on_two",
        "provider:start on_two",
    ]


async def test_a_false_guard_skips_the_agent_and_says_why() -> None:
    """A guard that is false makes agent:skipped with the reason, and no request."""
    agent = harness.agent(prompt="x", activate_on="harness:start", when=lambda ctx: False)
    provider = ScriptedProvider()
    result = await run(agents={"a": agent}, provider=provider)
    assert outline(result.signals) == ["harness:start", "agent:skipped a", "harness:end"]
    assert result.signals[1].payload == {"agent": "a", "reason": "guard"}
    assert result.metrics.skipped == 1
    assert provider.requests == []


async def test_inert_signals_activate_nobody() -> None:
    """An agent on every signal is activated by none of agent:skipped, harness:end and harness:limit."""
    seen: list[str] = []

    def guard(ctx: Context[State]) -> bool:
        seen.append(ctx.signal.name)
        return False

    watcher = harness.agent(prompt="x", activate_on="**", when=guard)
    worker = harness.agent(prompt="x", activate_on="harness:start")
    result = await run(agents={"worker": worker, "watcher": watcher})
    assert "agent:skipped" in names_of(result.signals)
    assert not {"agent:skipped", "harness:end"} & set(seen)
    assert {"harness:start", "agent:activated", "provider:start", "text:complete"} <= set(seen)


async def test_wildcards_do_not_match_deltas_but_literal_names_do() -> None:
    """Of text:delta only an agent that names it is told; wildcards match everything else of a stream."""
    provider = EventsProvider(
        [TextDelta("a"), ThinkingDelta("t"), TextDelta("b"), Completed(ProviderOutput(content="ab"))]
    )
    seen: dict[str, list[str]] = {"wild": [], "literal": [], "regex": []}

    def note(name: str) -> Any:
        def guard(ctx: Context[State]) -> bool:
            seen[name].append(ctx.signal.name)
            return False

        return guard

    agents = {
        "worker": harness.agent(prompt="x", activate_on="harness:start"),
        "wild": harness.agent(prompt="x", activate_on=["text:*", "thinking:**"], when=note("wild")),
        "regex": harness.agent(prompt="x", activate_on=re.compile("text:.*"), when=note("regex")),
        "literal": harness.agent(prompt="x", activate_on=["text:delta", "thinking:delta"], when=note("literal")),
    }
    await run(agents=agents, provider=provider)
    assert seen == {
        "wild": ["thinking:complete", "text:complete"],
        "regex": ["text:complete"],
        "literal": ["text:delta", "thinking:delta", "text:delta"],
    }


async def test_an_agent_that_matches_twice_is_activated_once() -> None:
    """Several patterns of one agent that match a signal are one match."""
    agent = harness.agent(
        prompt="x",
        activate_on=["harness:start", "harness:*", "*:start"],
        when=lambda c: c.signal.name == "harness:start",
    )
    result = await run(agents={"a": agent})
    assert names_of(result.signals).count("agent:activated") == 1


@pytest.mark.parametrize(
    "pattern, nearest",
    [
        ("analysis:complet", "analysis:complete"),
        ("harness:strat", "harness:start"),
        ("state:answr:changed", "state:answer:changed"),
    ],
)
async def test_a_pattern_that_can_never_match_is_an_error_with_a_suggestion(pattern: str, nearest: str) -> None:
    """A pattern that no signal of the run can match is refused before the run, and the nearest name is suggested."""
    maker = harness.agent(prompt="x", activate_on="harness:start", emits="analysis:complete")
    lost = harness.agent(prompt="x", activate_on=pattern)
    provider = ScriptedProvider()
    with pytest.raises(UnknownNameError, match=nearest) as caught:
        await run(agents={"maker": maker, "lost": lost}, provider=provider)
    assert caught.value.nearest == nearest
    assert "lost" in str(caught.value)
    assert "Known: 'analysis:complete'; and of the harness: 'agent:activated', " in str(caught.value)
    with pytest.raises(UnknownNameError, match=nearest):
        await run(agents={"maker": maker}, reducers={pattern: lambda s, g: None}, provider=provider)
    assert provider.requests == []


@pytest.mark.parametrize("pattern", ["nothing:*", "**:nothing", re.compile("nothing.*")])
async def test_a_wildcard_that_can_never_match_is_an_error_too(pattern: Any) -> None:
    """Wildcards and regular expressions are checked against the names this run can have."""
    lost = harness.agent(prompt="x", activate_on=pattern)
    with pytest.raises(UnknownNameError):
        await run(agents={"lost": lost})


@pytest.mark.parametrize(
    "name",
    ["agent:skipped", "harness:end", "harness:limit", "subscriber:error", "harness:timeout", "harness:cancelled"],
)
async def test_an_agent_cannot_wait_for_what_activates_nobody(name: str) -> None:
    """A literal name that activates nobody is refused: the agent would never run."""
    lost = harness.agent(prompt="x", activate_on=name)
    with pytest.raises(DefinitionError, match="activates nobody"):
        await run(agents={"lost": lost})


async def test_no_reducer_for_the_end() -> None:
    """A reducer for harness:end is refused: the state is final before it."""
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(DefinitionError, match="harness:end"):
        await run(agents={"a": agent}, reducers={"harness:end": lambda s, g: None})


async def a_coroutine(*args: object) -> Any:
    """What waits."""


def a_generator(*args: object) -> Any:
    """What yields."""
    yield


async def an_async_generator(*args: object) -> Any:
    """What does both."""
    yield


class Asynchronous:
    """An object that waits when it is called."""

    async def __call__(self, *args: object) -> Any:
        """Wait."""


WAITING = {
    "coroutine": a_coroutine,
    "generator": a_generator,
    "async generator": an_async_generator,
    "object": Asynchronous(),
    "partial": functools.partial(a_coroutine, 1),
    "number": 5,
    "bool": True,
}


@pytest.mark.parametrize("function", WAITING.values(), ids=WAITING)
async def test_functions_that_wait_are_refused_when_defined(function: Any) -> None:
    """Guards, prompts, system prompts, reducers and end_when are plain functions; others are refused by name."""
    plain = {"prompt": "x", "activate_on": "harness:start"}
    for role in ("prompt", "system", "when"):
        with pytest.raises(DefinitionError, match=role):
            harness.agent(**{**plain, role: function})
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(DefinitionError, match="A reducer"):
        await run(agents={"a": agent}, reducers={"harness:start": function})
    with pytest.raises(DefinitionError, match="end_when"):
        await run(agents={"a": agent}, end_when=function)
    if not isinstance(function, int):
        with pytest.raises(DefinitionError, match="prompt"):
            harness.agent(activate_on="harness:start", name="n")(function)


@pytest.mark.parametrize("where", ["guard", "prompt", "reducer", "end_when"])
async def test_a_plain_function_that_returns_a_coroutine_is_an_error(where: str) -> None:
    """A lambda around a coroutine function passes no guard: it is an error, and nothing is left un-awaited."""

    def waiting(ctx: Any, signal: Any = None) -> Any:
        return a_coroutine()

    agent = harness.agent(
        prompt=waiting if where == "prompt" else "x",
        when=waiting if where == "guard" else None,
        activate_on="harness:start",
    )
    with pytest.raises(AgentError, match="steps never wait") as caught:
        await run(
            agents={"a": agent},
            reducers={"harness:start": waiting} if where == "reducer" else {},
            end_when=waiting if where == "end_when" else None,
        )
    assert caught.value.kind == where


@pytest.mark.parametrize("where", ["guard", "prompt", "reducer", "end_when"])
async def test_an_awaitable_that_is_no_coroutine_is_an_error_too(where: str) -> None:
    """A future that a function returns is as little an answer as a coroutine."""

    def waiting(ctx: Any, signal: Any = None) -> Any:
        return asyncio.get_running_loop().create_future()

    agent = harness.agent(
        prompt=waiting if where == "prompt" else "x",
        when=waiting if where == "guard" else None,
        activate_on="harness:start",
    )
    with pytest.raises(AgentError, match="steps never wait"):
        await run(
            agents={"a": agent},
            reducers={"harness:start": waiting} if where == "reducer" else {},
            end_when=waiting if where == "end_when" else None,
        )


async def test_the_decorator_form_is_the_same_agent() -> None:
    """A decorated function is the agent's prompt, its name the agent's name, and agents may be a sequence of such."""

    @harness.agent(activate_on="harness:start", updates="answer")
    def summarizer(ctx: Context[State]) -> str:
        return f"Summarise {ctx.state.input}"

    @harness.agent(activate_on="text:complete", name="critic", when=lambda ctx: ctx.signal.source.agent == "summarizer")
    def anything(ctx: Context[State]) -> str:
        return f"Criticise {ctx.signal.payload['text']}"

    provider = ScriptedProvider()
    result = await run(agents=[summarizer, critic := anything], state=State(input="tea"), provider=provider)
    assert (summarizer.name, critic.name) == ("summarizer", "critic")
    assert provider.prompts == ["Summarise tea", "Criticise SUMMARISE TEA"]
    assert list(result.signals[0].payload["agents"]) == ["summarizer", "critic"]


async def test_a_name_in_a_mapping_goes_before_the_defined_one() -> None:
    """The mapping names the agents of a run, whatever they were called when they were defined."""
    agent = harness.agent(prompt="{{ agent }}", activate_on="harness:start", name="defined")
    provider = ScriptedProvider()
    await run(agents={"mapped": agent}, provider=provider)
    assert provider.prompts == ["mapped"]


@pytest.mark.parametrize(
    "agents, error, match",
    [
        (5, InvalidValueError, "agents must be"),
        (lambda agent: agent, InvalidValueError, "agents must be"),
        (lambda agent: [agent], DefinitionError, "needs a name"),
        (lambda agent: [attrs.evolve(agent, name="n")] * 2, DefinitionError, "Two agents are called 'n'"),
        ({"a": 5}, InvalidValueError, "what harness.agent returned"),
        ("text", InvalidValueError, "what harness.agent returned"),
        (lambda agent: {"a b": agent}, DefinitionError, "An agent's name"),
        (lambda agent: {"": agent}, DefinitionError, "An agent's name"),
        (lambda agent: {"a/b": agent}, DefinitionError, "An agent's name"),
        (lambda agent: {"a#1": agent}, DefinitionError, "An agent's name"),
        (lambda agent: {5: agent}, DefinitionError, "An agent's name"),
    ],
)
async def test_agents_that_cannot_be_told_apart_are_refused(agents: Any, error: type[Exception], match: str) -> None:
    """Agents come as a mapping or as a sequence of named ones, with names that can stand in an activation's id."""
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(error, match=match):
        await run(agents=agents(agent) if callable(agents) else agents)


@pytest.mark.parametrize(
    "options, error, match",
    [
        ({"updates": "anser"}, UnknownNameError, "Did you mean 'answer'"),
        ({"prompt": "{{ state.inptu }}"}, UnknownNameError, "Did you mean 'input'"),
        ({"system": "{{ state.inptu }}"}, UnknownNameError, "Did you mean 'input'"),
        ({"activate_on": []}, DefinitionError, "at least one signal"),
        ({"activate_on": ""}, PatternError, "1 to 256"),
        ({"activate_on": ["a::b"]}, PatternError, "empty"),
        ({"activate_on": [5]}, PatternError, "must be a string"),
        ({"emits": "a:*"}, PatternError, "no wildcards"),
        ({"emits": "harness:start"}, DefinitionError, "belong to the harness"),
        ({"emits": ["ok:yes", "state:x:changed"]}, DefinitionError, "belong to the harness"),
        ({"name": "a b"}, DefinitionError, "An agent's name"),
        ({"provider": "claude"}, InvalidValueError, "a Provider"),
        ({"max_tokens": 0}, InvalidValueError, "max_tokens"),
        ({"max_tokens": 1.5}, InvalidValueError, "max_tokens"),
        ({"retries": -1}, InvalidValueError, "retries"),
        ({"retries": True}, InvalidValueError, "retries"),
        ({"retries": None}, InvalidValueError, "retries"),
        ({"retry_delay": None}, InvalidValueError, "retry_delay"),
        ({"updates": 5}, InvalidValueError, "updates"),
        ({"temperature": -0.1}, InvalidValueError, "temperature"),
        ({"temperature": float("nan")}, InvalidValueError, "temperature"),
        ({"temperature": float("inf")}, InvalidValueError, "temperature"),
        ({"timeout": "5"}, InvalidValueError, "timeout"),
        ({"retry_delay": -1}, InvalidValueError, "retry_delay"),
        ({"on_error": "ignore"}, InvalidValueError, "on_error"),
        ({"model": 5}, InvalidValueError, "model"),
        ({"seed": 2**70}, InvalidValueError, "seed"),
        ({"seed": "5"}, InvalidValueError, "seed"),
        ({"stop": [5]}, InvalidValueError, "stop"),
        ({"stop": ""}, InvalidValueError, "stop"),
        ({"options": ["top_p"]}, InvalidValueError, "options"),
        ({"options": {"top_p": float("nan")}}, DefinitionError, r"options\.top_p"),
        ({"options": {1: 2}}, DefinitionError, "options"),
    ],
)
def test_an_option_that_cannot_work_is_refused_when_the_agent_is_defined(
    options: Any, error: type[Exception], match: str
) -> None:
    """Nothing has to run to find out that an agent cannot work."""
    with pytest.raises(error, match=match):
        harness.agent(**{"prompt": "x", "activate_on": "harness:start", **options})


def test_the_decorator_takes_a_function() -> None:
    """A template is given as prompt=, not decorated."""
    with pytest.raises(DefinitionError, match="prompt="):
        harness.agent(activate_on="harness:start")("a template")  # type: ignore[arg-type]


async def test_an_unknown_field_of_a_dict_state_is_an_error_at_the_start() -> None:
    """A dict has the fields it begins with; updating another one is refused before the run."""
    free = create_harness()
    agent = free.agent(prompt="x", activate_on="harness:start", updates="anwser")
    with pytest.raises(UnknownNameError, match="Did you mean 'answer'"):
        await free.run_reactive(agents={"a": agent}, state={"answer": ""}, provider=ScriptedProvider())


async def test_fields_of_a_dict_state_that_may_come_later_can_be_waited_for() -> None:
    """A pattern on the state of a plain dict is not checked: a reducer may add the field."""
    free = create_harness()
    agent = free.agent(prompt="x", activate_on="state:later:changed")
    result = await free.run_reactive(
        agents={"a": agent},
        state={},
        provider=ScriptedProvider(),
        reducers={"harness:start": lambda state, signal: {"later": 1}},
    )
    assert result.metrics.activations == 1


async def test_context_tells_who_is_asked_and_why() -> None:
    """The context has signal, input, time, run, and the agent; the activation only where there is one."""
    seen: dict[str, Context[State]] = {}

    def guard(ctx: Context[State]) -> bool:
        seen["guard"] = ctx
        return True

    def prompt(ctx: Context[State]) -> str:
        seen["prompt"] = ctx
        return "x"

    def reducer(state: State, signal: Signal, ctx: Context[State]) -> None:
        seen["reducer"] = ctx

    agent = harness.agent(prompt=prompt, activate_on="harness:start", when=guard)
    result = await run(agents={"a": agent}, input=[1], reducers={"harness:start": reducer})
    told = {
        name: (ctx.agent, ctx.activation, ctx.signal.name, ctx.run_id == result.run_id, ctx.input)
        for name, ctx in seen.items()
    }
    assert told == {
        "reducer": (None, None, "harness:start", True, [1]),
        "guard": ("a", None, "harness:start", True, [1]),
        "prompt": ("a", "a#1", "harness:start", True, [1]),
    }
    assert seen["prompt"].now == result.signals[0].timestamp


async def test_chance_comes_from_the_seed_and_differs_between_uses() -> None:
    """ctx.random repeats with the seed, and two functions, agents or signals do not see the same numbers."""
    free = create_harness()

    async def numbers(seed: int) -> list[float]:
        drawn: list[float] = []

        def prompt(ctx: Context[Any]) -> str:
            drawn.append(ctx.random.random())
            assert ctx.random is ctx.random
            return "x"

        def guard(ctx: Context[Any]) -> bool:
            drawn.append(ctx.random.random())
            return True

        agent = free.agent(prompt=prompt, activate_on=["harness:start"], when=guard)
        await free.run_reactive(agents={"a": agent, "b": agent}, state={}, provider=ScriptedProvider(), seed=seed)
        return drawn

    first = await numbers(5)
    assert first == await numbers(5)
    assert first != await numbers(6)
    assert len(set(first)) == 4


async def test_prompt_and_system_prompt_of_one_activation_share_their_chance() -> None:
    """The functions that make the two texts of a request draw from one row of numbers, one after the other."""
    free = create_harness()
    drawn: list[float] = []

    def text(ctx: Context[Any]) -> str:
        drawn.append(ctx.random.random())
        return "x"

    agent = free.agent(prompt=text, system=text, activate_on="harness:start")
    await free.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider(), seed=5)
    assert len(set(drawn)) == 2


async def test_requests_carry_what_the_agent_says_and_nothing_of_the_state() -> None:
    """The prompt is the user's message, the system prompt the system's, and the options those of the agent."""
    agent = harness.agent(
        prompt="{{ state.input }}",
        system="Be {{ signal.name }}.",
        activate_on="harness:start",
        model="m",
        max_tokens=5,
        temperature=0.0,
        stop=["END"],
        seed=3,
        options={"top_p": 0.9, "tool_choice": {"type": "any"}},
    )
    provider = ScriptedProvider()
    result = await run(agents={"a": agent}, state=State(input="secret?", answer="other"), provider=provider)
    request, context = provider.requests[0]
    assert [(message.role, message.content) for message in request.messages] == [("user", "secret?")]
    assert request.system == "Be harness:start."
    assert (request.model, request.max_tokens, request.temperature, list(request.stop), request.seed) == (
        "m",
        5,
        0.0,
        ["END"],
        3,
    )
    assert request.options == {"top_p": 0.9, "tool_choice": {"type": "any"}}
    assert (context.agent, context.activation, context.call, context.attempt) == ("a", "a#1", "a#1/0/0", 0)
    started = of_name(result.signals, "provider:start")[0]
    assert started.payload["request"] == {
        "messages": [{"role": "system", "content": "Be harness:start."}, {"role": "user", "content": "secret?"}],
        "model": "m",
        "max_tokens": 5,
        "temperature": 0.0,
        "seed": 3,
        "stop": ["END"],
        "options": {"top_p": 0.9, "tool_choice": {"type": "any"}},
    }
    assert started.payload["digest"].startswith("sha256:")


async def test_what_a_provider_does_to_its_request_does_not_reach_the_log() -> None:
    """A provider that changes the lists of its request changes nothing of the run's log."""

    def answer(request: Any, context: Any) -> str:
        request.stop.append("changed")
        request.options["logit_bias"]["7"] = 5
        return "ok"

    options: dict[str, Any] = {"logit_bias": {}}
    agent = harness.agent(prompt="x", activate_on="harness:start", stop="END", options=options)
    for _ in range(2):
        result = await run(agents={"a": agent}, provider=ScriptedProvider(answer))
        recorded = of_name(result.signals, "provider:start")[0].payload["request"]
        assert (recorded["stop"], recorded["options"]) == (["END"], {"logit_bias": {}})
    assert options == {"logit_bias": {}}


@pytest.mark.parametrize("value", [5, None, b"x"])
async def test_a_prompt_function_returns_text(value: Any) -> None:
    """A prompt that is no text fails the agent with kind "prompt"."""
    agent = harness.agent(prompt=lambda ctx: value, activate_on="harness:start")
    with pytest.raises(AgentError, match="returns a string") as caught:
        await run(agents={"a": agent})
    assert caught.value.kind == "prompt"


@pytest.mark.parametrize("where", ["guard", "prompt", "end_when", "reducer"])
async def test_an_exception_that_cannot_say_what_it_is_is_reported_all_the_same(where: str) -> None:
    """An exception whose own text raises fails the run by its type's name."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    def fail(*args: object) -> Any:
        raise MuteError

    agent = harness.agent(
        prompt=fail if where == "prompt" else "x", when=fail if where == "guard" else None, activate_on="harness:start"
    )
    with pytest.raises(AgentError, match="MuteError"):
        await run(
            agents={"a": agent},
            end_when=fail if where == "end_when" else None,
            reducers={"harness:start": fail} if where == "reducer" else {},
        )


async def test_a_failing_agent_fails_the_run_by_name() -> None:
    """The error names agent, activation and cause; the log ends with agent:error and harness:end."""

    def fail(ctx: Context[State]) -> str:
        raise KeyError("gone")

    agent = harness.agent(prompt=fail, activate_on="harness:start")
    store = KeepingStore()
    with pytest.raises(AgentError, match=r"Agent 'a' failed in a#1 \(prompt\): KeyError: 'gone'") as caught:
        await run(agents={"a": agent}, store=store)
    error = caught.value
    assert (error.agent, error.activation, error.kind) == ("a", "a#1", "prompt")
    assert error.run_id == error.result.run_id
    assert error.recording_id == "rec-0"
    assert error.result.status == "failed"
    told = of_name(error.result.signals, "agent:error")[0]
    assert told.payload == {
        "agent": "a",
        "activation": "a#1",
        "kind": "prompt",
        "message": "KeyError: 'gone'",
        "data": {"type": "KeyError"},
    }
    assert error.result.signals[-1].payload["error"]["type"] == "AgentError"
    assert store.recordings["rec-0"].info.outcome == "failed"


async def test_with_continue_a_failing_agent_is_told_and_can_be_reacted_to() -> None:
    """With on_error="continue" the run goes on, and another agent may be activated by the error."""

    def fail(ctx: Context[State]) -> str:
        raise KeyError("gone")

    bad = harness.agent(prompt=fail, activate_on="harness:start", on_error="continue")
    medic = harness.agent(prompt="help {{ signal.payload.agent }}", activate_on="agent:error")
    provider = ScriptedProvider()
    result = await run(agents={"bad": bad, "medic": medic}, provider=provider)
    assert provider.prompts == ["help bad"]
    assert result.metrics.agents["bad"].errors == 1
    assert result.status == "completed"


async def test_end_when_stops_new_activations_and_lets_running_ones_finish() -> None:
    """Once end_when is true, agents are skipped with the reason "ending", and those that run complete."""
    slow = harness.agent(prompt="slow", activate_on="harness:start")
    fast = harness.agent(prompt="fast", activate_on="harness:start", emits="fast:done")
    late = harness.agent(prompt="late", activate_on=["fast:done", "text:complete"])
    release = asyncio.Event()

    class Provider(ScriptedProvider):
        async def run(self, request: Any, context: Any) -> Any:
            if context.agent == "slow":
                await release.wait()
            else:
                asyncio.get_running_loop().call_later(0.01, release.set)
            async for event in super().run(request, context):
                yield event

    result = await run(
        agents={"slow": slow, "fast": fast, "late": late},
        provider=Provider(),
        end_when=lambda ctx: ctx.signal.name == "text:complete",
    )
    assert result.terminated_early
    assert result.status == "completed"
    assert result.metrics.agents["slow"].activations == 1
    assert "agent:completed slow" in outline(result.signals)
    assert {signal.payload["reason"] for signal in of_name(result.signals, "agent:skipped")} == {"ending"}
    assert names_of(result.signals).count("harness:ending") == 1
    assert result.metrics.agents["late"].activations == 0
    assert result.signals[-1].payload["terminated_early"] is True


async def test_max_concurrency_bounds_what_runs_at_once_and_keeps_the_order() -> None:
    """At most so many requests are out at a time; who waits is let in by order, and sees the state of then."""
    provider = ScriptedProvider(delay=0.002)
    agents = {f"a{n}": harness.agent(prompt="{{ state.order|length }}", activate_on="harness:start") for n in range(7)}

    def note(state: State, signal: Signal) -> None:
        state.order.append(str(signal.source.agent))

    result = await run(agents=agents, provider=provider, max_concurrency=2, reducers={"agent:completed": note})
    assert provider.most == 2
    assert [context.agent for _, context in provider.requests] == list(agents)
    assert len(result.state.order) == 7
    assert provider.prompts[:2] == ["0", "0"]
    assert provider.prompts[-1] != "0"


async def test_a_prompt_that_fails_gives_its_place_to_the_next() -> None:
    """With one place, a prompt that fails and continues does not keep the place."""

    def prompt(ctx: Context[State]) -> str:
        if ctx.agent != "c":
            raise RuntimeError("no")
        return "x"

    agent = harness.agent(prompt=prompt, activate_on="harness:start", on_error="continue")
    result = await run(agents={"a": agent, "b": agent, "c": agent}, max_concurrency=1)
    assert result.metrics.errors == 2
    assert "agent:completed c" in outline(result.signals)


async def test_all_events_of_a_provider_are_signals() -> None:
    """Thinking, tool calls and warnings are recorded as they come, and thinking is completed before the text."""
    provider = EventsProvider(
        [
            ThinkingDelta("hm "),
            ThinkingDelta(""),
            ThinkingDelta("ok"),
            ToolCall("id-1", "look", {"at": (1,)}),
            TextDelta(""),
            TextDelta("done"),
            Completed(
                ProviderOutput(
                    content="done",
                    thinking="hm ok",
                    usage=Usage(input_tokens=3, output_tokens=2, cached_tokens=1, cost=0.5),
                    stop_reason="end",
                    model="m-1",
                    request_id="r",
                    data={"x": {1, 2}},
                )
            ),
        ]
    )
    agent = harness.agent(prompt="x", activate_on="harness:start")
    result = await run(agents={"a": agent}, provider=provider)
    call = {"call": "a#1/0/0"}
    answer = [(signal.name, signal.payload) for signal in result.signals[3:-2]]
    assert answer == [
        ("thinking:delta", {**call, "text": "hm "}),
        ("thinking:delta", {**call, "text": "ok"}),
        ("tool:call", {**call, "index": 0, "id": "id-1", "name": "look", "arguments": {"at": [1]}}),
        ("text:delta", {**call, "text": "done"}),
        (
            "provider:end",
            {
                **call,
                "output": {
                    "content": "done",
                    "thinking": "hm ok",
                    "stop_reason": "end",
                    "model": "m-1",
                    "request_id": "r",
                    "data": {"x": [1, 2]},
                    "usage": {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 1, "cost": 0.5},
                },
            },
        ),
        ("thinking:complete", {**call, "text": "hm ok"}),
        ("text:complete", {**call, "text": "done"}),
    ]
    assert all(signal.source.provider == "events" for signal in result.signals[2:8])
    metrics = result.metrics.agents["a"]
    assert (metrics.input_tokens, metrics.output_tokens, metrics.cached_tokens, metrics.cost) == (3, 2, 1, 0.5)
    assert (result.metrics.provider_calls, result.metrics.input_tokens) == (1, 3)


async def test_runs_of_one_harness_know_nothing_of_each_other() -> None:
    """Twenty runs at once each have their own state, log and positions."""
    agent = harness.agent(prompt="{{ state.input }}", activate_on="harness:start", updates="answer")
    results = await asyncio.gather(
        *(
            run(agents={"a": agent}, state=State(input=f"run {n}"), provider=ScriptedProvider(delay=0.001))
            for n in range(20)
        )
    )
    assert [result.state.answer for result in results] == [f"RUN {n}" for n in range(20)]
    assert len({result.run_id for result in results}) == 20
    assert {tuple(names_of(result.signals)) for result in results} == {tuple(names_of(results[0].signals))}


def test_a_harness_names_its_state() -> None:
    """The repr of a harness says which type its state has."""
    assert repr(harness) == "Harness(State)"
    assert repr(create_harness()) == "Harness(dict)"
