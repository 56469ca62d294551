"""The state of a run: isolated from everybody, changed by reducers and updates only, and always what the log says."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import pathlib
from typing import Any, TypedDict

import attrs
import pytest
from harness_kit import KeepingStore, ScriptedProvider, names_of, of_name, outline
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import AgentError, Context, Harness, RunResult, SerializationError, Signal, create_harness
from openharness.core.errors import InvalidValueError, UnknownNameError
from openharness.core.log import RunFold


@attrs.define
class Notes:
    """A state with numbers that an int also fits."""

    topic: str = ""
    notes: list[str] = attrs.field(factory=list)
    count: int = 0
    score: float = 0
    best: float | None = 0


@dataclasses.dataclass
class Data:
    """A dataclass as a state."""

    score: float = 0
    names: list[str] = dataclasses.field(default_factory=list)


class Typed(TypedDict):
    """A TypedDict as a state."""

    score: float
    names: list[str]


class Colour(enum.Enum):
    """A value that JSON knows by its own value only."""

    RED = "red"


@attrs.define
class Rich:
    """A state of types that JSON does not have."""

    at: datetime.datetime
    where: pathlib.Path
    tags: set[str]
    colour: Colour
    pair: tuple[int, str]
    scores: dict[str, float]
    text: str = ""


async def replayed(harness: Harness[Any], store: KeepingStore, result: RunResult[Any], **options: Any) -> None:
    """Make sure that a recorded run replays to the same signals and state, and that its log folds to its state."""
    options = {key: value for key, value in options.items() if key != "provider"}
    again = await harness.run_reactive(**options, recording=result.recording_id, store=store)
    assert again.signals == result.signals
    assert again.state == result.state
    assert RunFold.of(store.signals(str(result.recording_id))).state == RunFold.of(result.signals).state


async def checked(harness: Harness[Any], **options: Any) -> RunResult[Any]:
    """Run live and recorded, replay, and return the result."""
    store = KeepingStore()
    options.setdefault("provider", ScriptedProvider())
    result = await harness.run_reactive(**options, store=store)
    await replayed(harness, store, result, **options)
    return result


async def test_the_callers_state_is_copied_in_and_never_touched() -> None:
    """A run changes its own state; the caller's object is as it was, and the result shares nothing with it."""
    harness = create_harness(Notes)
    mine = Notes(topic="tea", notes=["one"])

    def reducer(state: Notes, signal: Signal) -> None:
        state.notes.append("two")

    asker = harness.agent(prompt="{{ state.topic }}", activate_on="harness:start", updates="topic")
    result = await checked(harness, agents={"asker": asker}, state=mine, reducers={"harness:start": reducer})
    assert mine == Notes(topic="tea", notes=["one"])
    assert result.state == Notes(topic="TEA", notes=["one", "two"], score=0.0)
    assert result.state.notes is not mine.notes


@pytest.mark.parametrize(
    "kind, state",
    [
        (Notes, Notes(score=1, best=2)),
        (Data, Data(score=1)),
        (Typed, {"score": 1, "names": []}),
        (dict, {"score": 1, "names": []}),
        (
            Rich,
            Rich(
                at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
                where=pathlib.Path("a//b"),
                tags={"b", "a"},
                colour=Colour.RED,
                pair=(1, "x"),
                scores={"a": 1},
            ),
        ),
    ],
)
async def test_looking_at_a_state_is_not_taken_for_changing_it(kind: type, state: Any) -> None:
    """Guards and prompts may look at a state of any type, also where a type reads 1 as 1.0 or a path as another."""
    harness = create_harness(kind)
    seen: list[Any] = []

    def prompt(ctx: Context[Any]) -> str:
        seen.append(ctx.state)
        return "go"

    agent = harness.agent(prompt=prompt, activate_on="harness:start", when=lambda ctx: ctx.state is not None)
    result = await checked(harness, agents={"a": agent}, state=state)
    assert type(seen[0]) is type(state)
    assert result.state == state


