"""The meaning of a log: changes that are found and applied again, and the fold at every signal."""

from __future__ import annotations

from typing import Any

import pytest
from harness_kit import EventsProvider, KeepingStore, ScriptedProvider, names_of
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    Completed,
    Context,
    ProviderError,
    ProviderOutput,
    SerializationError,
    Signal,
    SignalSource,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
    create_harness,
)
from openharness.core.log import Change, RunFold, apply_change, find_changes, is_arrival, state_changed
from openharness.core.values import dump_json

ATOMS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, -0.0, 1.0, 1.5, "", "a", "\ud83d"])
KEYS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


@given(old=VALUES, new=VALUES)
def test_changes_lead_from_one_value_to_the_other(old: Any, new: Any) -> None:
    """For any two values, the changes that are found make the one into the other, to the bytes of its JSON."""
    state: dict[str, Any] = {"before": 1, "field": old, "after": 2}
    before = dump_json(state)
    changed = state
    changes = find_changes("field", old, new)
    for change in changes:
        payload = change.to_payload()
        changed = apply_change(changed, Change(tuple(payload["path"]), payload["operation"], payload["value"]))  # type: ignore[arg-type]
    assert dump_json(changed) == dump_json({"before": 1, "field": new, "after": 2})
    assert dump_json(state) == before
    assert (changes == []) == (dump_json(old) == dump_json(new))
    assert len(changes) <= 8


@given(items=st.lists(VALUES, max_size=5), more=st.lists(VALUES, min_size=1, max_size=5))
def test_a_longer_list_is_an_append(items: list[Any], more: list[Any]) -> None:
    """Adding to the end of a list is one change that holds the new items alone."""
    assert find_changes("field", items, [*items, *more]) == [Change(("field",), "append", more)]


