"""Modes, defaults, fixtures, recordings by id, and what a result holds."""

from __future__ import annotations

import asyncio
import pathlib
import re
from typing import Any

import attrs
import pytest
from harness_kit import FailingRunStore, KeepingStore, ScriptedProvider, names_of

from openharness.core import (
    AgentError,
    FixtureNotFoundError,
    Harness,
    InMemoryRunStore,
    InvalidValueError,
    OpenHarnessError,
    RecordingEndedError,
    ReplayDriftError,
    RunCancelledError,
    RunResult,
    SerializationError,
    create_harness,
)


@attrs.define
class State:
    """A question and its answer."""

    question: str = ""
    answer: str = ""


# Their timers wait until nothing else can happen.
pytestmark = pytest.mark.virtual_time

HARNESS = create_harness(State)
AGENT = HARNESS.agent(prompt="{{ state.question }}", activate_on="harness:start", updates="answer")


async def run(harness: Harness[State] = HARNESS, **options: Any) -> RunResult[State]:
    """Run the agent on a question."""
    options.setdefault("state", State(question="why?"))
    return await harness.run_reactive(agents={"a": AGENT}, **options)


async def test_record_then_replay_without_a_provider() -> None:
    """A recorded run replays to the same signals, state and metrics, with no provider at all."""
    store = KeepingStore()
    recorded = await run(provider=ScriptedProvider(), fixture="f", mode="record", store=store)
    replayed = await run(fixture="f", mode="replay", store=store)
    assert replayed.signals == recorded.signals
    assert (replayed.state, replayed.metrics, replayed.status) == (recorded.state, recorded.metrics, "completed")
    assert (recorded.replayed, replayed.replayed) == (False, True)
    assert recorded.recording_id == replayed.recording_id == "rec-0"
    assert recorded.run_id != replayed.run_id
    assert replayed.signals[0].id == f"{recorded.run_id}/0"
    assert len(store.recordings) == 1


async def test_a_replay_touches_no_provider() -> None:
    """A provider that is given to a replay is not asked for anything."""
    store = KeepingStore()
    await run(provider=ScriptedProvider(), fixture="f", mode="record", store=store)
    provider = ScriptedProvider()
    await run(provider=provider, fixture="f", mode="replay", store=store)
    assert provider.requests == []


async def test_record_always_calls_and_publishes_the_new_recording() -> None:
    """Recording again calls again; the name then means the new recording, and the old one stays."""
    store = KeepingStore()
    await run(provider=ScriptedProvider("one"), fixture="f", mode="record", store=store)
    await run(provider=ScriptedProvider("two"), fixture="f", mode="record", store=store)
    assert (await run(fixture="f", mode="replay", store=store)).state.answer == "two"
    assert (await run(recording="rec-0", store=store)).state.answer == "one"


async def test_auto_replays_what_exists_and_records_what_does_not() -> None:
    """Auto records the first time and replays from then on."""
    store, provider = KeepingStore(), ScriptedProvider()
    first = await run(provider=provider, fixture="f", mode="auto", store=store)
    second = await run(provider=provider, fixture="f", mode="auto", store=store)
    assert (first.replayed, second.replayed) == (False, True)
    assert len(provider.requests) == 1
    assert second.signals == first.signals


async def test_auto_without_the_fixture_needs_a_provider() -> None:
    """Auto that has to record cannot do without a provider, and says so."""
    with pytest.raises(ValueError, match="has no provider"):
        await run(fixture="f", mode="auto", store=KeepingStore())


async def test_a_live_run_with_a_store_is_recorded_and_not_published() -> None:
    """A live run is recorded under no fixture name, and can be replayed by its id."""
    store = KeepingStore()
    live = await run(provider=ScriptedProvider(), mode="live", store=store, tags=["x"], metadata={"k": 1})
    assert store.published == {}
    info = store.recordings["rec-0"].info
    assert (info.name, info.tags, info.metadata, info.run_id, info.outcome) == (
        None,
        ("x",),
        {"k": 1},
        live.run_id,
        "completed",
    )
    assert info.duration_ms == live.metrics.duration_ms
    assert (await run(recording=live.recording_id, store=store)).signals == live.signals


async def test_a_live_run_without_a_store_has_no_recording() -> None:
    """Without a store nothing is recorded, and the result says so."""
    result = await run(provider=ScriptedProvider())
    assert (result.recording_id, result.replayed, result.status) == (None, False, "completed")


