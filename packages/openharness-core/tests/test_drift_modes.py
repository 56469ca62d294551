"""Replays that go on where they differ: ``drift="ignore"`` and ``drift="warn"``."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import random
import warnings
from typing import Any

import pytest
from generated_runs import SteadyProvider, again, live, make_spec
from harness_kit import EventsProvider, HangingProvider, KeepingStore, ScriptedProvider, names_of, outline
from mutations import MUTATORS

from openharness.core import (
    AgentError,
    Completed,
    DefinitionError,
    Harness,
    InvalidValueError,
    ProviderError,
    ProviderOutput,
    RecordingEndedError,
    ReplayDriftError,
    ReplayDriftWarning,
    Signal,
    create_harness,
)
from openharness.core.log import RunFold

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
RUNS = 400 if LONG else 40

HARNESS: Harness[dict[str, Any]] = create_harness()


def agent(prompt: str = "hello", **options: Any) -> Any:
    """An agent that begins."""
    return HARNESS.agent(**{"prompt": prompt, "activate_on": "harness:start", **options})


TEAM: dict[str, Any] = {
    "reader": agent("read", emits="read:done", updates="x"),
    "critic": agent("judge {{ state.x }}", activate_on="read:done", emits="judge:done"),
    "writer": agent("write", activate_on="judge:done"),
}


async def record(agents: Any, **options: Any) -> KeepingStore:
    """A store with the recording of a run as ``rec-0``."""
    store = KeepingStore()
    options = {"state": {"x": ""}, "provider": ScriptedProvider(), **options}
    await HARNESS.run_reactive(agents=agents, store=store, **options)
    return store


async def replay(agents: Any, store: KeepingStore, drift: Any = "ignore", **options: Any) -> Any:
    """The result of a replay, which must not hang."""
    async with asyncio.timeout(50):
        return await HARNESS.run_reactive(agents=agents, store=store, recording="rec-0", drift=drift, **options)


async def warned(agents: Any, store: KeepingStore, **options: Any) -> Any:
    """The result of a replay that warns; the warning has the same reports."""
    with pytest.warns(ReplayDriftWarning) as caught:
        result = await replay(agents, store, "warn", **options)
    assert caught[0].message.reports == result.drift
    return result


async def test_a_replay_of_the_same_code_is_the_recorded_log_without_a_warning() -> None:
    """Where nothing has changed, both modes give the recorded log, signal for signal."""
    store = await record(TEAM)
    for mode in ("ignore", "warn"):
        result = await replay(TEAM, store, mode)
        assert list(result.signals) == store.signals("rec-0")
        assert (result.drift, result.replayed) == ((), True)


async def test_a_changed_guard_leaves_out_what_it_leaves_out() -> None:
    """Without the critic the run ends after the reader, with the recorded answer; nothing waits for the rest."""
    store = await record(TEAM)
    silent = {**TEAM, "critic": agent("judge", activate_on="read:done", emits="judge:done", when=lambda ctx: False)}
    result = await replay(silent, store)
    assert outline(result.signals)[-2:] == ["agent:skipped critic", "harness:end"]
    assert result.state == {"x": "READ"}
    assert [signal.seq for signal in result.signals] == list(range(len(result.signals)))

    reports = (await warned(silent, store)).drift
    assert [report.kind for report in reports] == ["guard", "unused"]
    assert reports[0].agent == "critic"
    assert {lost.activation for lost in reports[0].unreachable} == {"critic#1", "writer#1"}
    assert {signal.source.activation for signal in reports[1].unused} == {"critic#1", "writer#1"}
    assert reports[0].chain[-1].name == "agent:skipped"


async def test_a_changed_reducer_changes_the_state_and_nothing_else() -> None:
    """The run goes on with the new state; every change that differs, and the final state, are reported."""
    store = await record(
        TEAM, reducers={"judge:done": lambda state, signal: state.update(n=1)}, state={"x": "", "n": 0}
    )

    def two(state: dict[str, Any], signal: Signal) -> None:
        state["n"] = 2

    result = await warned(TEAM, store, reducers={"judge:done": two})
    assert result.state == {"x": "READ", "n": 2}
    assert [(report.kind, report.seq >= 0) for report in result.drift] == [("reducer", True), ("final_state", True)]
    assert "the reducer for 'judge:done'" in str(result.drift[0])
    assert "state.n: recorded 1, actual 2" in str(result.drift[1])
    assert json.loads(json.dumps(result.drift[1].to_json()))["kind"] == "final_state"


async def test_another_order_within_a_step_is_reported_once() -> None:
    """Reducers that do the same in another order are a difference, though nothing else comes of it."""

    def count(state: dict[str, Any], _: Signal) -> None:
        state["n"] += 1

    def note(state: dict[str, Any], _: Signal) -> None:
        state["m"] += 1

    options: Any = {"state": {"x": "", "n": 0, "m": 0}}
    store = await record(TEAM, reducers={"judge:done": count, "judge:*": note}, **options)
    result = await warned(TEAM, store, reducers={"judge:*": note, "judge:done": count})
    assert [(report.kind, report.recorded.name, report.actual.name) for report in result.drift] == [
        ("reducer", "state:n:changed", "state:m:changed")
    ]


async def test_an_agent_that_was_added_and_asks_nothing_new_is_passed_over() -> None:
    """Another set of agents is no error as long as nobody asks what was not recorded."""
    store = await record(TEAM)
    more = {"idle": agent(activate_on="judge:done", when=lambda ctx: False), **TEAM}
    result = await warned(more, store)
    assert [report.kind for report in result.drift] == ["agents", "guard"]
    assert result.drift[0].agents.added == ("idle",)
    assert result.drift[1].actual.name == "agent:skipped"
    assert result.state == {"x": "READ"}


@pytest.mark.parametrize("mode", ["ignore", "warn"])
async def test_a_request_that_was_not_recorded_raises_all_the_same(mode: Any) -> None:
    """There is no answer to it: a changed prompt is an error in every mode, with the recorded request beside it."""
    store = await record(TEAM)
    changed = {**TEAM, "critic": agent("praise {{ state.x }}", activate_on="read:done", emits="judge:done")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ReplayDriftError) as caught:
            await replay(changed, store, mode)
    report = caught.value.report
    assert (report.kind, report.agent) == ("prompt", "critic")
    assert "there is no answer to it" in str(caught.value)
    assert 'recorded "judge READ", actual "praise READ"' in str(caught.value)

    new = {**TEAM, "second": agent("write", activate_on="judge:done")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ReplayDriftError) as caught:
            await replay(new, store, mode)
    assert (caught.value.report.kind, caught.value.report.agent) == ("unmatched", "second")
    assert "the recording has no request second#1/0/0, and no answer to it" in str(caught.value)


async def test_an_end_that_differs_is_told_once() -> None:
    """A reducer that fails now is one difference and the end another one, also where both come of one arrival."""

    def fail(state: Any, signal: Signal) -> None:
        raise ValueError("not today")

    store = await record({"one": agent("x", updates="x")})
    with pytest.warns(ReplayDriftWarning), pytest.raises(AgentError) as caught:
        await replay({"one": agent("x", updates="x")}, store, "warn", reducers={"agent:completed": fail})
    reports = [(report.kind, report.subject) for report in caught.value.result.drift]
    assert reports == [("reducer", "a reducer"), ("signal", "the end of the run")]
    assert "None" not in " ".join(report.reason for report in caught.value.result.drift)


async def test_differences_before_the_error_are_warned_of() -> None:
    """A replay that cannot go on still tells what differed before."""
    store = await record(TEAM)
    changed = {**TEAM, "second": agent("write", activate_on="judge:done")}
    with pytest.warns(ReplayDriftWarning, match="agent 'second' was added"), pytest.raises(ReplayDriftError):
        await replay(changed, store, "warn")


async def test_more_at_once_than_recorded_is_delivered_in_the_recorded_order() -> None:
    """Other limits move requests, and not what was answered to them, nor the order of the answers."""
    agents = {f"a{number}": agent(f"say {number}", updates="x") for number in range(5)}
    store = await record(agents, max_concurrency=1)
    result = await warned(agents, store, max_concurrency=5)
    assert [name for name in names_of(result.signals) if name == "provider:end"] == ["provider:end"] * 5
    assert result.state == {"x": "SAY 4"}
    assert {report.kind for report in result.drift} == {"max_concurrency"}


async def test_an_answer_that_never_came_is_an_error_and_no_hang() -> None:
    """What was in flight when the recorded run failed has no answer; a run that goes on for it says so."""
    agents = {
        "slow": agent("slow", provider=HangingProvider()),
        "broken": agent("broken", provider=EventsProvider([ProviderError("no", kind="refused")])),
    }
    store = KeepingStore()
    with pytest.raises(AgentError):
        await HARNESS.run_reactive(agents=agents, store=store, state={})
    tolerant = {**agents, "broken": agent("broken", on_error="continue")}
    with pytest.raises(ReplayDriftError, match="nothing more is recorded for slow#1/0/0, and the run waits for it"):
        await replay(tolerant, store)
    with pytest.raises(AgentError):
        await replay(agents, store)


async def test_a_recording_that_was_cut_off_ends_the_replay() -> None:
    """An incomplete recording is told as that, with the state so far."""
    store = await record(TEAM)
    store.recordings["rec-0"].lines = store.recordings["rec-0"].lines[:8]
    with pytest.raises(RecordingEndedError) as caught:
        await replay(TEAM, store)
    assert caught.value.seq == 8
    store.recordings["rec-0"].lines = []
    with pytest.raises(RecordingEndedError):
        await replay(TEAM, store)


async def test_retries_are_delivered_and_a_retry_too_many_is_an_error() -> None:
    """A failure and its retry replay in these modes; a retry that was not recorded has no answer."""
    provider = EventsProvider(
        [ProviderError("busy", kind="busy", retryable=True)], [Completed(ProviderOutput(content="ok"))]
    )
    agents = {"a": agent(retries=1, retry_delay=0, updates="x")}
    store = await record(agents, provider=provider)
    assert (await replay(agents, store, "warn")).state == {"x": "ok"}
    store = KeepingStore()
    with pytest.raises(AgentError):
        await HARNESS.run_reactive(agents={"a": agent()}, provider=provider_of_failure(), store=store, state={})
    with pytest.raises(ReplayDriftError, match="the run waits for it"):
        await replay({"a": agent(retries=1)}, store)


def provider_of_failure() -> EventsProvider:
    """A provider that is always busy."""
    return EventsProvider([ProviderError("busy", kind="busy", retryable=True)])


async def test_signals_from_outside_come_in_their_recorded_order() -> None:
    """A started run replays in these modes too, with the recorded signals."""
    store = KeepingStore()
    agents = {"a": agent("{{ signal.payload }}", activate_on="say:*")}
    for drift, found in (("error", {"provider": ScriptedProvider(), "mode": "record"}), ("ignore", {"mode": "replay"})):
        options: Any = {"agents": agents, "state": {}, "store": store, "fixture": "f", **found}
        async with asyncio.timeout(50), HARNESS.start(drift=drift, **options) as run:
            assert (await run.emit("say:one", 1)).payload == 1
            await run.emit("say:two", 2)
        signals = (await run.result()).signals
        assert [signal.payload for signal in signals if signal.name.startswith("say:")] == [1, 2]


async def test_resumed_and_forked_recordings_replay_in_these_modes() -> None:
    """What was taken over, asked again and begun anew is delivered as it was recorded."""
    store = KeepingStore()
    broken = {**TEAM, "writer": agent("write", activate_on="judge:done", provider=provider_of_failure())}
    for _ in range(2):
        with pytest.raises(AgentError):
            await HARNESS.run_reactive(agents=broken, provider=ScriptedProvider(), store=store, state={"x": ""})
    resumed = await HARNESS.resume("rec-0", agents=TEAM, provider=ScriptedProvider(), store=store)
    folded = await HARNESS.resume("rec-1", agents=TEAM, provider=ScriptedProvider(), store=store, rebuild="fold")
    forked = await HARNESS.fork("rec-0", at=4, agents=TEAM, provider=ScriptedProvider(), store=store)
    for result in (resumed, folded, forked):
        for drift in ("ignore", "warn"):
            again = await HARNESS.run_reactive(agents=TEAM, recording=result.recording_id, store=store, drift=drift)
            assert again.signals == result.signals
            assert again.drift == ()


async def test_the_mode_comes_from_the_run_or_the_harness() -> None:
    """The argument of the run goes before that of the harness; what is no mode is refused by both."""
    store = await record(TEAM)
    silent = {**TEAM, "critic": agent("judge", activate_on="read:done", emits="judge:done", when=lambda ctx: False)}
    harness: Harness[dict[str, Any]] = create_harness(drift="ignore")
    assert (await harness.run_reactive(agents=silent, store=store, recording="rec-0")).replayed
    with pytest.raises(ReplayDriftError):
        await harness.run_reactive(agents=silent, store=store, recording="rec-0", drift="error")
    with pytest.raises(InvalidValueError, match="drift must be one of error, warn, ignore"):
        await replay(TEAM, store, "forgive")
    with pytest.raises(InvalidValueError, match="drift must be one of error, warn, ignore"):
        create_harness(drift="forgive")  # type: ignore[call-overload]


async def test_the_warning_travels_between_processes_and_names_the_places() -> None:
    """Test runners send warnings between processes; the reports come with it."""
    store = await record(TEAM)
    result = await warned(
        {**TEAM, "critic": agent("judge {{ state.x }}", activate_on="read:done", emits=["judge:done", "a:b"])}, store
    )
    warning = ReplayDriftWarning(result.drift)
    assert pickle.loads(pickle.dumps(warning)).reports == result.drift  # noqa: S301 - our own
    text = str(warning)
    assert text.startswith(f"The replay differs from its recording in {len(result.drift)} places:\n")
    assert "signal 0: agent 'critic' is wired in another way" in text
    assert "… and 5 more" in str(ReplayDriftWarning(result.drift[:1] * 15))


@pytest.mark.parametrize("histories", [("agent", "none"), ("none", "agent")])
async def test_a_history_that_tells_nothing_yet_is_the_runs_own(histories: Any) -> None:
    """Whether an agent keeps a history is told by the run also where its request is the recorded one, and warned of."""
    before, now = ({"poet": agent("rhyme", history=history)} for history in histories)
    store = await record(before)
    result = await warned(now, store)
    assert [(report.kind, report.subject) for report in result.drift] == [("history", "history of agent 'poet'")]
    told = [signal for signal in result.signals if signal.name == "provider:start" and signal.source.agent == "poet"]
    assert ["history" in signal.payload for signal in told] == [histories[1] == "agent"]
    assert ("poet" in RunFold.of(result.signals).conversations) == (histories[1] == "agent")


@pytest.mark.slow
@pytest.mark.timeout(600 if LONG else 240)
async def test_changed_code_ends_or_raises_and_what_is_warned_of_is_what_replay_refuses() -> None:
    """Random runs, changed at random: no hang, no call; no report where strict replay agrees, and some where not."""
    seen = set()
    for number in range(RUNS):
        chance = random.Random(number)
        spec = make_spec(20_000 + number, most=8, repeatable=True, tools=True)
        store = KeepingStore()
        await live(spec, provider=SteadyProvider(spec), store=store)
        mutant = copy.deepcopy(spec)
        mutate = MUTATORS[number % len(MUTATORS)]
        try:
            mutate(mutant, chance)
            strict: Any = await again(mutant, recording="rec-0", store=store)
        except ReplayDriftError:
            strict = None
        except (DefinitionError, IndexError):
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with asyncio.timeout(50):
                try:
                    loose = await again(mutant, recording="rec-0", store=store, drift="warn")
                except ReplayDriftError:
                    loose = None
        assert (strict is None) == (loose is None or bool(loose.drift)), (mutate.__name__, strict, loose)
        if loose is not None:
            assert bool(caught) == bool(loose.drift)
            assert RunFold.of(loose.signals).end is not None
            if strict is not None:
                assert loose.signals == strict.signals
            ignored = await again(mutant, recording="rec-0", store=store, drift="ignore")
            assert (ignored.signals, ignored.drift) == (loose.signals, ())
        seen.add("raised" if loose is None else "differed" if loose.drift else "same")
    assert seen == {"raised", "differed", "same"}