async def test_a_number_is_what_its_type_makes_of_it_from_the_start() -> None:
    """An int in a float field is a float in the log, so that no later reducer seems to change it."""
    harness = create_harness(Notes)

    def count(state: Notes, signal: Signal) -> None:
        state.count += 1

    def score(state: Notes, signal: Signal) -> None:
        state.score = 7

    agent = harness.agent(prompt="x", activate_on="harness:start")
    result = await checked(
        harness,
        agents={"a": agent},
        state=Notes(score=1),
        reducers={"harness:start": count, "agent:activated": score, "provider:end": count},
    )
    assert result.signals[0].payload["state"]["score"] == 1.0
    assert type(result.signals[0].payload["state"]["score"]) is float
    changes = [(signal.name, signal.payload["value"]) for signal in result.signals if signal.name.startswith("state:")]
    assert changes == [("state:count:changed", 1), ("state:score:changed", 7.0), ("state:count:changed", 2)]


async def test_the_order_of_fields_of_a_dict_state_does_not_matter_to_guards() -> None:
    """A reducer may build the dict anew in another order; looking at it afterwards is still only looking."""
    harness = create_harness()

    def turn_round(state: dict[str, Any], signal: Signal) -> dict[str, Any]:
        return {"new": 1, **{key: [state[key], 1] for key in reversed(state)}}

    agent = harness.agent(
        prompt=lambda ctx: str(list(ctx.state)), activate_on="harness:start", when=lambda ctx: bool(ctx.state)
    )
    provider = ScriptedProvider()
    await checked(
        harness, agents={"a": agent}, state={"a": 1, "b": 2}, reducers={"harness:start": turn_round}, provider=provider
    )
    assert provider.prompts == ["['a', 'b', 'new']"]


async def test_a_reducer_that_only_reorders_fields_changes_nothing() -> None:
    """The order of fields is the state's own: putting them in another one makes no signal."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start", when=lambda ctx: list(ctx.state) == ["a", "b"])
    result = await checked(
        harness,
        agents={"a": agent},
        state={"a": 1, "b": 2},
        reducers={"harness:start": lambda state, signal: {"b": 2, "a": 1}},
    )
    assert not [name for name in names_of(result.signals) if name.startswith("state:")]
    assert result.metrics.activations == 1


async def test_reducers_change_a_draft_or_return_a_new_state() -> None:
    """Both forms of a reducer, with two and with three arguments, change the state in the order of definition."""
    harness = create_harness(Notes)

    def in_place(state: Notes, signal: Signal) -> None:
        state.notes.append("in place")

    def anew(state: Notes, signal: Signal, context: Context[Notes]) -> Notes:
        return Notes(notes=[*state.notes, f"anew at {context.signal.name}"])

    agent = harness.agent(prompt="x", activate_on="harness:start")
    result = await checked(
        harness, agents={"a": agent}, state=Notes(), reducers={"harness:start": in_place, "harness:*": anew}
    )
    assert result.state.notes[:2] == ["in place", "anew at harness:start"]


async def test_a_default_of_a_reducers_third_argument_is_its_own() -> None:
    """A reducer made in a loop keeps what it bound; only a required third argument takes the context."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")

    def bound(state: dict[str, Any], signal: Signal, field: str = "field") -> None:
        state[field] = signal.name

    result = await checked(harness, agents={"a": agent}, state={}, reducers={"harness:start": bound})
    assert result.state == {"field": "harness:start"}


@pytest.mark.parametrize("function", [lambda state: None, lambda: None, lambda a, b, c, d: None])
async def test_a_reducer_with_other_arguments_is_refused_at_the_start(function: Any) -> None:
    """A reducer that takes neither two nor three arguments is an error before anything runs."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    provider = ScriptedProvider()
    with pytest.raises(ValueError, match=r"A reducer takes \(state, signal\)"):
        await harness.run_reactive(
            agents={"a": agent}, state={}, provider=provider, reducers={"harness:start": function}
        )
    assert provider.requests == []


@pytest.mark.parametrize("reducers", [[("harness:start", print)], print, "harness:start", 5])
async def test_reducers_that_are_no_mapping_are_refused_at_the_start(reducers: Any) -> None:
    """What is given as reducers belongs to patterns; a function alone, or pairs, are an error that says so."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(InvalidValueError, match="reducers must be a mapping of patterns to functions"):
        await harness.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider(), reducers=reducers)