async def test_a_missing_fixture_names_those_that_exist() -> None:
    """Replay without the fixture is an error that lists the fixtures, and says how to record one."""
    store = KeepingStore()
    await run(provider=ScriptedProvider(), fixture="one", mode="record", store=store)
    await run(provider=ScriptedProvider(), fixture="two", mode="record", store=store)
    with pytest.raises(FixtureNotFoundError, match=r"'one', 'two'.*mode=\"record\"") as caught:
        await run(fixture="three", mode="replay", store=store, provider=ScriptedProvider())
    assert caught.value.name == "three"
    assert caught.value.existing == ("one", "two")


async def test_a_missing_recording_is_the_same_error() -> None:
    """A recording that is asked for by an unknown id is not found; the newest are named, and where its id stands."""
    store = KeepingStore()
    for _ in range(5):
        await run(provider=ScriptedProvider(), store=store)
    with pytest.raises(FixtureNotFoundError, match=r"no recording 'nowhere'.*'rec-4'.*recording_id of") as caught:
        await run(recording="nowhere", store=store)
    assert caught.value.existing == ("rec-4", "rec-3", "rec-2")
    assert "fixture" not in str(caught.value)


async def test_the_id_of_a_run_in_place_of_a_recording_is_noticed() -> None:
    """Who gives the id of a run is told the id of its recording."""
    store = KeepingStore()
    result = await run(provider=ScriptedProvider(), store=store)
    with pytest.raises(FixtureNotFoundError, match=r"is the id of a run.*'rec-0'") as caught:
        await run(recording=result.run_id, store=store)
    assert caught.value.run_recording == result.recording_id


async def test_of_many_fixtures_the_first_are_named() -> None:
    """A store with hundreds of fixtures does not fill the screen; the error has all of them."""
    error = FixtureNotFoundError("x", existing=[f"test-{number:03}" for number in range(300)])
    assert "'test-019' and 280 more. Record it" in str(error)
    assert "test-020" not in str(error)
    assert len(error.existing) == 300


@pytest.mark.parametrize("mode", ["record", "replay", "auto"])
async def test_a_mode_needs_its_fixture_and_its_store(mode: Any) -> None:
    """Without a fixture name or without a store these modes say what is missing."""
    with pytest.raises(InvalidValueError, match="fixture must be given"):
        await run(mode=mode, store=KeepingStore(), provider=ScriptedProvider())
    with pytest.raises(OpenHarnessError, match="needs a signal store"):
        await run(mode=mode, fixture="f", provider=ScriptedProvider())


async def test_a_recording_by_id_needs_a_store() -> None:
    """A recording is somewhere."""
    with pytest.raises(OpenHarnessError, match="needs a signal store"):
        await run(recording="rec-0")


@pytest.mark.parametrize("mode", ["Live", "", 5, "playback"])
async def test_an_unknown_mode_is_refused(mode: Any) -> None:
    """A mode is one of four words; an empty one is none."""
    if mode == "":
        assert not (await run(mode=mode, provider=ScriptedProvider())).replayed
        return
    with pytest.raises(InvalidValueError, match="mode must be one of live, record, replay, auto"):
        await run(mode=mode, provider=ScriptedProvider())


async def test_the_mode_comes_from_the_argument_the_harness_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument goes before the harness's default, and that before OPENHARNESS_MODE."""
    store, provider = KeepingStore(), ScriptedProvider()
    monkeypatch.setenv("OPENHARNESS_MODE", "record")
    await run(provider=provider, fixture="f", store=store)
    assert store.published == {"f": "rec-0"}
    monkeypatch.setenv("OPENHARNESS_MODE", "replay")
    assert (await run(fixture="f", store=store)).replayed
    defaults = create_harness(State, mode="live")
    assert not (await run(defaults, provider=provider, store=store)).replayed
    assert (await run(defaults, mode="replay", fixture="f", store=store)).replayed
    monkeypatch.setenv("OPENHARNESS_MODE", "sometimes")
    with pytest.raises(InvalidValueError, match="OPENHARNESS_MODE must be one of"):
        await run(provider=provider, fixture="f", store=store)
    monkeypatch.setenv("OPENHARNESS_MODE", "")
    assert not (await run(provider=provider, store=store)).replayed


