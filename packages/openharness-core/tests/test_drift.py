"""What a drift report says: where, what was recorded, what came, and how the two differ."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import attrs
import pytest
from harness_kit import KeepingStore, ScriptedProvider

from openharness.core import (
    Difference,
    DriftReport,
    Harness,
    ProviderCapabilities,
    ReplayDriftError,
    Signal,
    SignalSource,
    create_harness,
    tool,
)
from openharness.core.errors import CorruptRecordError
from openharness.core.storage import decode_signal, resolve_signal

# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time

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
    assert "at signal 4 in b#1: the prompt of agent 'b' is not what was recorded" in text
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
        ({"options": {"top_p": 1}}, "payload.request.options", None, {"top_p": 1}),
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


async def test_a_changed_further_parameter_is_told_by_its_name() -> None:
    """A parameter of the model's API that only the agent knows is drift like one that the harness has a name for."""
    error = await drift({"a": agent(options={"top_p": 0.5})}, {"a": agent(options={"top_p": 1})})
    assert (error.report.kind, error.report.subject) == ("parameters", "a further parameter of agent 'a'")
    assert error.report.differences == (Difference("payload.request.options.top_p", 0.5, 1),)


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


async def test_a_changed_guard_is_told_with_its_agent() -> None:
    """A guard decides before there is an activation; the report names the agent all the same."""
    before = {"a": agent(), "b": agent("Judge {{ state.x }}")}
    report = (await drift(before, {**before, "b": agent("Judge {{ state.x }}", when=lambda ctx: False)})).report
    assert (report.kind, report.agent, report.subject) == ("guard", "b", "the guard of agent 'b'")
    assert "agent 'b' was skipped where it was activated when recorded" in report.reason
    report = (await drift({**before, "b": agent(when=lambda ctx: False)}, before)).report
    assert "agent 'b' was activated where it was skipped when recorded" in report.reason


async def test_how_it_came_to_a_difference_and_what_hangs_on_it_is_told() -> None:
    """The report has the causes of the difference one by one, and the recorded activations that cannot be reached."""
    after = {"activate_on": "a:done", "emits": "b:done"}
    before = {
        "a": agent(emits="a:done"),
        "b": agent("second", **after),
        "c": agent("third", activate_on="b:done"),
        "d": agent("fourth", activate_on="a:done"),
    }
    error = await drift(before, {**before, "b": agent("other", **after)})
    report = error.report
    assert [signal.name for signal in report.chain] == [
        "harness:start",
        "agent:activated",
        "provider:start",
        "provider:end",
        "a:done",
        "agent:activated",
        "provider:start",
    ]
    lost = {activation.activation: activation.depends for activation in report.unreachable}
    assert lost == {"b#1": True, "d#1": False, "c#1": True}
    assert report.remaining > 10
    text = str(error)
    assert "\n    0 harness:start\n" in text
    assert f"{report.seq} provider:start [b#1]   <- here" in text
    assert "Out of reach, as it hangs on this: b#1 (signal " in text
    assert "Out of reach, as it comes later: d#1 (signal " in text


async def test_a_long_chain_is_cut_in_its_middle() -> None:
    """A run of many steps is told by where it began and by what came last; what is left out is counted."""
    before = {f"a{n}": agent(activate_on=f"s:{n}" if n else "harness:start", emits=f"s:{n + 1}") for n in range(9)}
    error = await drift(before, {**before, "a8": agent("other", activate_on="s:8", emits="s:9")})
    lines = str(error).splitlines()
    start = lines.index("  How it came to this:")
    assert lines[start + 1] == "    0 harness:start"
    assert lines[start + 3].strip().startswith("… ")
    assert lines[start + 3].endswith("more links")
    assert lines[start + 11].endswith("[a8#1]   <- here")
    assert len(error.report.chain) == 35


