"""`diff_recordings`: what is the same run, and where two runs part."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs
import pytest
from comparison_support import ANSWERS, Writer, crowd, newsroom, renumbered
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_support import EXAMPLES

from openharness.core import (
    CorruptRecordError,
    Difference,
    ProviderError,
    Recording,
    RunContext,
    RunResult,
    Signal,
    ToolCall,
    Usage,
    create_harness,
    new_id,
)
from openharness.signals import MemorySignalStore, diff_recordings
from openharness.testing import ScriptedProvider

EDITED = "Write a funny headline for these facts: {{ state.facts }}"
STORY = {**ANSWERS, "editor": "Two geese crossed the road near the old mill, and nobody at all was hurt."}


@pytest.fixture(scope="module")
def base() -> Recording:
    """A run of the newsroom."""
    return asyncio.run(newsroom())[0]


def altered(recording: Recording, seq: int, payload: object) -> Recording:
    """A recording in which one signal has another payload."""
    signals = list(recording.signals)
    signals[seq] = attrs.evolve(signals[seq], payload=payload)
    return attrs.evolve(recording, signals=signals)


def the(recording: Recording, name: str, activation: str | None = None) -> Signal:
    """The first signal of a name, in an activation."""
    return next(
        signal
        for signal in recording.signals
        if signal.name == name and (activation is None or signal.source.activation == activation)
    )


async def with_tools(first: str, *, number: int = 1) -> RunResult[Any]:
    """A run that asks for two tools at once, of which one ends first."""
    gate = asyncio.Event()

    async def wait(name: str, result: int) -> int:
        if name == first:
            gate.set()
        await gate.wait()
        return result

    async def one() -> int:
        """Return a number."""
        return await wait("one", number)

    async def two() -> int:
        """Return 2."""
        return await wait("two", 2)

    harness = create_harness()
    agent = harness.agent(prompt="Add up.", activate_on="harness:start", updates="sum", tools=[one, two], max_turns=3)
    script = ScriptedProvider([[ToolCall(new_id("call"), "one", {}), ToolCall(new_id("call"), "two", {})], ["3"]])
    return await harness.run_reactive(agents={"adder": agent}, state={"sum": ""}, provider=script)


async def test_which_tool_ends_first_makes_no_difference() -> None:
    """Runs whose tools ended in another order are equal, as the model is told the same."""
    left, right = await with_tools("one"), await with_tools("two")
    ends = [[signal.payload for signal in run.signals if signal.name == "tool:result"] for run in (left, right)]
    assert ends[0] == ends[1][::-1]
    assert diff_recordings(left, right).changes == ()
    assert diff_recordings(left, right).is_equal


@pytest.mark.parametrize("first", ["one", "two"])
async def test_requests_hang_on_all_tools_before(first: str) -> None:
    """The request that has another result in it comes of that result, whichever of the tools ended last."""
    diff = diff_recordings(await with_tools(first), await with_tools(first, number=4))
    assert [(change.name, change.is_consequence) for change in diff.changes] == [
        ("tool:result", False),
        ("provider:start", True),
    ]


@attrs.frozen
class Person:
    """What an agent's answers are."""

    name: str
    age: int


async def typed(*answers: str) -> RunResult[Any]:
    """A run of an agent with typed output."""
    harness = create_harness()
    agent = harness.agent(
        prompt="Who?", activate_on="harness:start", updates="person", emits="person:found", output=Person
    )
    provider = ScriptedProvider(list(answers))
    return await harness.run_reactive(agents={"finder": agent}, state={"person": None}, provider=provider)


async def test_typed_answers_differ_by_their_fields() -> None:
    """Objects are compared field by field, and an answer that was rejected stands in one of the runs alone."""
    left, right = await typed('{"name":"A","age":1}'), await typed("?", '{"age":2,"name":"A"}')
    diff = diff_recordings(left, right)
    assert [(one.path, one.recorded, one.actual) for one in diff.state] == [("state.person.age", 1, 2)]
    changes = {change.name: change for change in diff.changes}
    assert changes["text:rejected"].kind == "added"
    assert "payload.output.age" in [one.path for one in changes["person:found"].differences]
    same = diff_recordings(left, await typed('{"age": 1, "name": "A"}'))
    assert (same.state, {change.name for change in same.changes}) == (
        (),
        {"text:delta", "provider:end", "text:complete"},
    )


def test_an_answer_without_a_text(base: Recording) -> None:
    """An answer in which a stranger wrote no text is compared like any other signal: as far as it was streamed."""
    end = the(base, "provider:end")
    strange = altered(base, end.seq, {**end.payload, "output": {"usage": end.payload["output"]["usage"]}})
    diff = diff_recordings(base, strange)
    assert [(change.name, change.kind) for change in diff.changes] == [("provider:end", "changed")]
    assert diff.outputs == ()


