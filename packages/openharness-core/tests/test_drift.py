"""What a drift report says: where, what was recorded, what came, and how the two differ."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import attrs
import pytest
from harness_kit import KeepingStore, ScriptedProvider

from openharness.core import (
    Difference,
    DriftReport,
    Harness,
    ReplayDriftError,
    Signal,
    SignalSource,
    create_harness,
)

HARNESS: Harness[dict[str, Any]] = create_harness()


async def drift(before: dict[str, Any], after: dict[str, Any], **options: Any) -> ReplayDriftError:
    """Record agents, replay other ones, and return the drift."""
    store = KeepingStore()
    options.setdefault("state", {"x": ""})
    await HARNESS.run_reactive(agents=before, provider=ScriptedProvider(), store=store, **options)
    async with asyncio.timeout(5):
        with pytest.raises(ReplayDriftError) as caught:
            await HARNESS.run_reactive(agents=after, recording="rec-0", store=store, **options)
    return caught.value


def agent(prompt: str = "hello", **options: Any) -> Any:
    """An agent that begins."""
    return HARNESS.agent(**{"prompt": prompt, "activate_on": "harness:start", **options})


async def test_a_changed_prompt_is_told_with_the_activation_and_both_texts() -> None:
    """The report of a changed prompt names the activation and the message, not only the digest."""
    error = await drift({"a": agent("hello"), "b": agent("second")}, {"a": agent("hello"), "b": agent("other")})
    report = error.report
    assert (report.activation, report.recording_id) == ("b#1", "rec-0")
    assert report.recorded.name == report.actual.name == "provider:start"
    assert report.differences == (Difference("payload.request.messages[0].content", "second", "other"),)
    text = str(error)
    assert "at signal 4 in b#1: 'provider:start' is not what was recorded" in text
    assert 'payload.request.messages[0].content: recorded "second", actual "other"' in text
    assert "digest" not in text
    assert "record the run again" in text


async def test_a_changed_line_of_a_long_prompt_is_told_as_that_line() -> None:
    """Long texts are compared line by line."""
    lines = [f"This is line {number} of a long prompt." for number in range(20)]
    changed = [*lines[:10], "This line is new.", *lines[11:]]
    text = str(await drift({"a": agent("\n".join(lines))}, {"a": agent("\n".join(changed))}))
    assert "  -This is line 10 of a long prompt." in text
    assert "  +This line is new." in text
    assert "line 3 " not in text


@pytest.mark.parametrize(
    "options, path, recorded, actual",
    [
        ({"model": "m"}, "payload.request.model", None, "m"),
        ({"temperature": 0.5}, "payload.request.temperature", None, 0.5),
        ({"max_tokens": 5}, "payload.request.max_tokens", None, 5),
        ({"stop": "x"}, "payload.request.stop", None, ["x"]),
        ({"system": "be brief"}, "payload.request.messages[0].role", "user", "system"),
        ({"emits": "a:b"}, "payload.agents.a.emits[0]", None, "a:b"),
        ({"updates": "x"}, "payload.agents.a.updates", None, "x"),
        (
            {"activate_on": "harness:*", "when": lambda ctx: ctx.signal.seq == 0},
            "payload.agents.a.activate_on[0]",
            "harness:start",
            "harness:*",
        ),
    ],
)
async def test_every_option_that_is_recorded_is_told_by_its_path(
    options: dict[str, Any], path: str, recorded: Any, actual: Any
) -> None:
    """The difference names the place in the log and both values."""
    error = await drift({"a": agent()}, {"a": agent(**options)})
    first = error.report.differences[0]
    assert (first.path, first.recorded, first.actual) == (path, recorded, actual)


async def test_another_order_of_agents_is_told_as_an_order() -> None:
    """Agents in another order are a difference of order, not of every agent."""
    error = await drift({"a": agent("a"), "b": agent("b")}, {"b": agent("b"), "a": agent("a")})
    assert error.report.differences[0].path == "payload.agents (order of keys)"
    assert error.report.seq == 0


async def test_another_course_is_told_by_both_signals() -> None:
    """Where another signal comes than was recorded, both are told."""
    error = await drift({"a": agent()}, {"a": agent(when=lambda ctx: False)})
    assert "the recording has 'agent:activated' here, and the run made 'agent:skipped'" in str(error)
    assert error.report.differences == ()
    assert "  recorded: agent:activated" in str(error)


async def test_a_run_that_does_less_is_told() -> None:
    """Where the recording has more, what is missing is told."""
    store = KeepingStore()
    agents = {"a": agent()}
    await HARNESS.run_reactive(
        agents=agents, provider=ScriptedProvider(), store=store, state={"x": ""}, reducers={"text:delta": _append}
    )
    with pytest.raises(ReplayDriftError, match="'state:x:changed' here, and the run caused nothing more") as caught:
        await HARNESS.run_reactive(agents=agents, recording="rec-0", store=store)
    assert caught.value.report.actual is None
    assert "actual:   nothing" in str(caught.value)


async def test_a_run_that_does_more_is_told() -> None:
    """Where the run does something new, what came and what was recorded next are told."""
    store = KeepingStore()
    agents = {"a": agent()}
    await HARNESS.run_reactive(agents=agents, provider=ScriptedProvider(), store=store, state={"x": ""})
    with pytest.raises(ReplayDriftError, match="has 'provider:end' here, and the run made 'state:x:changed'"):
        await HARNESS.run_reactive(agents=agents, recording="rec-0", store=store, reducers={"text:delta": _append})


def _append(state: dict[str, Any], signal: Signal) -> None:
    state["x"] += "x"


async def test_a_changed_cause_is_told() -> None:
    """A signal that has the same payload and another cause is not the same signal."""
    store = KeepingStore()
    agents = {"a": agent()}
    await HARNESS.run_reactive(agents=agents, provider=ScriptedProvider(), store=store, state={})

    def other(signals: list[Signal]) -> list[Signal]:
        index = next(i for i, signal in enumerate(signals) if signal.name == "text:complete")
        source = attrs.evolve(signals[index].source, parent=signals[0].id)
        return [*signals[:index], attrs.evolve(signals[index], source=source), *signals[index + 1 :]]

    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents=agents, recording=store.rewrite("rec-0", other), store=store)
    assert [difference.path for difference in caught.value.report.differences] == ["source.parent"]


async def test_which_provider_answered_does_not_count() -> None:
    """The same run with another kind of provider is the same run: in a replay there is none."""

    class Other(ScriptedProvider):
        type = "other"

    store = KeepingStore()
    await HARNESS.run_reactive(agents={"a": agent()}, provider=Other(), store=store, state={})
    replayed = await HARNESS.run_reactive(agents={"a": agent()}, recording="rec-0", store=store)
    assert replayed.signals[2].source.provider == "other"


def test_a_report_can_be_made_of_two_signals() -> None:
    """Reports are data: of two signals, or of one where the other has nothing."""
    one = Signal("r/1", name="a:b", payload={"x": [1, {"y": 2}]}, timestamp=0, seq=1)
    other = attrs.evolve(one, payload={"x": [1, {"z": 2}], "w": "t" * 500})
    report = DriftReport.between("rec", 1, one, other)
    assert [(d.path, d.recorded, d.actual) for d in report.differences] == [
        ("payload.x[1].y", 2, None),
        ("payload.x[1].z", None, 2),
        ("payload.w", None, "t" * 500),
    ]
    assert "…" in str(report)
    more = DriftReport.between("rec", 1, None, other)
    assert "the recording has ended, and the run goes on with 'a:b'" in str(more)
    less = DriftReport.between("rec", 1, one, None)
    assert "the run caused nothing more" in str(less)
    assert DriftReport.between("rec", 1, None, None).differences == ()
    only_digest = DriftReport.between(
        "rec", 1, attrs.evolve(one, payload={"digest": "a"}), attrs.evolve(one, payload={"digest": "b"})
    )
    assert [difference.path for difference in only_digest.differences] == ["payload.digest"]


def test_a_report_travels_between_processes() -> None:
    """Test runners send errors between processes; the report comes with it."""
    signal = Signal("r/1", name="a:b", payload=1, timestamp=0, seq=1, source=SignalSource(activation="a#1"))
    error = ReplayDriftError(DriftReport.between("rec", 1, signal, None))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert str(copy) == str(error)
    assert copy.report == error.report