@pytest.mark.parametrize("reduced", [5, "text", [], {"a": 1}, object()])
async def test_a_reducer_that_returns_something_else_fails_the_run(reduced: Any) -> None:
    """What a reducer returns is a state or None; anything else is an AgentError and leaves the state as it was."""
    harness = create_harness(Notes)
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(AgentError) as caught:
        await harness.run_reactive(
            agents={"a": agent},
            state=Notes(),
            provider=ScriptedProvider(),
            reducers={"harness:start": lambda s, g: reduced},
        )
    assert caught.value.kind == "reducer"
    assert caught.value.agent is None
    assert caught.value.result.state == Notes()


async def test_a_reducer_that_raises_commits_nothing() -> None:
    """What a reducer changed before it raised is not part of the state, and the run fails with its error."""
    harness = create_harness(Notes)

    def broken(state: Notes, signal: Signal) -> None:
        state.notes.append("half")
        raise RuntimeError("in the middle")

    agent = harness.agent(prompt="x", activate_on="harness:start")
    store = KeepingStore()
    with pytest.raises(AgentError, match="in the middle") as caught:
        await harness.run_reactive(
            agents={"a": agent},
            state=Notes(),
            provider=ScriptedProvider(),
            reducers={"harness:start": broken},
            store=store,
        )
    assert caught.value.result.state.notes == []
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert names_of(store.signals("rec-0")) == ["harness:start", "agent:error", "harness:end"]


async def test_what_a_reducer_keeps_of_the_draft_cannot_change_the_state_later() -> None:
    """A reducer that keeps its draft and changes it afterwards changes nothing."""
    harness = create_harness(Notes)
    kept: list[Notes] = []

    def keep(state: Notes, signal: Signal) -> None:
        for draft in kept:
            draft.notes.append("late")
        kept.append(state)
        state.count += 1

    agent = harness.agent(prompt="{{ state.notes }}", activate_on="harness:start")
    result = await checked(
        harness,
        agents={"a": agent},
        state=Notes(),
        reducers={"harness:*": keep, "agent:*": keep, "text:complete": keep},
    )
    assert result.state.notes == []
    assert result.state.count == 4


async def test_changing_a_payload_does_not_reach_the_log() -> None:
    """Functions are shown a copy of the signal: what they do to its payload is in no log and in no state."""
    harness = create_harness()

    def greedy(state: dict[str, Any], signal: Signal) -> None:
        state["kept"] = signal.payload["state"]
        signal.payload["state"]["a"].append("changed")

    agent = harness.agent(prompt="x", activate_on="harness:start")
    result = await checked(
        harness, agents={"a": agent}, state={"a": [], "kept": None}, reducers={"harness:start": greedy}
    )
    assert result.signals[0].payload["state"]["a"] == []
    assert result.state["a"] == []


async def test_changing_the_input_changes_it_for_nobody_else() -> None:
    """Each function has an input of its own: what one does to it is neither in the next prompt nor in the log."""
    harness = create_harness()

    def scribble(ctx: Context[dict[str, Any]]) -> str:
        ctx.input["notes"].append("scribbled")
        return str(ctx.input["notes"])

    first = harness.agent(
        prompt=scribble, when=lambda ctx: bool(scribble(ctx)), activate_on="harness:start", emits="first:done"
    )
    second = harness.agent(prompt="{{ input.notes }}", activate_on="first:done")
    provider = ScriptedProvider()
    result = await harness.run_reactive(
        agents={"first": first, "second": second}, state={}, input={"notes": ["one"]}, provider=provider
    )
    assert provider.prompts == ["['one', 'scribbled']", '["one"]']
    assert result.signals[0].payload["input"] == {"notes": ["one"]}


@pytest.mark.parametrize("where", ["guard", "prompt", "end_when", "system"])
async def test_looking_functions_may_not_change_the_state(where: str) -> None:
    """A guard, a prompt and end_when that change the state are an error, and the state is as it was."""
    harness = create_harness(Notes)

    def change(ctx: Context[Notes]) -> Any:
        ctx.state.notes.append("sneaked in")
        return "" if where != "end_when" else False

    agent = harness.agent(
        prompt=change if where == "prompt" else "x",
        system=change if where == "system" else None,
        when=change if where == "guard" else None,
        activate_on="harness:start",
    )
    with pytest.raises(AgentError, match="may only look at it") as caught:
        await harness.run_reactive(
            agents={"a": agent},
            state=Notes(),
            provider=ScriptedProvider(),
            end_when=change if where == "end_when" else None,
        )
    assert caught.value.kind == {"system": "prompt"}.get(where, where)
    assert caught.value.result.state == Notes()