async def test_what_a_function_raised_at_the_difference_is_its_cause() -> None:
    """Where code that fails now is what differs, its own exception is the cause, and is told."""

    def failing(*_: object) -> bool:
        message = "no such table"
        raise LookupError(message)

    error = await drift({"a": agent()}, {"a": agent(when=failing)})
    assert isinstance(error.__cause__, LookupError)
    assert (error.report.kind, error.report.cause) == ("guard", "LookupError: no such table")
    assert "It came of this error: LookupError: no such table" in str(error)
    error = await drift({"a": agent()}, {"a": agent(failing)})
    assert (error.report.kind, type(error.__cause__)) == ("prompt", LookupError)
    store = KeepingStore()
    await HARNESS.run_reactive(agents={"a": agent()}, provider=ScriptedProvider(), store=store, state={})
    for option, kind in (({"reducers": {"agent:*": failing}}, "reducer"), ({"end_when": failing}, "end_when")):
        with pytest.raises(ReplayDriftError) as caught:
            await HARNESS.run_reactive(agents={"a": agent()}, recording="rec-0", store=store, **option)
        assert (caught.value.report.kind, type(caught.value.__cause__)) == (kind, LookupError)


async def test_the_fixture_and_what_to_change_are_told() -> None:
    """The report names the fixture, and the arguments that record it again, however it was found."""
    store = KeepingStore()
    options: Any = {"store": store, "state": {}, "fixture": "poem"}
    await HARNESS.run_reactive(agents={"a": agent()}, provider=ScriptedProvider(), mode="record", **options)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"a": agent("other")}, mode="replay", **options)
    assert caught.value.report.fixture == "poem"
    assert "(fixture 'poem') at signal 2" in str(caught.value)
    assert "mode=\"record\" beside fixture='poem' (or OPENHARNESS_MODE=record)" in str(caught.value)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"a": agent("other")}, recording="rec-0", store=store)
    assert caught.value.report.fixture == "poem"


@pytest.mark.parametrize(
    "before, after, phrase",
    [
        (["a"], ["a", "b"], "agent 'b' was added"),
        (["a", "b"], ["a"], "agent 'b' was removed"),
        (["a"], ["b"], "agent 'a' was renamed to 'b'"),
        (["a", "b", "c"], ["c", "d"], "agent 'd' was added, agent 'a' was removed, agent 'b' was removed"),
        (["a", "b"], ["b", "a"], "the order of the agents has changed"),
    ],
)
async def test_another_set_of_agents_is_told_by_their_names(before: list[str], after: list[str], phrase: str) -> None:
    """Agents that were added, removed, renamed or put into another order are told as that."""
    error = await drift({name: agent() for name in before}, {name: agent() for name in after})
    assert error.report.kind == "agents"
    assert f"at signal 0: {phrase}.\n" in str(error)


async def test_agents_input_and_state_that_differ_at_once_are_all_told() -> None:
    """What differs at the beginning is told part by part."""
    store = KeepingStore()
    await HARNESS.run_reactive(agents={"a": agent()}, provider=ScriptedProvider(), store=store, state={"x": 1}, input=1)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"b": agent()}, recording="rec-0", store=store, state={"x": None}, input=2)
    report = caught.value.report
    assert report.subject == "the agents and the initial state and the input"
    assert "the initial state is not the recorded one, and the input is not the recorded one" in report.reason
    assert "payload.state.x: recorded 1, actual null" in str(caught.value)


async def test_changed_tools_are_told_as_tools() -> None:
    """A tool whose description or name changed, that is new or gone, is told by its name, its agent and the place."""

    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    def forecast(city: str) -> str:
        """Tell tomorrow's weather."""
        return city

    class Asked(ScriptedProvider):
        capabilities = ProviderCapabilities(tools=True)

    store = KeepingStore()
    old, new = tool(weather), tool(forecast, name="weather")
    await HARNESS.run_reactive(agents={"a": agent(tools=[old])}, provider=Asked(), store=store, state={})
    for tools, path, subject, phrase in (
        (
            [new],
            "payload.request.tools[0].description",
            "the description of tool 'weather'",
            "is not what was recorded",
        ),
        ([], "payload.request.tools", "tool 'weather'", "was removed"),
        ([old, forecast], "payload.request.tools[1]", "tool 'forecast'", "was added"),
        ([tool(weather, name="w")], "payload.request.tools[0].name", "tool 'weather'", "was renamed to 'w'"),
    ):
        with pytest.raises(ReplayDriftError) as caught:
            await HARNESS.run_reactive(agents={"a": agent(tools=tools)}, recording="rec-0", store=store)
        report = caught.value.report
        assert (report.kind, report.subject) == ("tools", f"{subject} of agent 'a'")
        assert f"{subject} of agent 'a' {phrase}" in str(report)
        assert report.differences[0].path == path