async def test_a_fixture_without_any_mode_is_refused() -> None:
    """Where nobody has said a mode, a fixture's name would be passed over, so it is an error."""
    store, provider = KeepingStore(), ScriptedProvider()
    with pytest.raises(InvalidValueError, match="fixture must be given with a mode"):
        await run(fixture="f", store=store, provider=provider)
    assert (store.recordings, provider.requests) == ({}, [])


@pytest.mark.parametrize("said", ["argument", "harness", "environment"])
async def test_who_says_live_may_leave_the_fixture_in_the_code(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call records, replays or runs live as the mode says; a live run uses no fixture."""
    store, provider = KeepingStore(), ScriptedProvider()
    if said == "environment":
        monkeypatch.setenv("OPENHARNESS_MODE", "live")
    harness = create_harness(State, mode="live" if said == "harness" else None)
    result = await run(
        harness, fixture="f", mode="live" if said == "argument" else None, store=store, provider=provider
    )
    assert not result.replayed
    assert store.published == {}


@pytest.mark.parametrize("mode", ["live", "record", "auto"])
async def test_a_recording_is_refused_in_a_mode_that_would_not_replay_it(
    mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a replay uses recording=, so another mode= beside it is an error; a default of any kind gives way to it."""
    store, provider = KeepingStore(), ScriptedProvider()
    await run(provider=provider, store=store)
    with pytest.raises(InvalidValueError, match="mode must be 'replay' or left out with recording="):
        await run(recording="rec-0", mode=mode, store=store, provider=provider)
    with pytest.raises(InvalidValueError, match="fixture must be left out with recording="):
        await run(recording="rec-0", fixture="f", store=store)
    monkeypatch.setenv("OPENHARNESS_MODE", mode)
    assert (await run(recording="rec-0", store=store)).replayed
    assert (await run(create_harness(State, mode=mode), recording="rec-0", mode="replay", store=store)).replayed
    assert len(store.recordings) == 1


async def test_defaults_of_the_harness_are_used_by_its_runs() -> None:
    """Provider, store, run store and mode of create_harness serve every run that does not say otherwise."""
    store, runs, provider = KeepingStore(), InMemoryRunStore(), ScriptedProvider()
    harness = create_harness(State, provider=provider, store=store, run_store=runs, mode="auto")
    first = await run(harness, fixture="f")
    second = await run(harness, fixture="f")
    assert (first.replayed, second.replayed) == (False, True)
    assert [saved.id for saved in await runs.list_runs()] == [first.run_id]


async def test_a_replay_is_kept_only_where_it_is_asked_for() -> None:
    """A replay writes to no run store of the defaults, but to one that is given for it."""
    store, runs = KeepingStore(), InMemoryRunStore()
    harness = create_harness(State, run_store=runs, store=store)
    live = await run(harness, provider=ScriptedProvider())
    await run(harness, recording=live.recording_id)
    assert await runs.count_runs() == 1
    replayed = await run(harness, recording=live.recording_id, run_store=runs, metadata={"why": "asked"})
    saved = await runs.get_run(replayed.run_id)
    assert saved is not None
    assert (saved.status, saved.recording_id, saved.metadata) == ("completed", live.recording_id, {"why": "asked"})
    assert saved.state == {"question": "why?", "answer": "WHY?"}


async def test_a_run_has_the_id_it_is_given() -> None:
    """run_id= names the run, its signals and its record; an id that cannot be one is refused."""
    runs = InMemoryRunStore()
    result = await run(provider=ScriptedProvider(), run_id="mine/1", run_store=runs)
    assert result.run_id == "mine/1"
    assert result.signals[3].id == "mine/1/3"
    assert await runs.get_run("mine/1") is not None
    with pytest.raises(InvalidValueError, match="run_id"):
        await run(provider=ScriptedProvider(), run_id="a\nb")


@pytest.mark.parametrize(
    "options, match",
    [
        ({"fixture": ""}, "fixture"),
        ({"recording": 5}, "recording"),
        ({"tags": ["a", ""]}, "tags"),
        ({"tags": 5}, "not iterable"),
        ({"seed": "x"}, "seed"),
    ],
)
async def test_options_that_cannot_be_are_refused(options: Any, match: str) -> None:
    """Names and tags are checked before anything begins."""
    with pytest.raises((InvalidValueError, TypeError), match=match):
        await run(provider=ScriptedProvider(), store=KeepingStore(), **options)


async def test_metadata_and_input_that_cannot_be_stored_are_refused_with_their_path() -> None:
    """What no log can hold is refused before the run, by its path."""
    with pytest.raises(SerializationError, match="metadata"):
        await run(provider=ScriptedProvider(), metadata={"a": object()})
    with pytest.raises(SerializationError, match="input"):
        await run(provider=ScriptedProvider(), input={"a": [object()]})


async def test_an_unknown_option_is_refused() -> None:
    """A misspelt option is not ignored."""
    with pytest.raises(TypeError, match="fixtur"):
        await run(provider=ScriptedProvider(), fixtur="f")


async def test_recordings_of_runs_that_failed_are_kept_and_not_published() -> None:
    """A failing run leaves its recording with its outcome; the fixture's name still means the one before."""

    class Broken(ScriptedProvider):
        def answer(self, request: Any, context: Any) -> str:
            raise RuntimeError("no answer")

    store, runs = KeepingStore(), FailingRunStore()
    await run(provider=ScriptedProvider(), fixture="f", mode="record", store=store)
    with pytest.raises(AgentError) as caught:
        await run(provider=Broken(), fixture="f", mode="record", store=store, run_store=runs)
    assert store.published == {"f": "rec-0"}
    assert store.recordings["rec-1"].info.outcome == "failed"
    assert store.recordings["rec-1"].info.name == "f"
    assert [(saved.status, saved.error) for saved in runs.saved] == [("running", None), ("failed", str(caught.value))]
    with pytest.raises(AgentError) as again:
        await run(recording="rec-1", store=store)
    assert str(again.value) == str(caught.value)
    assert (again.value.run_id, again.value.recording_id) == (again.value.result.run_id, "rec-1")


async def test_a_cancelled_run_replays_to_its_cancellation() -> None:
    """The replay of a cancelled run raises RunCancelledError, with the signals up to the end."""
    store = KeepingStore()
    task = asyncio.ensure_future(run(provider=ScriptedProvider(delay=30), store=store))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RunCancelledError) as caught:
        await run(recording="rec-0", store=store)
    assert caught.value.result.status == "cancelled"
    assert names_of(caught.value.result.signals)[-2:] == ["harness:cancelled", "harness:end"]


