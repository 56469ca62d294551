"""Volatile parts: what does not count in a replay, and what is used in its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from harness_kit import KeepingStore, ScriptedProvider, of_name
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    Harness,
    InvalidValueError,
    JSONValue,
    PatternError,
    ReplayDriftError,
    Volatile,
    create_harness,
)
from openharness.core.log import VolatileRules, volatile_rules
from openharness.core.records import Signal

HARNESS: Harness[dict[str, Any]] = create_harness()
DATE = re.compile(r"\d{4}-\d\d-\d\d")


def agent(prompt: str = "Today is 2026-01-01. Report.", **options: Any) -> Any:
    """An agent that begins."""
    return HARNESS.agent(**{"prompt": prompt, "activate_on": "harness:start", "updates": "x", **options})


async def record(agents: Any, **options: Any) -> KeepingStore:
    """A store with the recording of a run as ``rec-0``."""
    store = KeepingStore()
    options = {"state": {"x": "", "today": "2026-01-01"}, **options}
    await HARNESS.run_reactive(agents=agents, store=store, provider=ScriptedProvider(), **options)
    return store


@pytest.mark.parametrize("where", ["run", "agent", "harness"])
@pytest.mark.parametrize("drift", ["error", "warn", "ignore"])
async def test_a_date_in_a_prompt_does_not_count_where_it_is_volatile(where: str, drift: Any) -> None:
    """Said of the run, the agent or the harness, it makes no difference; and the recorded request is the one in the log."""
    store = await record({"a": agent()})
    harness: Harness[dict[str, Any]] = create_harness(volatile=DATE if where == "harness" else ())
    later = agent("Today is 2027-11-30. Report.", volatile=[DATE] if where == "agent" else ())
    options: Any = {"volatile": DATE} if where == "run" else {}
    result = await harness.run_reactive(agents={"a": later}, recording="rec-0", store=store, drift=drift, **options)
    assert list(result.signals) == store.signals("rec-0")
    assert result.drift == ()


@pytest.mark.parametrize("drift", ["error", "warn", "ignore"])
async def test_all_the_rest_of_a_volatile_prompt_counts(drift: Any) -> None:
    """Another word beside the date is drift as ever."""
    store = await record({"a": agent()})
    changed = {"a": agent("Today is 2027-11-30. Complain.")}
    with pytest.raises(ReplayDriftError, match="the prompt of agent 'a'"):
        await HARNESS.run_reactive(agents=changed, recording="rec-0", store=store, drift=drift, volatile=DATE)


async def test_what_is_volatile_for_one_agent_counts_for_the_others() -> None:
    """An agent's own rules are for its own signals."""
    store = await record({"a": agent(), "b": agent()})
    later = {"a": agent("Today is 2027-11-30. Report.", volatile=DATE), "b": agent("Today is 2027-11-30. Report.")}
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents=later, recording="rec-0", store=store)
    assert caught.value.report.agent == "b"


async def test_an_option_of_a_request_is_named_by_its_path() -> None:
    """A path as the report writes it; the value may be another one, or not be there."""
    store = await record({"a": agent(temperature=0.5)})
    for temperature in (0.7, None):
        other = {"a": agent(temperature=temperature)}
        with pytest.raises(ReplayDriftError) as caught:
            await HARNESS.run_reactive(agents=other, recording="rec-0", store=store)
        path = caught.value.report.differences[0].path
        result = await HARNESS.run_reactive(agents=other, recording="rec-0", store=store, volatile=path)
        assert of_name(result.signals, "provider:start")[0].payload["request"]["temperature"] == 0.5


async def test_volatile_state_is_what_was_recorded() -> None:
    """A path in the state covers its beginning and its changes; the run goes on with the recorded values."""
    days = iter([*("2026-01-02", "2026-01-03"), *("2027-12-01", "2027-12-02") * 2])

    def tick(state: dict[str, Any], _: Signal) -> None:
        state["today"] = next(days)

    options: Any = {"reducers": {"agent:completed": tick}}
    agents = {
        "a": agent("Say {{ state.today }}", emits="a:done"),
        "b": agent("{{ state.today }}", activate_on="a:done"),
    }
    store = await record(agents, **options)
    options |= {"state": {"x": "", "today": "2027-11-30"}, "recording": "rec-0", "store": store}
    result = await HARNESS.run_reactive(agents=agents, **options, volatile="state.today")
    assert list(result.signals) == store.signals("rec-0")
    assert result.state == {"x": "2026-01-02", "today": "2026-01-03"}
    with pytest.raises(ReplayDriftError):
        await HARNESS.run_reactive(agents=agents, **options, volatile="state.x")