async def test_a_type_that_changes_whenever_it_is_read_is_named_as_the_cause() -> None:
    """A function that has only looked is not told to have changed a state that its own converter changes."""

    @attrs.define
    class Louder:
        text: str = attrs.field(default="", converter=lambda text: f"{text}!")

    harness = create_harness(Louder)
    agent = harness.agent(prompt=lambda ctx: ctx.state.text, activate_on="harness:start")
    with pytest.raises(AgentError, match="reading it changes it: a converter"):
        await harness.run_reactive(agents={"a": agent}, state=Louder(), provider=ScriptedProvider())


@pytest.mark.parametrize("where", ["guard", "prompt"])
async def test_a_function_that_changes_the_state_and_fails_leaves_no_trace(where: str) -> None:
    """With on_error="continue" the change of a failed function is not picked up by the next reducer."""
    harness = create_harness(Notes)

    def change(ctx: Context[Notes]) -> Any:
        ctx.state.notes.append("sneaked in")
        raise RuntimeError("and failed")

    bad = harness.agent(
        prompt=change if where == "prompt" else "x",
        when=change if where == "guard" else None,
        activate_on="harness:start",
        on_error="continue",
    )

    def count(state: Notes, signal: Signal) -> None:
        state.count += 1

    result = await checked(harness, agents={"bad": bad}, state=Notes(), reducers={"agent:error": count})
    assert result.state == Notes(count=1)


async def test_each_function_is_shown_a_signal_of_its_own() -> None:
    """What a reducer, a guard or a prompt function does to a signal's payload reaches no other function, nor the log."""
    harness = create_harness(Notes)
    seen: list[Any] = []

    def meddle(signal: Signal) -> None:
        seen.append(dict(signal.payload))
        signal.payload["output"] = "meddled"

    def guard(ctx: Context[Notes]) -> bool:
        meddle(ctx.signal)
        return True

    def prompt(ctx: Context[Notes]) -> str:
        meddle(ctx.signal)
        return "next"

    def failing(ctx: Context[Notes]) -> bool:
        meddle(ctx.signal)
        raise RuntimeError("and failed")

    agents = {
        "a": harness.agent(prompt="first", activate_on="harness:start", emits="a:done"),
        "b": harness.agent(prompt="x", activate_on="a:done", when=failing, on_error="continue"),
        "c": harness.agent(prompt=prompt, activate_on="a:done", when=guard),
        "d": harness.agent(prompt="{{ signal.payload.output }}", activate_on="a:done"),
    }
    reducers = {"a:done": lambda state, signal: meddle(signal)}
    provider = ScriptedProvider()
    result = await checked(harness, agents=agents, state=Notes(), reducers=reducers, provider=provider)
    assert [payload["output"] for payload in seen] == ["FIRST"] * 8
    assert [signal.payload["output"] for signal in of_name(result.signals, "a:done")] == ["FIRST"]
    assert "meddled" not in str(provider.requests)


async def test_updates_store_the_answer_and_say_so() -> None:
    """The answer becomes the field's value, told by one signal with path, operation and value."""
    harness = create_harness(Notes)
    agent = harness.agent(prompt="tea", activate_on="harness:start", updates="topic")
    result = await checked(harness, agents={"a": agent}, state=Notes())
    (changed,) = of_name(result.signals, "state:topic:changed")
    assert changed.payload == {"path": ["topic"], "operation": "set", "value": "TEA"}
    assert (changed.source.agent, changed.source.activation) == ("a", "a#1")
    assert outline(result.signals)[-4:] == [
        "text:complete a",
        "state:topic:changed a",
        "agent:completed a",
        "harness:end",
    ]


@attrs.define
class Measured:
    """A state whose type makes one field of another."""

    text: str = ""
    length: int = 0

    def __attrs_post_init__(self) -> None:
        """Count the characters."""
        self.length = len(self.text)


