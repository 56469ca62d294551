"""What a provider has answered, at any signal: the same live, from a recording, forward and back."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_support import EXAMPLES, NOON, recorded_run, signal

from openharness.core import create_harness
from openharness.core.interfaces import Completed, Provider, ProviderOutput, TextDelta, ThinkingDelta, ToolCall, Usage
from openharness.signals import MemorySignalStore, Player, ProviderFold, ProviderView

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from openharness.core.interfaces import ProviderEvent, ProviderRequest, RunContext
    from openharness.core.records import Signal

CALLS = ["a#1/0/0", "a#1/0/1", "a#1/1/0", "b#1/0/0", "no call of ours"]
KINDS = [
    *("provider:start", "text:delta", "text:delta", "thinking:delta", "tool:call", "provider:end", "provider:error"),
    *("provider:restart", "harness:forked", "harness:end", "agent:activated"),
]


def payload_of(name: str, call: str, text: str) -> dict[str, Any]:
    """A payload as the harness writes it for a signal of this name."""
    usage = {"input_tokens": len(text), "output_tokens": 2, "cached_tokens": 0, "cost": 0.5}
    more: dict[str, dict[str, Any]] = {
        "text:delta": {"text": text},
        "thinking:delta": {"text": text},
        "tool:call": {"index": 0, "id": "t", "name": text, "arguments": {"x": [text]}},
        "provider:end": {"output": {"content": text, "usage": usage, "model": "m", "stop_reason": "end"}},
        "provider:error": {"error": {"kind": "overloaded", "type": "E", "message": text}},
    }
    return {"call": call, **more.get(name, {})}


steps = st.tuples(st.sampled_from(KINDS), st.sampled_from(CALLS), st.text(max_size=3))


def log_of(items: Iterable[tuple[str, str, str]]) -> list[Signal]:
    """A log of these signals; not every one of them could be the log of a run, and none may break the fold."""
    return [
        signal(seq, name, payload_of(name, call, text), provider="claude")
        for seq, (name, call, text) in enumerate(items)
    ]


def by_definition(log: list[Signal]) -> dict[str, dict[str, Any]]:
    """What the calls have answered, written down in the plainest way: everything again for each log."""
    calls: dict[str, dict[str, Any]] = {}
    for one in log:
        if one.name in {"harness:forked", "harness:end"}:
            for view in calls.values():
                if view["state"] == "running":
                    view.update(state="cancelled", ended_at=one.timestamp)
        elif one.name != "agent:activated":
            calls[one.payload["call"]] = {**answered(calls.get(one.payload["call"]), one)}
    return calls


def answered(view: dict[str, Any] | None, one: Signal) -> dict[str, Any]:
    """What one call has answered, after one more of its signals."""
    payload = one.payload
    if view is None or view["state"] != "running" or one.name in {"provider:start", "provider:restart"}:
        view = {"state": "running", "text": "", "thinking": "", "tools": [], "usage": None, "error": None}
        view |= {"first": None, "started_at": one.timestamp, "ended_at": None}
    match one.name:
        case "text:delta":
            view["text"] += payload["text"]
        case "thinking:delta":
            view["thinking"] += payload["text"]
        case "tool:call":
            view["tools"] = [*view["tools"], payload]
        case "provider:end":
            usage = Usage(**payload["output"]["usage"])
            view |= {"state": "ended", "text": payload["output"]["content"], "usage": usage, "ended_at": one.timestamp}
        case "provider:error":
            view |= {"state": "failed", "error": payload["error"], "ended_at": one.timestamp}
    if one.name in {"text:delta", "thinking:delta", "tool:call"} and view["first"] is None:
        view["first"] = one.timestamp
    return view


def compared(views: Mapping[str, ProviderView]) -> dict[str, dict[str, Any]]:
    """Views in the form of `by_definition`."""
    return {
        call: {
            "state": view.state,
            "text": view.text,
            "thinking": view.thinking,
            "tools": list(view.tool_calls),
            "usage": view.usage,
            "error": view.error,
            "first": view.first_token_at,
            "started_at": view.started_at,
            "ended_at": view.ended_at,
        }
        for call, view in views.items()
    }


@given(st.lists(steps, max_size=40))
@settings(max_examples=EXAMPLES * 3)
def test_at_every_signal_it_equals_what_is_folded_from_scratch(items: list[tuple[str, str, str]]) -> None:
    """Signal by signal, looked back at, and folded anew: every call is the same, and as defined."""
    log = log_of(items)
    fold = ProviderFold()
    kept = [fold.views]
    for one in log:
        fold.apply(one)
        kept.append(fold.views)
    for count in range(len(log) + 1):
        expected = by_definition(log[:count])
        assert compared(kept[count]) == expected
        assert compared(ProviderFold.of(log[:count]).views) == expected
        assert fold.at(count) == kept[count]
        assert list(fold.at(count)) == list(expected)
        assert len(fold.at(count)) == len(expected)
    assert set(fold.running) == {call for call, view in fold.views.items() if view.state == "running"}


class Thinker(Provider):
    """Thinks, asks for a tool, and writes; fails the first attempt."""

    type = "thinker"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer."""
        yield ThinkingDelta("hm ")
        yield ThinkingDelta("so")
        yield ToolCall("t1", "search", {"q": "rain"})
        yield TextDelta("It ")
        yield TextDelta("rains.")
        usage = Usage(input_tokens=7, output_tokens=5, cost=0.25)
        yield Completed(
            ProviderOutput(content="It rains.", thinking="hm so", usage=usage, stop_reason="end", model="thinker-1")
        )