async def test_two_runs_that_do_the_same_are_equal() -> None:
    """Other ids, seeds, times, request ids and pieces of text make no difference, for recordings and for results."""
    (one, result), (other, other_result) = await newsroom(), await newsroom(Writer(pieces=3, delay=lambda _: 0.01))
    assert one.info.id != other.info.id
    assert one.signals[0].payload["seed"] != other.signals[0].payload["seed"]
    assert len(one.signals) < len(other.signals)
    assert result is not None
    assert other_result is not None

    for diff in (
        diff_recordings(one, other),
        diff_recordings(result, other_result),
        diff_recordings(one, other_result),
    ):
        assert diff.is_equal
        assert diff.first_divergence is None
        assert (diff.changes, diff.outputs, diff.state, diff.chain) == ((), (), (), ())
        assert str(diff).startswith("The runs are equal: ")
        assert diff.to_json()["equal"] is True
        assert diff.figures.duration_ms.change == other_result.metrics.duration_ms - result.metrics.duration_ms


async def test_a_replay_equals_its_recording() -> None:
    """The result of a replay is the run that was recorded."""
    store, harness = MemorySignalStore(), create_harness()
    agents = {"critic": harness.agent(prompt="Judge!", activate_on="harness:start")}
    for mode in ("record", "replay"):
        result = await harness.run_reactive(
            agents=agents, state={}, provider=Writer(), fixture="it", mode=mode, store=store
        )
    assert result.replayed
    assert result.recording_id is not None
    recording = await store.load_recording(result.recording_id)
    assert recording is not None

    diff = diff_recordings(recording, result)

    assert diff.is_equal
    assert diff.left.recording_id == diff.right.recording_id
    assert diff.left.run_id != diff.right.run_id


async def test_the_order_of_what_happens_at_once_makes_no_difference() -> None:
    """Agents that answer in another order, with nothing coming of it, are the same run."""
    one = await crowd({"ann": 0.0, "bob": 0.02, "cat": 0.04})
    other = await crowd({"ann": 0.04, "bob": 0.02, "cat": 0.0})
    assert [signal.name for signal in one.signals] != [signal.name for signal in other.signals]

    assert diff_recordings(one, other).is_equal


async def test_a_changed_prompt_is_the_first_divergence(base: Recording) -> None:
    """The request is named with its call, its place in the request, and what led to it; the rest follows from it."""
    changed, _ = await newsroom(Writer(STORY), prompt=EDITED)

    diff = diff_recordings(base, changed)

    first = diff.first_divergence
    assert first is not None
    assert (first.kind, first.name, first.call) == ("changed", "provider:start", "editor#1/0/0")
    assert [difference.path for difference in first.differences] == ["payload.request.messages[0].content"]
    assert first.left == the(base, "provider:start", "editor#1")
    assert [signal.name for signal in diff.chain] == [
        *("harness:start", "agent:activated", "provider:start", "provider:end"),
        *("facts:found", "agent:activated", "provider:start"),
    ]
    assert diff.changes[0] is first
    assert all(change.is_consequence for change in diff.changes[1:])
    assert diff.unchanged + len(diff.changes) == diff_recordings(base, base).unchanged
    text = str(diff)
    assert "First divergence: provider:start in editor#1/0/0" in text
    assert "-Write a headline for these facts: There were two ducks." in text
    assert "+Write a funny headline for these facts: There were two ducks." in text
    assert f"{len(diff.changes) - 1} of the {len(diff.changes) - 1} other differences are caused by it." in text


async def test_a_changed_answer_is_shown_once(base: Recording) -> None:
    """The answer is a text diff, the state that holds it a difference, and all that repeats it refers to the answer."""
    changed, _ = await newsroom(Writer(STORY))

    diff = diff_recordings(base, changed)

    assert diff.first_divergence is not None
    assert diff.first_divergence.name == "text:delta"
    assert [output.call for output in diff.outputs] == ["editor#1/0/0"]
    assert (diff.outputs[0].left, diff.outputs[0].right) == (ANSWERS["editor"], STORY["editor"])
    assert diff.state == (Difference("state.headline", ANSWERS["editor"], STORY["editor"]),)
    assert "state.headline: as the answer of editor#1/0/0" in str(diff)
    # Once for the first divergence and once as the answer.
    assert str(diff).count(f"+{STORY['editor']}") == 2