def test_nothing_is_told_from_null() -> None:
    """A value that is absent is told otherwise than one that is null, in the text as in JSON."""
    one = Signal("r/1", name="a:b", payload={"x": None}, timestamp=0, seq=1)
    report = DriftReport.between("rec", 1, one, attrs.evolve(one, payload={"y": None}))
    assert "payload.x: recorded null, actual nothing" in str(report)
    assert "payload.y: recorded nothing, actual null" in str(report)
    data: Any = report.to_json()
    assert data["differences"] == [
        {"path": "payload.x", "kind": "removed", "recorded": None},
        {"path": "payload.y", "kind": "added", "actual": None},
    ]


async def test_short_texts_of_several_lines_are_told_line_by_line_with_their_words_marked() -> None:
    """A text with line feeds is no puzzle of escapes; under a line that changed in part, the part is marked."""
    text = str(await drift({"a": agent("Be kind.\nBe brief, please.")}, {"a": agent("Be kind.\nBe clear, please.")}))
    assert "   Be kind.\n    -Be brief, please.\n    ?   ^^^^^\n    +Be clear, please.\n    ?   ^^^^^\n" in text


async def test_a_report_as_json_has_all_that_it_says() -> None:
    """The JSON form is made of JSON values, names its format, and repeats every part of the report."""
    lines = "\n".join(map(str, range(40)))
    report = (await drift({"a": agent(lines)}, {"a": agent(lines.replace("7", "seven"))})).report
    data: Any = json.loads(json.dumps(report.to_json()))
    assert (data["format"], data["version"]) == ("openharness/drift-report", 1)
    for key in ("recording_id", "fixture", "seq", "kind", "subject", "reason", "agent", "activation", "remaining"):
        assert data[key] == getattr(report, key)
    assert data["recorded"]["payload"] == report.recorded.payload
    assert data["actual"]["parent"] == report.actual.source.parent
    assert "-17" in data["differences"][0]["diff"]
    assert [link["name"] for link in data["chain"]] == ["harness:start", "agent:activated", "provider:start"]
    assert data["unreachable"] == [{"activation": "a#1", "agent": "a", "seq": 2, "depends": True}]
    assert data["agents"] == {
        "added": [],
        "removed": [],
        "renamed": {},
        "changed": [],
        "parts": {},
        "reordered": False,
    }
    assert (data["unused"], data["cause"], data["remedy"]) == ([], None, report.remedy)


async def test_a_report_is_safe_to_look_at() -> None:
    """Control characters in what models and users wrote are written out, not obeyed by the terminal."""
    text = str(await drift({"a": agent("x\x1b[2J")}, {"a": agent("y\x1b[2J\u202e")}))
    assert "\x1b" not in text
    assert "\u202e" not in text


async def test_a_recording_with_a_damaged_rest_is_drift_all_the_same() -> None:
    """What cannot be read behind a difference does not hide it."""
    store = KeepingStore()
    await HARNESS.run_reactive(agents={"a": agent()}, provider=ScriptedProvider(), store=store, state={})
    store.recordings["rec-0"].lines[-1] = b"{"

    async def damaged(recording_id: str, **_: Any) -> Any:
        for line in store.recordings[recording_id].lines[:-1]:
            yield resolve_signal(decode_signal(line), store.recordings[recording_id].blobs)
        raise CorruptRecordError(recording_id, reason="a broken line")

    store.iter_signals = damaged
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"a": agent("other")}, recording="rec-0", store=store)
    assert caught.value.report.remaining == len(store.recordings["rec-0"].lines) - 3