async def test_a_call_as_it_goes_on() -> None:
    """A snapshot shows text, reasoning, tool calls and usage of each call as they stood at its signal."""
    harness, store = create_harness(), MemorySignalStore()
    agents = {"writer": harness.agent(prompt="Weather?", activate_on="harness:start", updates="text")}
    result = await harness.run_reactive(agents=agents, state={"text": ""}, provider=Thinker(), store=store)
    assert result.recording_id is not None
    player = await Player.load(store, result.recording_id)
    assert player.snapshot().providers == {}
    started = player.until("provider:start")
    assert started is not None
    view = player.snapshot().providers["writer#1/0/0"]
    assert view == ProviderView(
        call="writer#1/0/0",
        activation="writer#1",
        agent="writer",
        turn=0,
        attempt=0,
        provider="thinker",
        state="running",
        text="",
        thinking="",
        tool_calls=(),
        usage=None,
        stop_reason=None,
        model=None,
        error=None,
        pieces=0,
        started_at=started.timestamp,
        first_token_at=None,
        ended_at=None,
    )
    assert (view.duration_ms, view.time_to_first_token_ms) == (None, None)
    player.until("text:delta")
    view = player.snapshot().providers["writer#1/0/0"]
    assert (view.thinking, view.text, view.state, view.pieces) == ("hm so", "It ", "running", 3)
    (tool,) = view.tool_calls
    assert isinstance(tool, dict)
    assert (tool["name"], tool["arguments"]) == ("search", {"q": "rain"})
    assert view.time_to_first_token_ms is not None
    player.until("provider:end")
    view = player.snapshot().providers["writer#1/0/0"]
    assert (view.state, view.text, view.thinking) == ("ended", "It rains.", "hm so")
    assert (view.usage, view.model, view.stop_reason) == (
        Usage(input_tokens=7, output_tokens=5, cost=0.25),
        "thinker-1",
        "end",
    )
    assert view.duration_ms is not None
    player.back()
    assert player.snapshot().providers["writer#1/0/0"].state == "running"
    with pytest.raises(KeyError):
        player.snapshot().providers["reader#1/0/0"]


async def test_live_it_is_what_the_recording_shows() -> None:
    """A subscriber that folds has, at every signal, the views that the player shows at that signal."""
    store = MemorySignalStore()
    fold = ProviderFold()
    seen = []
    harness = create_harness()
    agents = {
        name: harness.agent(prompt="Weather?", activate_on="harness:start", updates=name) for name in ("one", "two")
    }

    def follow(told: Signal) -> None:
        fold.apply(told)
        seen.append(fold.views)

    with harness.subscribe("**", follow):
        result = await harness.run_reactive(
            agents=agents, state={"one": "", "two": ""}, provider=Thinker(), store=store
        )
    assert result.recording_id is not None
    player = await Player.load(store, result.recording_id)
    for views in seen:
        player.step()
        assert player.snapshot().providers == views
    assert player.is_at_end
    assert len(seen[-1]) == 2


async def test_every_place_of_a_recorded_run() -> None:
    """Going back and forth changes nothing of what is shown at a place."""
    recording = await recorded_run()
    player = Player(recording)
    expected = [ProviderFold.of(recording.signals[:count]).views for count in range(len(recording.signals) + 1)]
    for count in [*range(len(player), -1, -1), *range(len(player) + 1)]:
        player.rewind()
        player.step(count)
        assert player.snapshot().providers == expected[count]


@pytest.mark.parametrize(
    "payload", [None, [], "text", {}, {"call": 3}, {"call": "a#1/0/0"}, {"call": "a#1/0/0", "output": 3}]
)
@pytest.mark.parametrize("name", KINDS)
def test_a_payload_of_a_stranger_breaks_nothing(name: str, payload: object) -> None:
    """Whatever stands in a log, it is folded and shown."""
    fold = ProviderFold.of([signal(0, name, payload), signal(1, name, payload)])
    assert fold.count == 2
    repr(fold.views)


def test_a_call_is_taken_apart_at_its_end() -> None:
    """An agent's name may hold what separates the parts of a call; numbers of any length are no numbers of ours."""
    names = ["a/b#c#2/1/3", "a#1/0/" + "9" * 5000, "a#1/0/\u0661"]
    views = ProviderFold.of([signal(seq, "provider:start", {"call": name}) for seq, name in enumerate(names)]).views
    first, *others = views.values()
    assert (first.agent, first.activation, first.turn, first.attempt) == ("a/b#c", "a/b#c#2", 1, 3)
    assert [view.agent for view in others] == names[1:]


def test_a_signal_costs_the_same_after_many_others() -> None:
    """Views that are kept at each of ten thousand signals share what had arrived: memory grows with the text alone."""
    fold = ProviderFold.of([signal(0, "provider:start", {"call": "a#1/0/0"})])
    deltas = [signal(seq, "text:delta", {"call": "a#1/0/0", "text": "word "}) for seq in range(1, 10_001)]
    tracemalloc.start()
    try:
        kept = []
        for one in deltas:
            fold.apply(one)
            kept.append(fold.views)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A copy of the text at each would be 250 MB.
    assert peak < 10_000_000
    assert kept[99]["a#1/0/0"].text == "word " * 100
    assert kept[-1]["a#1/0/0"].text == "word " * 10_000
    assert kept[-1]["a#1/0/0"].first_token_at == NOON + 1