async def test_what_only_one_run_has(base: Recording) -> None:
    """An activation more is added, the guard's refusal removed; the other way round, each is the other."""
    more, _ = await newsroom(critic=True)

    diff, back = diff_recordings(base, more), diff_recordings(more, base)

    assert [change.name for change in diff.removed] == ["agent:skipped"]
    assert [change.name for change in diff.added] == [
        *("agent:activated", "provider:start", "text:delta", "provider:end"),
        *("text:complete", "state:verdict:changed", "agent:completed"),
    ]
    assert diff.changed == ()
    assert {change.activation for change in diff.added} == {"critic#1"}
    assert [change.name for change in back.removed] == [change.name for change in diff.added]
    assert [change.name for change in back.added] == ["agent:skipped"]
    assert diff.figures.agents["critic"].activations.change == 1
    assert diff.figures.latencies["critic#1"].left is None
    assert diff.figures.latencies["critic#1"].change is None


async def test_attempts_are_compared_with_attempts(base: Recording) -> None:
    """A call that failed once more stands beside nothing; the attempt that it delayed is compared with its namesake."""

    def once(context: RunContext) -> Exception | None:
        return ProviderError("busy", kind="overloaded", retryable=True) if not context.attempt else None

    one, _ = await newsroom(
        Writer(fail=lambda context: once(context) if context.agent == "reader" else None), retries=1
    )
    other, _ = await newsroom(Writer(pieces=2), retries=1)

    assert diff_recordings(one, one).is_equal
    diff = diff_recordings(other, one)
    assert diff.first_divergence is not None
    assert (diff.first_divergence.kind, diff.first_divergence.name) == ("added", "provider:error")
    assert diff.first_divergence.call == "reader#1/0/0"
    assert {change.call for change in diff.added if change.call} == {"reader#1/0/0", "reader#1/0/1"}
    assert diff.figures.retries.change == 1
    # What the failed attempt had streamed is the same text.
    assert [output.call for output in diff.outputs] == ["reader#1/0/1"]


async def test_tokens_and_cost_are_figures() -> None:
    """Runs that used more are not equal, although no signal says anything else."""
    one, _ = await newsroom()
    other, _ = await newsroom(Writer(usage=Usage(input_tokens=11, output_tokens=5, cost=0.5)))

    diff = diff_recordings(one, other)

    assert not diff.is_equal
    assert diff.changes == ()
    assert diff.figures.input_tokens.change == 2
    assert diff.figures.output_tokens.change == 0
    assert diff.figures.agents["editor"].cost.change == 0.25
    assert str(diff).startswith("The runs have equal signals (19), but what they used differs.")


async def test_times_are_figures() -> None:
    """An activation that took longer shows in its figure, its agent's and the run's, and the runs are still equal."""
    one, _ = await newsroom()
    other, _ = await newsroom(Writer(delay=lambda context: 0.05 if context.agent == "editor" else 0.0))

    diff = diff_recordings(one, other)

    assert diff.is_equal
    for figure in (diff.figures.latencies["editor#1"], diff.figures.agents["editor"].duration_ms):
        assert figure.right is not None
        assert figure.right >= 45
    assert (diff.figures.duration_ms.change or 0) > 0