async def test_a_replay_may_leave_out_state_and_input_and_takes_the_recorded_ones() -> None:
    """What is not given to a replay is taken from the recording; what is given is compared."""
    store = KeepingStore()
    recorded = await run(provider=ScriptedProvider(), input={"a": 1}, seed=5, store=store)
    replayed = await HARNESS.run_reactive(agents={"a": AGENT}, recording="rec-0", store=store)
    assert replayed.signals == recorded.signals
    with pytest.raises(ReplayDriftError, match=r"payload\.state\.question"):
        await run(recording="rec-0", store=store, state=State(question="what?"))
    with pytest.raises(ReplayDriftError, match=r"payload\.input"):
        await run(recording="rec-0", store=store, input=None)


async def test_an_incomplete_recording_replays_to_its_end_and_says_so_wherever_it_was_cut() -> None:
    """Cut after any signal: RecordingEndedError, with the state of there as an object of the state's type."""
    store = KeepingStore()
    recorded = await run(provider=ScriptedProvider(), store=store)
    answered = next(signal.seq for signal in recorded.signals if signal.name == "state:answer:changed")
    for length in range(len(recorded.signals)):
        cut = store.rewrite("rec-0", lambda signals, length=length: signals[:length])
        async with asyncio.timeout(5):
            with pytest.raises(RecordingEndedError) as caught:
                await run(recording=cut, store=store)
        error = caught.value
        assert (error.recording_id, error.seq) == (cut, length)
        if length == 0:
            assert error.state is None
        else:
            assert error.state == State(question="why?", answer="WHY?" if length > answered else "")


async def test_a_state_type_that_changed_since_is_told_by_its_field() -> None:
    """A recorded state that the type cannot read any more is an error that says which part."""

    @attrs.define
    class Other:
        question: int = 0
        answer: str = ""

    store = KeepingStore()
    await run(provider=ScriptedProvider(), store=store)
    harness = create_harness(Other)
    agent = harness.agent(prompt="{{ state.question }}", activate_on="harness:start", updates="answer")
    with pytest.raises(ReplayDriftError, match=r"question cannot be read: it must be an integer") as caught:
        await harness.run_reactive(agents={"a": agent}, recording="rec-0", store=store)
    report = caught.value.report
    assert (report.kind, report.subject, report.seq) == ("initial_state", "the initial state", 0)
    assert str(report).endswith(report.remedy)
    # With a state of one's own it is compared as ever.
    with pytest.raises(ReplayDriftError, match="the initial state is not the recorded one"):
        await harness.run_reactive(agents={"a": agent}, recording="rec-0", store=store, state=Other())


