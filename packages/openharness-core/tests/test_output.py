"""Typed output: what the provider is asked for, how answers are read, and what becomes of those that do not fit."""

from __future__ import annotations

import dataclasses
import enum
import json
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from harness_kit import KeepingStore, ScriptedProvider, names_of, of_name
from hypothesis import given
from hypothesis import strategies as st
from tool_kit import AskingProvider, asks

from openharness.core import (
    AgentError,
    Completed,
    DefinitionError,
    InvalidValueError,
    LimitExceededError,
    OpenHarnessError,
    ProviderOutput,
    ReplayDriftError,
    ReplayDriftWarning,
    RunResult,
    SerializationError,
    create_harness,
    from_json,
)
from openharness.core.agents._output import output_of
from openharness.core.memory import InMemoryRunStore

if TYPE_CHECKING:
    from openharness.core.agents import Output


class Mood(enum.Enum):
    """An enumeration."""

    GOOD = "good"
    BAD = "bad"


@attrs.frozen
class Place:
    """A nested class."""

    city: str
    zip: str | None = None


@attrs.frozen
class Person:
    """What the model is asked for."""

    name: str
    age: int = attrs.field()
    place: Place | None = None
    weight: float = 70.0

    @age.validator
    def _not_negative(self, _: Any, value: int) -> None:
        if value < 0:
            raise ValueError("nobody is younger than 0")


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: float = 0.5


class Book(TypedDict):
    """A TypedDict."""

    title: str
    pages: int


class Pair(NamedTuple):
    """A NamedTuple."""

    left: int
    right: str


class Order(pydantic.BaseModel):
    """A Pydantic model."""

    goods: str
    count: Annotated[int, pydantic.Field(gt=0)] = 1


@attrs.define
class State:
    """What the agents work on."""

    text: str = "Anna is 31."
    person: Person | None = None


HARNESS = create_harness(State)
ANNA = '{"name":"Anna","age":31}'
LOGGED = {"name": "Anna", "age": 31, "place": None, "weight": 70.0}
YOUNG = '{"name":"Anna","age":-1}'


def extractor(**options: Any) -> Any:
    """An agent whose output is a person."""
    return HARNESS.agent(
        **{
            "prompt": "{{ state.text }}",
            "activate_on": "harness:start",
            "updates": "person",
            "output": Person,
            **options,
        }
    )


def kept(type_: Any) -> Output:
    """The output of a type."""
    output = output_of(type_)
    assert output is not None
    return output


async def run(
    *turns: Any, store: KeepingStore | None = None, **options: Any
) -> tuple[RunResult[State], AskingProvider]:
    """A run of the extractor with these answers, and its provider."""
    provider = AskingProvider(*turns)
    agents = {"extractor": options.pop("agent", None) or extractor()}
    result = await HARNESS.run_reactive(
        agents=agents, state=State(), provider=provider, store=store or KeepingStore(), **options
    )
    return result, provider


# --- Reading ----------------------------------------------------------------------------------------------------------

TYPES: list[tuple[Any, str, Any, Any]] = [
    (Person, ANNA, LOGGED, Person("Anna", 31)),
    (Person, '{"name":"A","age":1,"place":{"city":"Ulm"},"weight":2}', None, Person("A", 1, Place("Ulm"), 2.0)),
    (Point, '{"x":1}', {"x": 1, "y": 0.5}, Point(1)),
    (Book, '{"title":"T","pages":3}', {"title": "T", "pages": 3}, {"title": "T", "pages": 3}),
    (Order, '{"goods":"tea"}', {"goods": "tea", "count": 1}, Order(goods="tea")),
    (Mood, '{"value":"bad"}', "bad", Mood.BAD),
    (Literal["a", "b"], '{"value":"b"}', "b", "b"),
    (list[Person], f'{{"value":[{ANNA}]}}', [LOGGED], [Person("Anna", 31)]),
    (Person | None, '{"value":null}', None, None),
    (Person | Point, f'{{"value":{ANNA}}}', LOGGED, Person("Anna", 31)),
    (dict[str, int], '{"a":1}', {"a": 1}, {"a": 1}),
    (int, '{"value":5}', 5, 5),
    (bool, "true", True, True),
    (list[int], "[1,2]", [1, 2], [1, 2]),
    (Pair, '[1,"x"]', [1, "x"], Pair(1, "x")),
]