@pytest.mark.parametrize(
    "old, new, changes",
    [
        (1, 1, []),
        (1, 1.0, [Change(("f",), "set", 1.0)]),
        (0.0, -0.0, [Change(("f",), "set", -0.0)]),
        (True, 1, [Change(("f",), "set", 1)]),
        ({"a": 1}, {"a": 2}, [Change(("f", "a"), "set", 2)]),
        ({"a": 1, "b": 2}, {"b": 2}, [Change(("f", "a"), "remove")]),
        ({"a": 1}, {"a": 1, "b": 2}, [Change(("f", "b"), "set", 2)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [Change(("f",), "set", {"b": 2, "a": 1})]),
        ({"a": 1}, {"b": 2, "a": 1}, [Change(("f",), "set", {"b": 2, "a": 1})]),
        ([1, 2], [1], [Change(("f",), "set", [1])]),
        ([1, 2], [1, 3, 4], [Change(("f", 1), "set", 3), Change(("f",), "append", [4])]),
        (list(range(10)), list(range(1, 11)), [Change(("f",), "set", list(range(1, 11)))]),
        ([], {}, [Change(("f",), "set", {})]),
        (
            dict.fromkeys("abcdefghi", 0),
            dict.fromkeys("abcdefghi", 1),
            [Change(("f",), "set", dict.fromkeys("abcdefghi", 1))],
        ),
    ],
)
def test_changes_are_few_and_exact(old: Any, new: Any, changes: list[Change]) -> None:
    """Each kind of difference is the change one would write by hand."""
    assert [(c.path, c.operation, repr(c.value)) for c in find_changes("f", old, new)] == [
        (c.path, c.operation, repr(c.value)) for c in changes
    ]


@pytest.mark.parametrize(
    "change",
    [
        Change(("gone", "x"), "set", 1),
        Change(("gone",), "append", [1]),
        Change(("gone",), "remove"),
        Change(("list", 5), "set", 1),
        Change(("list", -1), "set", 1),
        Change(("list", 0), "remove"),
        Change(("list", "0"), "set", 1),
        Change(("list",), "append", "text"),
        Change(("number",), "append", [1]),
        Change(("number", "x"), "set", 1),
        Change((), "append", [1]),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change) -> None:
    """A change whose path leads nowhere, or whose operation does not fit, is an error that names the path."""
    with pytest.raises(SerializationError, match="does not fit what is there"):
        apply_change({"list": [1], "number": 1}, change)


async def test_the_fold_at_every_signal_is_what_the_run_knew_then() -> None:
    """What guards, prompts and reducers saw at a signal is the fold of the log before it had consequences."""
    harness = create_harness()
    seen: list[tuple[int, Any]] = []

    def guard(ctx: Context[Any]) -> bool:
        seen.append((ctx.signal.seq, dict(ctx.state)))
        return True

    def note(state: dict[str, Any], signal: Signal) -> None:
        seen.append((signal.seq, dict(state)))
        if signal.name in ("agent:activated", "text:delta", "harness:start"):
            state["n"] += 1

    agents = {
        "a": harness.agent(prompt="x", activate_on="harness:start", updates="a", emits="a:done", when=guard),
        "b": harness.agent(prompt="{{ state.a }}", activate_on="a:done", updates="b", when=guard),
        "c": harness.agent(prompt="x", activate_on="harness:start", when=lambda ctx: False),
    }
    reducers = {"harness:start": note, "agent:*": note, "text:*": note, "provider:*": note}
    result = await harness.run_reactive(
        agents=agents, state={"n": 0, "a": "", "b": ""}, provider=ScriptedProvider(), reducers=reducers
    )
    assert len(seen) > 10
    for seq, state in seen:
        states = [RunFold.of(result.signals[:length]).state for length in range(seq + 1, len(result.signals) + 1)]
        assert state in states
    assert RunFold.of(result.signals).state == result.state


async def test_the_fold_knows_what_a_run_is_waiting_for() -> None:
    """Between two signals the fold has the open calls with all that has arrived, and the activations behind them."""
    harness = create_harness()
    busy = ProviderError("busy", retryable=True, retry_after=0)
    provider = EventsProvider(
        [TextDelta("ha"), busy],
        [
            ThinkingDelta("h"),
            ThinkingDelta("m"),
            TextDelta("a"),
            ToolCall("i", "t", {"x": 1}),
            TextDelta("b"),
            Completed(
                ProviderOutput(content="ab", thinking="hm", usage=Usage(input_tokens=3, output_tokens=2, cost=0.5))
            ),
        ],
    )
    agent = harness.agent(prompt="x", activate_on="harness:start", retries=1, emits="e:e")
    result = await harness.run_reactive(agents={"a": agent}, state={}, input=[1], seed=4, provider=provider)
    names = names_of(result.signals)

    def at(name: str, nth: int = 0, *, after: bool = True) -> RunFold:
        position = [index for index, each in enumerate(names) if each == name][nth]
        return RunFold.of(result.signals[: position + after])

    empty = RunFold()
    assert (empty.count, empty.state, empty.started_at) == (0, {}, None)
    start = at("harness:start")
    assert (start.input, start.seed, start.started_at) == ([1], 4, result.signals[0].timestamp)
    waiting = at("agent:activated").activations["a#1"]
    assert (waiting.agent, waiting.depth, waiting.request, waiting.trigger) == ("a", 1, None, result.signals[0].id)
    asked = at("provider:start")
    assert asked.activations["a#1"].request == result.signals[2].payload["request"]
    assert asked.activations["a#1"].provider == "events"
    assert at("text:delta").calls["a#1/0/0"].text == ["ha"]
    failed = at("provider:error")
    assert failed.calls == {}
    assert failed.activations["a#1"].waits_for_retry
    again = at("provider:start", 1)
    assert (again.activations["a#1"].attempt, again.activations["a#1"].waits_for_retry) == (1, False)
    before_end = at("provider:end", after=False)
    call = before_end.calls["a#1/0/1"]
    assert (call.thinking, call.text, call.activation) == (["h", "m"], ["a", "b"], "a#1")
    assert call.tool_calls == [{"call": "a#1/0/1", "index": 0, "id": "i", "name": "t", "arguments": {"x": 1}}]
    copy = before_end.copy()
    copy.calls["a#1/0/1"].text.append("changed")
    copy.activations["a#1"].attempt = 9
    copy.totals["a"].retries = 9
    assert (call.text, before_end.activations["a#1"].attempt, before_end.totals["a"].retries) == (["a", "b"], 1, 1)
    end = RunFold.of(result.signals)
    assert (end.calls, end.activations) == ({}, {})
    totals = end.totals["a"]
    assert (totals.provider_calls, totals.retries, totals.input_tokens, totals.output_tokens, totals.cost) == (
        2,
        1,
        3,
        2,
        0.5,
    )
    assert end.end == {"status": "completed", "error": None, "terminated_early": False}
    assert end.last_at == result.signals[-1].timestamp


async def test_the_fold_knows_how_a_run_is_ending() -> None:
    """After end_when the fold is ending, after finish it is finished."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    async with harness.start(
        agents={"a": agent},
        state={},
        provider=ScriptedProvider(),
        end_when=lambda ctx: ctx.signal.name == "text:complete",
    ) as run:
        await run.finish()
    fold = RunFold.of((await run.result()).signals)
    assert (fold.ending, fold.finished) == (True, True)


def test_a_restart_forgets_what_had_arrived() -> None:
    """`provider:restart` empties the call it names; the call stays open."""
    source = SignalSource(agent="a", activation="a#1")

    def signal(seq: int, name: str, payload: Any) -> Signal:
        return Signal(f"r/{seq}", name=name, payload=payload, timestamp=seq, seq=seq, source=source)

    fold = RunFold.of(
        [
            signal(0, "harness:start", {"state": {}, "input": None, "seed": 1, "agents": {}}),
            signal(1, "agent:activated", {"agent": "a", "activation": "a#1", "depth": 1}),
            signal(2, "provider:start", {"call": "a#1/0/0", "attempt": 0, "digest": "", "request": {}}),
            signal(3, "text:delta", {"call": "a#1/0/0", "text": "half"}),
            signal(4, "thinking:delta", {"call": "a#1/0/0", "text": "half"}),
            signal(5, "provider:restart", {"call": "a#1/0/0"}),
        ]
    )
    assert (fold.calls["a#1/0/0"].text, fold.calls["a#1/0/0"].thinking) == ([], [])


@pytest.mark.parametrize(
    "name, payload",
    [
        ("harness:start", None),
        ("harness:start", {}),
        ("text:delta", {"call": "nobody", "text": "x"}),
        ("provider:end", {"call": "nobody"}),
        ("provider:start", {"call": "c"}),
        ("state:x:changed", {}),
        ("state:x:changed", {"path": 5, "operation": "set", "value": 1}),
        ("state:x:changed", {"path": ["x", "y"], "operation": "set", "value": 1}),
        ("agent:activated", []),
        ("agent:error", {"agent": []}),
    ],
)
def test_a_signal_that_cannot_follow_is_refused_by_name(name: str, payload: Any) -> None:
    """The fold of what is no log of ours raises SerializationError, and the fold is as it was before the signal."""
    fold = RunFold()
    with pytest.raises(SerializationError) as caught:
        fold.apply(Signal("r/3", name=name, payload=payload, timestamp=1, seq=3))
    assert fold.count == 0
    assert "state" in caught.value.path or caught.value.path == f"signal 3 ({name})"


def test_what_comes_from_outside_can_be_told_from_the_log() -> None:
    """An arrival is known by its name, or by having no parent; what a run causes itself has one."""
    caused = SignalSource(parent="r/0")
    assert is_arrival(Signal("r/1", name="text:delta", timestamp=0, seq=1, source=caused))
    assert is_arrival(Signal("r/1", name="say:it", timestamp=0, seq=1))
    assert not is_arrival(Signal("r/1", name="say:it", timestamp=0, seq=1, source=caused))
    assert not is_arrival(Signal("r/1", name="agent:activated", timestamp=0, seq=1, source=caused))
    assert state_changed("topic") == "state:topic:changed"


async def test_a_log_can_be_folded_from_the_store() -> None:
    """The state of a recorded run is the fold of what the store holds."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start", updates="x")
    store = KeepingStore()
    result = await harness.run_reactive(agents={"a": agent}, state={"x": ""}, provider=ScriptedProvider(), store=store)
    assert RunFold.of(store.signals("rec-0")).state == result.state == {"x": "X"}