async def test_what_a_reducer_returned_by_mistake_is_told_with_advice() -> None:
    """A reducer that returns what a method of a list gives, not a state, fails its run; a note says what it may return."""
    agent = HARNESS.agent(prompt="x", activate_on="harness:start", emits="a:done")
    with pytest.raises(AgentError, match="it must be a State, got 'oops'") as caught:
        await HARNESS.run_reactive(
            agents={"a": agent}, provider=ScriptedProvider(), reducers={"a:done": lambda state, signal: "oops"}
        )
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__notes__ == [
        "A reducer changes the state it is given and returns None, or returns a new state."
    ]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"provider": ScriptedProvider}, "this is a class: make an object of it"),
        ({"provider": lambda request: "x"}, "FunctionProvider makes one of a function"),
        ({"store": pathlib.Path("recordings")}, "as in 'file:tests/fixtures'"),
        ({"run_store": pathlib.Path("runs.db")}, "as in 'sqlite:///runs.db'"),
        ({"run_store": 3}, "a RunStore, or the text that names one, got 3"),
    ],
)
async def test_what_is_no_back_end_is_refused_with_advice(options: Any, words: str) -> None:
    """A class, a function or a path in the place of a back end is refused, and the error says what was meant."""
    with pytest.raises(InvalidValueError, match=re.escape(words)):
        await run(**{"provider": ScriptedProvider(), **options})


async def test_back_ends_are_opened_by_name_and_closed_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store, run store or provider that is given as text is opened for the run, used, and closed after it."""
    plugins = pytest.importorskip("openharness.core.plugins")
    opened: list[str] = []
    closed: list[str] = []

    class Store(KeepingStore):
        async def close(self) -> None:
            closed.append("store")

    class Runs(InMemoryRunStore):
        async def close(self) -> None:
            closed.append("run store")
            await super().close()

    class Shouting(ScriptedProvider):
        async def close(self) -> None:
            closed.append("provider")

    kinds: dict[str, Any] = {"open_signal_store": Store, "open_run_store": Runs, "open_provider": Shouting}
    for name, kind in kinds.items():
        monkeypatch.setattr(plugins, name, lambda url, kind=kind: opened.append(url) or kind())
    result = await run(provider="claude", store="file:x", run_store="sqlite:///x")
    assert result.recording_id == "rec-0"
    assert sorted(opened) == ["claude", "file:x", "sqlite:///x"]
    assert sorted(closed) == ["provider", "run store", "store"]
    opened.clear()
    monkeypatch.setenv("OPENHARNESS_PROVIDER", "env")
    monkeypatch.setenv("OPENHARNESS_SIGNAL_STORE", "env-signals")
    monkeypatch.setenv("OPENHARNESS_RUN_STORE", "env-runs")
    await run()
    assert sorted(opened) == ["env", "env-runs", "env-signals"]


async def test_metrics_are_sums_over_agents_and_time_from_the_log() -> None:
    """The metrics of a run are the sums of its agents' figures; a replay has those of its recording."""
    store = KeepingStore()
    skipped = HARNESS.agent(prompt="x", activate_on="harness:start", when=lambda ctx: False)
    result = await HARNESS.run_reactive(
        agents={"a": AGENT, "b": AGENT, "c": skipped},
        state=State(),
        provider=ScriptedProvider(delay=0.003),
        store=store,
    )
    metrics = result.metrics
    assert (metrics.activations, metrics.skipped, metrics.provider_calls) == (2, 1, 2)
    assert set(metrics.agents) == {"a", "b", "c"}
    assert metrics.agents["c"].skipped == 1
    assert metrics.duration_ms == result.signals[-1].timestamp - result.signals[0].timestamp


async def test_a_result_is_frozen() -> None:
    """Nothing of a result can be set."""
    result = await run(provider=ScriptedProvider())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        result.state = State()  # type: ignore[misc]
    assert isinstance(result.signals, tuple)