@pytest.mark.parametrize("type_, text, logged, value", TYPES, ids=lambda value: str(value)[:30])
def test_answers_become_what_the_type_makes_of_them(type_: Any, text: str, logged: Any, value: Any) -> None:
    """An answer is read as the type, kept as the type writes it, and reads as the same object again."""
    read = kept(type_).read(text)
    if logged is not None:
        assert read == logged
    assert from_json(read, type_) == value


@pytest.mark.parametrize("type_", [type_ for type_, *_ in TYPES], ids=str)
def test_schemas_are_those_of_objects(type_: Any) -> None:
    """Every schema is of an object, without a reference at its top, and defines all that it refers to and nothing else."""
    schema = kept(type_).schema
    assert schema["type"] == "object"
    assert "$ref" not in schema
    text = json.dumps(schema)
    for name in schema.get("$defs", {}):
        assert f'"#/$defs/{name}"' in text
    assert text.count("#/$defs/") == 0 or "$defs" in schema


FENCED = [
    f"```json\n{ANNA}\n```",
    f"```\n{ANNA}\n```",
    f"Here it is:\n\n```JSON\n{ANNA}\n```\nAnything else?",
    f"  \n{ANNA}\n ",
]


@pytest.mark.parametrize("text", FENCED)
def test_one_fenced_block_is_the_answer(text: str) -> None:
    """Small models put JSON into a block: where there is exactly one, with anything around it, it is what is read."""
    assert kept(Person).read(text) == LOGGED