async def test_a_recording_that_breaks_off(base: Recording) -> None:
    """The part that is missing is removed, nothing is changed, and the outcomes are told."""
    cut = attrs.evolve(
        base, info=attrs.evolve(base.info, outcome="incomplete"), signals=base.signals[: len(base.signals) // 2]
    )

    diff = diff_recordings(base, cut)

    assert diff.added == ()
    assert [change.name for change in diff.changed] in ([], ["text:delta"])
    assert diff.removed[-1].name == "harness:end"
    assert (diff.left.outcome, diff.right.outcome) == ("completed", "incomplete")
    assert not diff.is_equal
    same_signals = attrs.evolve(base, info=attrs.evolve(base.info, outcome="incomplete"))
    assert not diff_recordings(base, same_signals).is_equal
    assert "they ended as completed and incomplete" in str(diff_recordings(base, same_signals))


def test_a_log_that_is_none(base: Recording) -> None:
    """A signal that does not fit the ones before it is a named error."""
    broken = attrs.evolve(base, signals=[signal for signal in base.signals if signal.name != "agent:activated"])
    with pytest.raises(CorruptRecordError, match=base.info.id):
        diff_recordings(base, broken)


async def test_the_provider_counts_where_it_is_asked(base: Recording) -> None:
    """Another provider is one difference for each call, not one for every piece of text."""
    signals = [
        attrs.evolve(signal, source=attrs.evolve(signal.source, provider="other")) if signal.source.provider else signal
        for signal in base.signals
    ]

    diff = diff_recordings(base, attrs.evolve(base, signals=signals))

    assert [change.name for change in diff.changes] == ["provider:start"] * 2
    assert diff.changes[0].differences == (Difference("source.provider", "writer", "other"),)


def test_another_cause_is_a_difference(base: Recording) -> None:
    """A signal that something else has caused is another one, also where it says the same."""
    seq = the(base, "agent:activated", "editor#1").seq
    signals = list(base.signals)
    signals[seq] = attrs.evolve(signals[seq], source=attrs.evolve(signals[seq].source, parent=signals[0].id))

    diff = diff_recordings(base, attrs.evolve(base, signals=signals))

    assert [change.differences for change in diff.changes] == [
        (Difference("cause", "facts:found in reader#1", "harness:start"),)
    ]


@pytest.mark.parametrize(
    "name, path",
    [
        ("harness:start", "input"),
        ("provider:start", "request.messages"),
        ("text:complete", "text"),
        ("agent:skipped", "reason"),
        ("facts:found", "output"),
        ("provider:end", "output.stop_reason"),
        ("harness:end", "terminated_early"),
        ("agent:activated", "depth"),
    ],
)
def test_every_change_that_means_something_is_found(base: Recording, name: str, path: str) -> None:
    """A changed payload is the only change, the first divergence, and named by its path."""
    signal = the(base, name)
    payload = json.loads(json.dumps(signal.payload))
    *above, last = path.split(".")
    inner = payload
    for step in above:
        inner = inner[step]
    inner[last] = [{"role": "user", "content": "else"}] if last == "messages" else 77

    diff = diff_recordings(base, altered(base, signal.seq, payload))

    assert [(change.name, change.kind) for change in diff.changes] == [(name, "changed")]
    assert all(one.path.startswith(f"payload.{path}") for one in diff.changes[0].differences)
    assert not diff.is_equal


@settings(max_examples=EXAMPLES)
@given(data=st.data())
async def test_what_belongs_to_one_run_alone_never_counts(base: Recording, data: st.DataObject) -> None:
    """Any ids, times and seeds, and any way to cut a stream into pieces, give an equal run."""
    signals: list[Signal] = []
    for signal in base.signals:
        payload: Any = signal.payload
        if signal.name == "text:delta":
            cut = data.draw(st.integers(0, len(payload["text"])))
            parts = [payload["text"][:cut], payload["text"][cut:]]
            signals += [
                attrs.evolve(signal, id=f"{signal.id}-{number}", payload={**payload, "text": part})
                for number, part in enumerate(parts)
            ]
            continue
        if signal.name == "harness:start":
            payload = {**payload, "seed": data.draw(st.integers(0, 2**62))}
        if signal.name == "provider:end":
            output = {**payload["output"], "request_id": data.draw(st.text())}
            payload = {**payload, "output": output}
        signals.append(attrs.evolve(signal, payload=payload, timestamp=data.draw(st.integers(0, 2**50))))
    other = renumbered(base, signals, run_id=data.draw(st.text(st.characters(codec="ascii"), min_size=1)))

    assert diff_recordings(base, other).is_equal
    assert diff_recordings(other, base).is_equal


@settings(max_examples=EXAMPLES)
@given(data=st.data())
async def test_rules_of_every_comparison(base: Recording, data: st.DataObject) -> None:
    """Whatever is missing on either side: sides swap, nothing is counted twice, and no change precedes its cause."""
    leaves = [
        signal.seq
        for signal in base.signals
        if signal.name.startswith(("text:", "headline:", "agent:skipped", "agent:completed", "harness:end"))
    ]
    drop = st.sets(st.sampled_from(leaves))
    one, other = (
        renumbered(base, [signal for signal in base.signals if signal.seq not in gone])
        for gone in (data.draw(drop), data.draw(drop))
    )

    diff, back = diff_recordings(one, other), diff_recordings(other, one)

    assert {(c.name, c.call) for c in diff.added} == {(c.name, c.call) for c in back.removed}
    assert {(c.name, c.call) for c in diff.removed} == {(c.name, c.call) for c in back.added}
    assert len(diff.changed) == len(back.changed)
    assert diff.unchanged == back.unchanged
    assert diff.is_equal == back.is_equal == ((not diff.changes) and not diff.state)
    for side in ("left", "right"):
        seen: set[str] = set()
        ids = {getattr(change, side).id for change in diff.changes if getattr(change, side) is not None}
        for change in diff.changes:
            signal = getattr(change, side)
            if signal is not None:
                assert signal.source.parent not in ids - seen
                seen.add(signal.id)
    json.dumps(diff.to_json())
    assert str(diff)