async def test_what_follows_from_an_updated_field_is_told_too() -> None:
    """A field that the type makes of the updated one changes with it, in the log as in the result and for prompts."""
    harness = create_harness(Measured)
    agents = {
        "a": harness.agent(prompt="hello", activate_on="harness:start", updates="text", emits="a:done"),
        "b": harness.agent(prompt=lambda ctx: str(ctx.state.length), activate_on="a:done"),
    }
    provider, store = ScriptedProvider(), KeepingStore()
    result = await harness.run_reactive(agents=agents, state=Measured(), provider=provider, store=store)
    await replayed(harness, store, result, agents=agents, state=Measured())
    assert result.state == Measured("HELLO")
    assert [signal.payload["value"] for signal in result.signals if signal.name.startswith("state:")] == ["HELLO", 5]
    assert "5" in str(provider.requests[-1])
    options: dict[str, Any] = {"agents": agents, "provider": ScriptedProvider(), "store": store}
    forked = await harness.fork(str(result.recording_id), **options, at=0, state={"text": "ab"})
    told = [signal.payload["value"] for signal in forked.signals if signal.name.startswith("state:")]
    assert told[:2] == ["ab", 2]


async def test_an_answer_that_does_not_fit_its_field_is_a_typed_failure() -> None:
    """An update that the field's type refuses fails the agent with kind "update"; the state stays as it was."""
    harness = create_harness(Notes)
    agent = harness.agent(prompt="x", activate_on="harness:start", updates="count", emits="got:it")
    with pytest.raises(AgentError) as caught:
        await harness.run_reactive(agents={"a": agent}, state=Notes(), provider=ScriptedProvider())
    assert (caught.value.kind, caught.value.agent, caught.value.activation) == ("update", "a", "a#1")
    assert isinstance(caught.value.__cause__, SerializationError)
    assert caught.value.result.state == Notes()
    assert "got:it" not in names_of(caught.value.result.signals)


async def test_a_failed_update_with_continue_is_only_told() -> None:
    """With on_error="continue" a failed update is agent:error, and neither completion nor emits follow."""
    harness = create_harness(Notes)
    agent = harness.agent(prompt="x", activate_on="harness:start", updates="count", emits="got:it", on_error="continue")
    result = await checked(harness, agents={"a": agent}, state=Notes())
    assert outline(result.signals)[-3:] == ["text:complete a", "agent:error a", "harness:end"]
    assert result.metrics.errors == 1


async def test_a_growing_list_is_told_by_appends() -> None:
    """Adding to a list makes one signal with the new items alone, whatever the length of the list."""
    harness = create_harness(Notes)

    def note(state: Notes, signal: Signal) -> None:
        state.notes += ["a", "b"]

    agent = harness.agent(prompt="x", activate_on="harness:start")
    result = await checked(
        harness, agents={"a": agent}, state=Notes(notes=["0"] * 50), reducers={"harness:start": note}
    )
    (changed,) = of_name(result.signals, "state:notes:changed")
    assert changed.payload == {"path": ["notes"], "operation": "append", "value": ["a", "b"]}


async def test_changes_of_state_activate_agents() -> None:
    """An agent may wait for a change of a field, and then sees the new state."""
    harness = create_harness(Notes)
    first = harness.agent(prompt="tea", activate_on="harness:start", updates="topic")
    second = harness.agent(prompt="{{ state.topic }}!", activate_on="state:topic:changed")
    provider = ScriptedProvider()
    await checked(harness, agents={"first": first, "second": second}, state=Notes(), provider=provider)
    assert provider.prompts == ["tea", "TEA!"]


@pytest.mark.parametrize("state", [5, "text", {"topic": "x"}, Notes])
async def test_a_state_of_another_type_is_refused(state: Any) -> None:
    """The initial state is an object of the state's type; anything else is an error that says so."""
    harness = create_harness(Notes)
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(SerializationError, match="it must be a Notes"):
        await harness.run_reactive(agents={"a": agent}, state=state, provider=ScriptedProvider())


async def test_a_state_without_defaults_must_be_given() -> None:
    """A state type that needs arguments and gets none is an error that names the type."""
    harness = create_harness(Rich)
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(InvalidValueError, match="Rich has no default"):
        await harness.run_reactive(agents={"a": agent}, provider=ScriptedProvider())