@pytest.mark.parametrize(
    "text, path, reason",
    [
        ("", "output", "it must be JSON and nothing else"),
        (f"Here: {ANNA}", "output", "it must be JSON and nothing else"),
        (f"```\n{ANNA}\n```\n```\n{ANNA}\n```", "output", "it must be JSON and nothing else"),
        ("```json\nnope\n```", "output", "it must be JSON and nothing else"),
        (ANNA[:-3], "output", "it must be JSON and nothing else"),
        ("[" * 300, "output", "it must be JSON and nothing else"),
        ('{"name":"A","age":NaN}', "output", "it must be JSON and nothing else"),
        ('{"name":"A"}', "output.age", "this field is missing"),
        ('{"name":"A","age":"31"}', "output.age", "it must be an integer"),
        ('{"name":"A","age":1,"x":2}', "output", "there is no field 'x'"),
        ('{"name":"A","age":1,"place":{"city":3}}', "output.place.city", "it must be text"),
        (YOUNG, "output", "ValueError: nobody is younger than 0"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(text: str, path: str, reason: str) -> None:
    """Nothing is guessed: the error says where the answer does not fit, and why."""
    with pytest.raises(SerializationError) as caught:
        kept(Person).read(text)
    assert (caught.value.path, caught.value.reason) == (path, reason)


def test_what_no_signal_can_hold_is_refused() -> None:
    """An object may be as deep as a signal leaves room for, and no deeper."""
    output = kept(dict[str, Any])
    assert output.read('{"a":' * 192 + "1" + "}" * 192)
    with pytest.raises(SerializationError, match="nested deeper than 192 levels"):
        output.read('{"a":' * 193 + "1" + "}" * 193)


@given(st.text() | st.text(alphabet='`{}[]:,"\n 1aé\ud800'))
def test_reading_either_gives_json_or_refuses(text: str) -> None:
    """No text makes the reader fail in another way; what is read reads the same again."""
    for output in (kept(Person), kept(list[int]), kept(dict[str, Any])):
        try:
            read = output.read(text)
        except SerializationError:
            continue
        assert output.read(json.dumps(read)) == read


def test_an_object_named_value_is_not_taken_apart() -> None:
    """A class with a field ``value`` keeps it: only what the schema wraps is unwrapped."""

    @attrs.frozen
    class Box:
        value: int

    assert kept(Box).read('{"value":1}') == {"value": 1}


def test_what_no_schema_describes_is_refused_where_it_is_defined() -> None:
    """A type that a model cannot be told of, and what is no type, are errors of the definition; ``str`` is text."""

    class Strange:
        pass

    for type_, said in ((Strange, "no JSON Schema"), ("Person", "must be a type")):
        with pytest.raises(DefinitionError, match=said):
            HARNESS.agent(prompt="x", activate_on="harness:start", output=type_)
    with pytest.raises(InvalidValueError, match="output_retries"):
        extractor(output_retries=-1)
    assert HARNESS.agent(prompt="x", activate_on="harness:start", output=str).output is None


# --- In a run ---------------------------------------------------------------------------------------------------------


async def test_the_answer_is_an_object_in_the_state_and_in_what_is_emitted() -> None:
    """The request has the schema; ``updates`` stores the object, ``emits`` tells it, and ``state_as`` gives it back."""
    history = InMemoryRunStore()
    result, provider = await run(ANNA, agent=extractor(emits="person:found"), run_store=history)
    assert provider.requests[0].output_schema == kept(Person).schema
    assert result.state.person == Person("Anna", 31)
    assert of_name(result.signals, "person:found")[0].payload == {"agent": "extractor", "output": LOGGED}
    assert names_of(result.signals)[-7:] == [
        "text:delta",
        "provider:end",
        "text:complete",
        "state:person:changed",
        "agent:completed",
        "person:found",
        "harness:end",
    ]
    record = await history.get_run(result.run_id)
    assert record is not None
    assert record.state_as(State).person == Person("Anna", 31)


async def test_reducers_and_prompts_see_the_object() -> None:
    """A reducer is given the object's JSON, and a template reaches its fields."""
    greeter = HARNESS.agent(
        prompt="Greet {{ state.person.name }} of {{ signal.payload.output.age }}.",
        activate_on="person:found",
        updates="text",
    )
    provider = AskingProvider(ANNA, "Hello.")

    def older(state: State, signal: Any) -> State:
        person = from_json(signal.payload["output"], Person)
        return attrs.evolve(state, person=attrs.evolve(person, age=person.age + 1))

    result = await HARNESS.run_reactive(
        agents={"extractor": extractor(emits="person:found"), "greeter": greeter},
        state=State(),
        provider=provider,
        reducers={"person:found": older},
    )
    assert provider.requests[1].messages[0].content == "Greet Anna of 31."
    assert result.state == State("Hello.", Person("Anna", 32))


async def test_the_model_is_told_what_is_wrong_and_asked_again() -> None:
    """Each useless answer is a signal, and the next request has the answer and the error; all of it replays."""
    store = KeepingStore()
    result, provider = await run("I do not know.", YOUNG, ANNA, store=store)
    assert result.state.person == Person("Anna", 31)
    assert provider.calls == ["extractor#1/0/0", "extractor#1/1/0", "extractor#1/2/0"]
    first, second = of_name(result.signals, "text:rejected")
    assert first.payload == {
        "call": "extractor#1/0/0",
        "error": {
            "path": "output",
            "reason": "it must be JSON and nothing else",
            "message": "output cannot be read: it must be JSON and nothing else, got 'I do not know.'.",
        },
    }
    told = first.payload["error"]["message"]
    assert second.payload["error"]["reason"] == "ValueError: nobody is younger than 0"
    assert [(message.role, message.content) for message in provider.conversation] == [
        ("user", "Anna is 31."),
        ("assistant", "I do not know."),
        (
            "user",
            f"This answer cannot be used: {told} Answer again, with nothing but JSON that fits the schema.",
        ),
        ("assistant", YOUNG),
        ("user", provider.conversation[4].content),
    ]
    assert "nobody is younger than 0" in provider.conversation[4].content
    assert result.metrics.agents["extractor"].provider_calls == 3
    replayed = await HARNESS.run_reactive(agents={"extractor": extractor()}, store=store, recording=result.recording_id)
    assert (replayed.signals, replayed.state) == (result.signals, result.state)
    for mode in ("warn", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReplayDriftWarning)
            again = await HARNESS.run_reactive(
                agents={"extractor": extractor()}, store=store, recording=result.recording_id, drift=mode
            )
        assert again.signals == result.signals


async def test_an_empty_answer_is_asked_again_with_words_in_its_place() -> None:
    """Providers refuse empty messages, so the conversation says that there was no answer."""
    _, provider = await run(" \n", ANNA)
    assert provider.conversation[1].content == "(no answer)"


async def test_an_answer_that_was_cut_off_is_said_to_be() -> None:
    """The model is told that its answer was too long, as it cannot see that itself."""
    provider = ScriptedCut()
    result = await HARNESS.run_reactive(agents={"extractor": extractor()}, state=State(), provider=provider)
    assert (
        of_name(result.signals, "text:rejected")[0]
        .payload["error"]["message"]
        .endswith("It was cut off, because it was longer than it may be.")
    )


class ScriptedCut(ScriptedProvider):
    """Runs out of tokens once."""

    capabilities = AskingProvider.capabilities

    async def run(self, request: Any, context: Any) -> Any:
        """Answer as the class says."""
        self.requests.append((request, context))
        first = len(self.requests) == 1
        yield Completed(
            ProviderOutput(content=ANNA[:9] if first else ANNA, stop_reason="max_tokens" if first else "end")
        )


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_the_agent_fails_once_it_was_told_often_enough(retries: int) -> None:
    """After ``output_retries`` requests more, the run ends with what is wrong with the last answer as data; it replays."""
    store = KeepingStore()
    agent = extractor(output_retries=retries)
    provider = AskingProvider(script=lambda *_: YOUNG)
    with pytest.raises(AgentError) as caught:
        await HARNESS.run_reactive(agents={"extractor": agent}, state=State(), provider=provider, store=store)
    error = caught.value
    assert len(provider.calls) == retries + 1
    assert (error.agent, error.activation, error.kind) == ("extractor", "extractor#1", "output")
    flaw = {
        "path": "output",
        "reason": "ValueError: nobody is younger than 0",
        "message": "output cannot be read: ValueError: nobody is younger than 0, got {'age': -1, 'name': 'Anna'}.",
    }
    facts = {"limit": "output_retries", "value": retries, "error": flaw}
    assert error.data == {"type": "LimitExceededError", **facts}
    assert isinstance(error.__cause__, LimitExceededError)
    assert (error.__cause__.limit, error.__cause__.value, error.__cause__.reason) == (
        "output_retries",
        retries,
        flaw["message"],
    )
    assert isinstance(error.__cause__.__cause__, SerializationError)
    assert flaw["message"] in str(error)
    assert error.result.state.person is None
    with pytest.raises(AgentError) as again:
        await HARNESS.run_reactive(agents={"extractor": agent}, store=store, recording=error.recording_id)
    assert again.value.data == error.data
    assert again.value.result.signals == error.result.signals


async def test_others_go_on_where_on_error_says_so() -> None:
    """With ``on_error="continue"`` an agent may be activated by the failure, and the state is as it was."""
    helper = HARNESS.agent(prompt="Help!", activate_on="agent:error", updates="text")
    agents = {"extractor": extractor(output_retries=0, on_error="continue"), "helper": helper}
    result = await HARNESS.run_reactive(agents=agents, state=State(), provider=AskingProvider("?", "Done."))
    assert result.state == State("Done.", None)
    assert of_name(result.signals, "agent:error")[0].payload["kind"] == "output"


async def test_an_object_that_does_not_fit_the_state_is_an_error_of_updates() -> None:
    """The answer may be right and the field of another type: then nobody is asked again."""
    with pytest.raises(AgentError) as caught:
        await run(ANNA, agent=extractor(updates="text"))
    assert caught.value.kind == "update"


# --- With tools -------------------------------------------------------------------------------------------------------


async def look_up(name: str) -> str:
    """Look up an age."""
    return f"{name} is 31"


LOOKUP = asks(("look_up", {"name": "Anna"}))


async def test_turns_with_tools_end_with_a_typed_answer() -> None:
    """Answers that ask for tools are not read; the last one is, also after it was rejected, and with another tool between."""
    store = KeepingStore()
    agent = extractor(tools=[look_up])
    result, provider = await run(LOOKUP, "31!", LOOKUP, ANNA, agent=agent, store=store)
    assert result.state.person == Person("Anna", 31)
    assert provider.calls == [f"extractor#1/{turn}/0" for turn in range(4)]
    assert all(request.output_schema and request.tools for request in provider.requests)
    assert [message.role for message in provider.conversation] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
        "tool",
    ]
    assert [signal.payload["call"] for signal in of_name(result.signals, "text:rejected")] == ["extractor#1/1/0"]
    replayed = await HARNESS.run_reactive(agents={"extractor": agent}, store=store, recording=result.recording_id)
    assert replayed.signals == result.signals


async def test_asking_again_takes_nothing_of_max_turns() -> None:
    """``max_turns`` is for tools and ``output_retries`` for answers: each is counted on its own."""
    agent = extractor(tools=[look_up], max_turns=2, output_retries=2)
    result, provider = await run("?", LOOKUP, "?", ANNA, agent=agent)
    assert (result.state.person, len(provider.calls)) == (Person("Anna", 31), 4)
    with pytest.raises(AgentError) as caught:
        await run("?", LOOKUP, LOOKUP, agent=agent)
    assert isinstance(caught.value.__cause__, LimitExceededError)
    assert caught.value.__cause__.limit == "max_turns"


# --- Resume, fork, replay ---------------------------------------------------------------------------------------------


def answers(request: Any, _: Any) -> Any:
    """Answer by what the conversation has: a tool, then a useless answer, then a good one."""
    said = [message for message in request.messages if message.role != "user"]
    return (LOOKUP, "31!", "31!", ANNA)[len(said)] if len(said) < 3 else ANNA


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_a_run_goes_on_wherever_it_was_killed(rebuild: str) -> None:
    """Killed after any signal, also between an answer and the request that asks again, a run ends as it would have."""
    store = KeepingStore()
    agents = {"extractor": extractor(tools=[look_up])}
    whole = await HARNESS.run_reactive(
        agents=agents, state=State(), provider=AskingProvider(script=answers), store=store
    )
    assert "text:rejected" in names_of(whole.signals)
    for stop in range(1, len(whole.signals)):
        cut = await store.cut("rec-0", stop)
        provider = AskingProvider(script=answers)
        result = await HARNESS.resume(cut, agents=agents, provider=provider, store=store, rebuild=rebuild)
        assert result.state == whole.state, stop
        ended = of_name(whole.signals[:stop], "provider:end")
        assert {signal.payload["call"] for signal in ended}.isdisjoint(provider.calls)
        assert len(of_name(result.signals, "text:rejected")) == 1
        replayed = await HARNESS.run_reactive(agents=agents, store=store, recording=result.recording_id)
        assert replayed.signals == result.signals


async def test_a_fork_asks_anew_and_counts_anew() -> None:
    """A fork in the middle of asking again begins the activation again, with all of its ``output_retries``."""
    store = KeepingStore()
    result, _ = await run("?", "?", ANNA, store=store)
    at = of_name(result.signals, "text:rejected")[1].seq
    provider = AskingProvider("?", "?", YOUNG.replace("-1", "7"))
    forked = await HARNESS.fork("rec-0", at=at, agents={"extractor": extractor()}, provider=provider, store=store)
    assert forked.state.person == Person("Anna", 7)
    assert [len(request.messages) for request in provider.requests] == [1, 3, 5]
    replayed = await HARNESS.run_reactive(agents={"extractor": extractor()}, store=store, recording=forked.recording_id)
    assert replayed.signals == forked.signals


async def test_pieces_of_the_answer_are_streamed() -> None:
    """Who streams a run sees the text of each answer as it comes, before it is read."""
    provider = ScriptedProvider(lambda request, _: "?" if len(request.messages) == 1 else ANNA, size=4)
    provider.capabilities = AskingProvider.capabilities
    pieces: dict[str, str] = {}
    async with HARNESS.stream(agents={"extractor": extractor()}, state=State(), provider=provider) as stream:
        async for signal in stream:
            if signal.name == "text:delta":
                pieces[signal.payload["call"]] = pieces.get(signal.payload["call"], "") + signal.payload["text"]
    assert pieces == {"extractor#1/0/0": "?", "extractor#1/1/0": ANNA}


async def test_secrets_in_answers_reach_neither_the_log_nor_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in a useless answer is a placeholder in signals and errors; the model is sent what it had said."""
    secret = "v4ult-s3cret-value"  # noqa: S105 - it is none
    monkeypatch.setenv("VAULT_API_KEY", secret)
    store = KeepingStore()
    turns = [json.dumps({"name": secret, "age": secret}), json.dumps({"name": secret, "age": 3})]
    result, provider = await run(*turns, store=store)
    assert secret not in json.dumps([signal.payload for signal in result.signals])
    assert of_name(result.signals, "text:rejected")[0].payload["error"]["message"] == (
        "output.age cannot be read: it must be an integer, got '[redacted:VAULT_API_KEY]'."
    )
    assert provider.conversation[1].content == turns[0]
    assert secret in provider.conversation[2].content
    assert result.state.person == Person("[redacted:VAULT_API_KEY]", 3)
    replayed = await HARNESS.run_reactive(agents={"extractor": extractor()}, store=store, recording="rec-0")
    assert replayed.signals == result.signals


async def test_secrets_in_what_a_validator_says_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a validator are in the log, and so without the secrets that it knows."""
    secret = "v4ult-s3cret-value"  # noqa: S105 - it is none
    monkeypatch.setenv("VAULT_API_KEY", secret)

    @attrs.frozen
    class Guarded:
        name: str

        def __attrs_post_init__(self) -> None:
            raise ValueError(f"no {secret}")

    with pytest.raises(AgentError) as caught:
        await run('{"name":"A"}', agent=extractor(output=Guarded, output_retries=0))
    assert caught.value.data["error"]["reason"] == "ValueError: no [redacted:VAULT_API_KEY]"
    assert secret not in json.dumps([signal.payload for signal in caught.value.result.signals])


# --- Drift ------------------------------------------------------------------------------------------------------------


async def drift(agent: Any, *turns: str) -> Any:
    """The report of a replay with another agent than the recorded one."""
    store = KeepingStore()
    await run(*turns, store=store)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"extractor": agent}, store=store, recording="rec-0")
    return caught.value.report