async def test_a_volatile_beginning_is_the_recorded_one_in_the_other_modes() -> None:
    """Where other agents run from a volatile state, they see the recorded one."""
    store = await record({"a": agent("Say {{ state.today }}")})
    options: Any = {"agents": {"a": agent("Say {{ state.today }}", emits="a:b")}, "recording": "rec-0", "store": store}
    state = {"x": "", "today": "2027-11-30"}
    result = await HARNESS.run_reactive(**options, state=state, volatile="state.today", drift="ignore")
    assert result.state == {"x": "SAY 2026-01-01", "today": "2026-01-01"}


async def test_a_resumed_run_goes_on_from_what_was_recorded() -> None:
    """What was recorded is caught up with across volatile parts, and they are not asked anew."""
    store = await record({"a": agent()})
    kept = store.recordings["rec-0"]
    kept.lines, kept.info = (
        kept.lines[:3],
        store.recordings["rec-0"].info.__class__(id="rec-0", run_id=kept.info.run_id, created_at=0),
    )
    later = {"a": agent("Today is 2027-11-30. Report.")}
    provider = ScriptedProvider()
    with pytest.raises(ReplayDriftError):
        await HARNESS.resume("rec-0", agents=later, provider=provider, store=store)
    await HARNESS.resume("rec-0", agents=later, provider=provider, store=store, volatile=DATE)
    assert provider.prompts == ["Today is 2026-01-01. Report."]


@pytest.mark.parametrize(
    "part", ["", "x", "payload", "state", "payload..x", "payload.x[", "payload.[x]", 5, re.compile(b"x")]
)
def test_what_is_no_part_is_refused(part: Any) -> None:
    """A rule is a compiled expression over texts, or a path from the payload or the state on."""
    with pytest.raises(InvalidValueError, match="volatile must be a compiled regular expression, or a path"):
        Volatile(part)
    with pytest.raises(PatternError):
        Volatile("payload.x", signal="a::b")


def hidden(part: Any, payload: JSONValue, name: str = "a:b", **options: Any) -> JSONValue:
    """What is left of a payload."""
    return Volatile(part, **options).hide(name, payload)


def test_what_a_rule_hides() -> None:
    """Texts that are found, values at paths, any key or index for a star, and nothing of other signals."""
    payload: JSONValue = {"a": ["x1", {"b": "x2", "c": 3}], "x4": "y"}
    assert hidden(re.compile(r"x\d"), payload) == {"a": ["<volatile>", {"b": "<volatile>", "c": 3}], "x4": "y"}
    assert hidden("payload.a[1].b", payload) == {"a": ["x1", {"c": 3}], "x4": "y"}
    assert hidden("payload.a[*].b", payload) == {"a": ["x1", {"c": 3}], "x4": "y"}
    assert hidden("payload.a[0]", payload) == {"a": ["<volatile>", {"b": "x2", "c": 3}], "x4": "y"}
    assert hidden("payload.*", payload) == {}
    assert hidden("payload.nowhere.at[7].all", payload) == payload
    assert hidden("payload.a", payload, signal="c:*") == payload
    assert payload == {"a": ["x1", {"b": "x2", "c": 3}], "x4": "y"}
    change: JSONValue = {"path": ["log", 3], "operation": "set", "value": {"at": 1, "by": "me"}}
    assert hidden("state.log[*].at", change, "state:log:changed") == {**change, "value": {"by": "me"}}
    assert hidden("state.log", change, "state:log:changed") == {"path": ["log", 3], "operation": "set"}
    assert hidden("state.other", change, "state:log:changed") == change


TREES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)


@given(payload=st.dictionaries(st.sampled_from("abc"), TREES), other=st.dictionaries(st.sampled_from("abc"), TREES))
def test_signals_are_the_same_exactly_where_what_is_left_is(payload: Any, other: Any) -> None:
    """Two payloads are the same for a rule if and only if they are the same without that part."""
    rules = VolatileRules(volatile_rules(["payload.a", "payload.*.b"]))
    one, two = (Signal("r/0", name="x:y", payload=value, timestamp=0, seq=0) for value in (payload, other))

    def left(value: dict[str, Any]) -> list[Any]:
        return [
            (key, [pair for pair in item.items() if pair[0] != "b"] if isinstance(item, dict) else item)
            for key, item in value.items()
            if key != "a"
        ]

    assert rules.same(one, two) == (left(payload) == left(other))