@pytest.mark.parametrize("bad", [float("nan"), object(), {1: 2}, 2**70])
async def test_a_state_that_cannot_be_stored_is_refused_with_its_path(bad: object) -> None:
    """A value that no log can hold is refused before the run, and the error says where it is."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(SerializationError, match=r"state(\.a|\['a'\])"):
        await harness.run_reactive(agents={"a": agent}, state={"a": bad}, provider=ScriptedProvider())


@pytest.mark.parametrize("kind", [int, "Notes", list, list[int], object(), None, Notes()])
def test_what_is_no_state_type_is_refused(kind: Any) -> None:
    """A state has fields; a type that has none, or no type at all, is refused when the harness is made."""
    with pytest.raises(ValueError, match="The state type must be"):
        create_harness(kind)


def test_a_field_that_cannot_stand_in_a_signals_name_is_refused() -> None:
    """Every field's changes are told by a signal named after it, so its name must fit into one."""
    with pytest.raises(ValueError, match="cannot stand in a signal's name"):
        create_harness(TypedDict("Odd", {"with space": str}))  # type: ignore[operator]


@pytest.mark.parametrize("field", ["a:b", "a b", "", "a*", "x" * 300])
async def test_a_dict_state_takes_only_fields_that_can_be_told(field: str) -> None:
    """The same holds for the keys of a dict that is a state, when it is given and when a reducer adds one."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    with pytest.raises(ValueError, match="cannot stand in a signal's name"):
        await harness.run_reactive(agents={"a": agent}, state={field: 1}, provider=ScriptedProvider())
    with pytest.raises(AgentError, match="cannot stand in a signal's name"):
        await harness.run_reactive(
            agents={"a": agent},
            state={},
            provider=ScriptedProvider(),
            reducers={"harness:start": lambda state, signal: {field: 1}},
        )


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | st.sampled_from(["", "a", "\ud83d", "\ude00", "é"])
)
VALUES = st.recursive(
    ATOMS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.sampled_from("abcd"), v, max_size=4), max_leaves=12
)
STATES = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(states=st.lists(STATES, min_size=2, max_size=4))
async def test_whatever_reducers_return_the_log_says_it(states: list[dict[str, Any]]) -> None:
    """For any sequence of states that reducers return, state, fold and replay are the same, to the key order inside."""
    harness = create_harness()
    agent = harness.agent(
        prompt=lambda ctx: str(ctx.state), activate_on="harness:start", when=lambda ctx: ctx.state is not None
    )
    reducers = {
        pattern: (lambda state, signal, new=new: new)
        for pattern, new in zip(["harness:start", "agent:activated", "provider:end"], states[1:], strict=False)
    }
    result = await checked(harness, agents={"a": agent}, state=states[0], reducers=reducers)
    assert result.state == RunFold.of(result.signals).state


async def test_a_field_that_a_plain_dict_does_not_have_yet() -> None:
    """An agent that updates a field which the initial dict does not have is refused, with what to do about it."""
    own = create_harness()
    agent = own.agent(prompt="x", activate_on="harness:start", updates="verdict")
    with pytest.raises(UnknownNameError, match="give this one a value in state=") as caught:
        await own.run_reactive(agents={"judge": agent}, state={"facts": ""}, provider=ScriptedProvider("x"))
    assert (caught.value.name, caught.value.known) == ("verdict", ("facts",))
    with pytest.raises(UnknownNameError) as caught:
        create_harness(Notes).agent(prompt="x", activate_on="harness:start", updates="verdict")
    assert "state=" not in str(caught.value)


@pytest.mark.parametrize("part", ["guard", "prompt", "reducer", "end_when"])
async def test_a_failure_is_logged_once(part: str, caplog: pytest.LogCaptureFixture) -> None:
    """What fails a run is one record of the log, with one traceback, however far the error travels."""

    def broken(*args: Any) -> Any:
        raise RuntimeError("broken")

    own = create_harness()
    options: dict[str, Any] = {"when": broken} if part == "guard" else {}
    prompt = broken if part == "prompt" else "x"
    run: dict[str, Any] = {"reducers": {"harness:start": broken}} if part == "reducer" else {}
    run |= {"end_when": broken} if part == "end_when" else {}
    agent = own.agent(prompt=prompt, activate_on="harness:start", **options)
    with pytest.raises(AgentError, match="broken"):
        await own.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider("x"), **run)
    assert len(caplog.records) == 1
    assert caplog.text.count("Traceback") == 1