@attrs.frozen
class Renamed:
    """Another type."""

    name: str
    years: int


@pytest.mark.parametrize("output", [Renamed, Person | None, None])
async def test_another_type_is_drift_that_names_it(output: Any) -> None:
    """A type with another schema, or none, is told as the output type of its agent, with what differs in it."""
    report = await drift(extractor(output=output), ANNA)
    assert (report.kind, report.subject, report.agent) == (
        "output",
        "the output type of agent 'extractor'",
        "extractor",
    )
    assert report.differences[0].path.startswith("payload.request.output_schema")


def no_validator(*_: Any) -> None:
    """Take every age."""


def no_elder(_: Any, __: Any, value: int) -> None:
    """Take no age above 30."""
    if value > 30:
        raise ValueError("nobody is older than 30")


@pytest.mark.parametrize(
    "check, turns, told", [(no_elder, [ANNA], "older than 30"), (no_validator, [YOUNG, ANNA], "younger than 0")]
)
async def test_a_type_that_takes_other_answers_is_drift_that_names_it(check: Any, turns: list[str], told: str) -> None:
    """With the same schema and another validator, the first answer that is taken otherwise tells of it."""
    other = attrs.make_class(
        "Person",
        {
            "name": attrs.field(type=str),
            "age": attrs.field(type=int, validator=check),
            "place": attrs.field(type=Place | None, default=None),
            "weight": attrs.field(type=float, default=70.0),
        },
        frozen=True,
    )
    other.__doc__ = Person.__doc__
    report = await drift(extractor(output=other), *turns)
    assert (report.kind, report.subject) == ("output", "the output type of agent 'extractor'")
    assert told in report.reason


@pytest.mark.parametrize("now", [0, 2])
async def test_another_limit_is_drift_that_names_it(now: int) -> None:
    """Fewer or more attempts than when it was recorded are told as the limit they are."""
    store = KeepingStore()
    with pytest.raises(AgentError):
        await HARNESS.run_reactive(
            agents={"extractor": extractor(output_retries=1)},
            state=State(),
            provider=AskingProvider(script=lambda *_: "?"),
            store=store,
        )
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"extractor": extractor(output_retries=now)}, store=store, recording="rec-0")
    assert (caught.value.report.kind, caught.value.report.subject) == ("limit", "output_retries of agent 'extractor'")


async def test_a_provider_without_structured_output_is_refused() -> None:
    """Nothing is sent to a provider that could not hold to the schema; a replay needs none."""
    with pytest.raises(DefinitionError, match="has no structured output"):
        await HARNESS.run_reactive(agents={"extractor": extractor()}, state=State(), provider=ScriptedProvider(ANNA))


def test_numbers_have_the_limits_that_the_schema_tells() -> None:
    """A ``msgspec.Meta`` is in the schema that the provider is given."""
    assert kept(list[Annotated[int, msgspec.Meta(ge=1)]]).schema["properties"] == {
        "value": {"type": "array", "items": {"type": "integer", "minimum": 1}}
    }
    assert issubclass(SerializationError, OpenHarnessError)


def test_constraints_of_a_type_are_checked() -> None:
    """An answer that breaks a ``msgspec.Meta``, also one of a field, is refused with its place; a secret is not looked at."""

    @attrs.frozen
    class Narrow:
        """What the model is asked for."""

        count: Annotated[int, msgspec.Meta(ge=1)]
        codes: list[Annotated[str, msgspec.Meta(pattern="^[A-Z]+$")]] = attrs.Factory(list)

    output = kept(Narrow)
    assert output.read('{"count": 1, "codes": ["A", "[redacted:TOKEN]"]}') == {
        "count": 1,
        "codes": ["A", "[redacted:TOKEN]"],
    }
    with pytest.raises(SerializationError, match=r"output.count cannot be read: it must be at least 1, got 0"):
        output.read('{"count": 0}')
    with pytest.raises(SerializationError, match=r"output.codes\[1\] cannot be read: it must match"):
        output.read('{"count": 1, "codes": ["A", "b"]}')
    assert from_json({"count": 0}, Narrow) == Narrow(0)
