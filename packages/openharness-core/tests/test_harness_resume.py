"""Runs that go on where a recording ends, and runs that begin in the middle of one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from generated_runs import RunSpec, State, build_continuation, live, make_spec
from harness_kit import KeepingStore, RandomProvider
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    AgentError,
    Completed,
    CorruptRecordError,
    DefinitionError,
    FixtureNotFoundError,
    HarnessTimeoutError,
    InMemoryRunStore,
    InvalidValueError,
    Provider,
    ProviderError,
    ProviderOutput,
    RecorderError,
    RecordingConflictError,
    RecordingFinalizedError,
    ReplayDriftError,
    RunStatus,
    SerializationError,
    Signal,
    TextDelta,
    UnknownNameError,
    create_harness,
)
from openharness.core.harness._succession import succeed
from openharness.core.log import RunFold, is_arrival

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from openharness.core import (
        Context,
        LogEntry,
        ProviderEvent,
        ProviderRequest,
        RunContext,
        RunResult,
        SignalStore,
    )


@attrs.define
class Report:
    """The state of the small runs here."""

    topic: str = "rain"
    outline: str = ""
    text: str = ""
    seen: list[str] = attrs.field(factory=list)


class Writer(Provider):
    """Answers with the request in capitals, and notes which calls were made."""

    type = "writer"

    def __init__(self, *, fails: str = "", waits: str = "") -> None:
        self.calls: list[str] = []
        self.fails = fails
        self.waits = waits
        self.waiting = asyncio.Event()

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer, fail, or wait for ever."""
        self.calls.append(context.call)
        text = str(request.messages[-1].content).upper()
        yield TextDelta(text)
        if context.agent == self.fails:
            raise ProviderError("the model is away", kind="overloaded")
        if context.agent == self.waits:
            self.waiting.set()
            await asyncio.sleep(3600)
        yield Completed(ProviderOutput(content=text))


def note(state: Report, signal: Signal) -> None:
    """Remember the order of what was done."""
    state.seen.append(signal.name)


harness = create_harness(Report)
OUTLINER = harness.agent(
    prompt="Outline {{ state.topic }}", activate_on="harness:start", emits="outline:done", updates="outline"
)
AUTHOR = harness.agent(
    prompt="Write {{ state.outline }}", activate_on="outline:done", emits="text2:done", updates="text"
)
AGENTS = {"outliner": OUTLINER, "author": AUTHOR}
OPTIONS: dict[str, Any] = {"agents": AGENTS, "reducers": {"*:done": note}}


async def failed_run(store: SignalStore, **options: Any) -> AgentError:
    """A run whose second agent fails."""
    with pytest.raises(AgentError) as caught:
        await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(fails="author"), store=store, **options)
    return caught.value


async def replay(store: SignalStore, result: RunResult[Report]) -> None:
    """What was recorded of a run replays signal for signal."""
    replayed = await harness.run_reactive(**OPTIONS, recording=result.recording_id, store=store)
    assert replayed.signals == result.signals
    assert replayed.state == result.state


async def test_a_failed_run_goes_on_without_repeating_what_had_ended() -> None:
    """Resuming sends only the request that failed, in a recording of its own, and the record of the run is completed."""
    store, history, provider = KeepingStore(), InMemoryRunStore(), Writer()
    error = await failed_run(store, run_store=history, metadata={"team": "a"})
    result = await harness.resume(str(error.recording_id), **OPTIONS, provider=provider, store=store, run_store=history)
    assert provider.calls == ["author#1/0/0"]
    assert result.state == Report("rain", "OUTLINE RAIN", "WRITE OUTLINE RAIN", ["outline:done", "text2:done"])
    assert result.run_id == error.run_id
    (info,) = [info for info in await store.list_recordings() if info.id == result.recording_id]
    assert info.resumed_from == error.recording_id
    record = await history.get_run(str(error.run_id))
    assert record is not None
    assert (record.status, record.recording_id) == (RunStatus.COMPLETED, result.recording_id)
    assert record.metadata == {"team": "a"}
    await replay(store, result)


@pytest.mark.parametrize("status", ["timed_out", "cancelled"])
async def test_a_stopped_run_starts_its_calls_anew(status: str) -> None:
    """A call that was stopped is made again under its own name, and the text it had begun with does not count twice."""
    store, provider = KeepingStore(), Writer()
    timeout = 0.2 if status == "timed_out" else None
    first = Writer(waits="author")
    task = asyncio.create_task(
        harness.run_reactive(**OPTIONS, state=Report(), provider=first, store=store, timeout=timeout)
    )
    if timeout is None:
        await first.waiting.wait()
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError, HarnessTimeoutError):
        await task
    (recording,) = await store.list_recordings()
    assert recording.outcome == status
    result = await harness.resume(recording.id, **OPTIONS, provider=provider, store=store)
    assert provider.calls == ["author#1/0/0"]
    assert result.state.text == "WRITE OUTLINE RAIN"
    assert [signal.name for signal in result.signals].count("provider:restart") == 1
    await replay(store, result)


async def test_a_mended_guard_goes_on_in_the_middle_of_its_step() -> None:
    """What failed in our own code is run again; the answer that led there is not asked for again."""
    store, provider = KeepingStore(), Writer()
    broken = True

    def guard(ctx: Context[Report]) -> bool:
        if broken:
            message = "not yet mended"
            raise RuntimeError(message)
        return ctx.state.outline != ""

    author = harness.agent(prompt="Write {{ state.outline }}", activate_on="outline:done", updates="text", when=guard)
    options: dict[str, Any] = {"agents": {"outliner": OUTLINER, "author": author}, "store": store}
    with pytest.raises(AgentError) as caught:
        await harness.run_reactive(**options, state=Report(), provider=Writer())
    broken = False
    result = await harness.resume(str(caught.value.recording_id), **options, provider=provider)
    assert provider.calls == ["author#1/0/0"]
    assert result.state.text == "WRITE OUTLINE RAIN"
    replayed = await harness.run_reactive(**options, recording=result.recording_id)
    assert replayed.signals == result.signals


async def test_changed_code_is_drift_unless_the_log_is_taken_as_it_is() -> None:
    """Resuming runs the recorded part again and compares it; ``rebuild="fold"`` accepts other prompts."""
    store = KeepingStore()
    error = await failed_run(store)
    changed = harness.agent(
        prompt="Sketch {{ state.topic }}", activate_on="harness:start", emits="outline:done", updates="outline"
    )
    options = {**OPTIONS, "agents": {"outliner": changed, "author": AUTHOR}, "store": store}
    with pytest.raises(ReplayDriftError):
        await harness.resume(str(error.recording_id), **options, provider=Writer())
    provider = Writer()
    result = await harness.resume(str(error.recording_id), **options, provider=provider, rebuild="fold")
    assert provider.calls == ["author#1/0/0"]
    assert result.state.text == "WRITE OUTLINE RAIN"
    await replay(store, result)


async def test_two_who_resume_one_recording_do_not_both_go_on() -> None:
    """The second one is stopped by the store before it has called anybody."""
    store = KeepingStore()
    error = await failed_run(store)
    signals = store.signals(str(error.recording_id))
    cut = next(signal.seq for signal in signals if signal.name == "provider:error")
    begun = await store.cut(str(error.recording_id), cut)
    first, second = Writer(), Writer()
    outcomes = await asyncio.gather(
        *(harness.resume(begun, **OPTIONS, provider=provider, store=Strict(store)) for provider in (first, second)),
        return_exceptions=True,
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(failures) == 1
    assert isinstance(failures[0], RecorderError)
    assert isinstance(failures[0].__cause__, RecordingConflictError)
    assert sorted([first.calls, second.calls]) == [[], ["author#1/0/0"]]


async def test_a_run_goes_on_once_from_a_recording_that_is_finalized() -> None:
    """Who resumes again is told which recording goes on with it; nobody is called, and nothing is left behind."""
    store = KeepingStore()
    error = await failed_run(store)
    result = await harness.resume(str(error.recording_id), **OPTIONS, provider=Writer(), store=store)
    late = Writer()
    with pytest.raises(RecorderError, match=f"'{result.recording_id}' \\(completed\\) goes on with it") as caught:
        await harness.resume(str(error.recording_id), **OPTIONS, provider=late, store=store)
    assert isinstance(caught.value.__cause__, RecordingConflictError)
    assert (caught.value.run_id, caught.value.recording_id) == (result.run_id, result.recording_id)
    assert late.calls == []
    assert sorted(store.recordings) == sorted([str(error.recording_id), str(result.recording_id)])


async def test_of_two_who_resume_a_finalized_recording_at_once_one_calls() -> None:
    """A failed run that two resume at the same moment, as two clicks on one button do, goes on once."""
    store = KeepingStore()
    error = await failed_run(store)
    writers = Writer(), Writer()
    outcomes = await asyncio.gather(
        *(harness.resume(str(error.recording_id), **OPTIONS, provider=writer, store=store) for writer in writers),
        return_exceptions=True,
    )
    [failure] = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(failure, RecorderError)
    assert sorted(writer.calls for writer in writers) == [[], ["author#1/0/0"]]


async def stopped_successor(store: KeepingStore, origin: str, length: int | None = None) -> str:
    """What a process leaves that dies between making the recording that goes on and going on."""
    signals = store.signals(origin)
    cut = next(signal.seq for signal in reversed(signals) if signal.name == "provider:error")
    copy = await store.create_recording(run_id=signals[0].id.removesuffix("/0"), resumed_from=origin)
    await store.append(copy, signals[: cut if length is None else length])
    return copy


@pytest.mark.parametrize("cut", [None, 0, 5])
async def test_what_was_to_go_on_and_never_began_leads_back_to_what_it_came_from(cut: int | None) -> None:
    """Who resumes the newest recording of a run may hit one that never began: the run goes on from the one before."""
    store = KeepingStore()
    origin = str((await failed_run(store)).recording_id)
    dead = await stopped_successor(store, origin, cut)
    writer = Writer()
    result = await harness.resume(dead, **OPTIONS, provider=writer, store=store)
    assert writer.calls == ["author#1/0/0"]
    assert store.recordings[str(result.recording_id)].info.resumed_from == origin
    assert store.recordings[dead].info.outcome == "cancelled"
    late = Writer()
    for recording in (origin, dead):
        with pytest.raises(RecorderError, match=f"'{result.recording_id}' .completed. goes on with it"):
            await harness.resume(recording, **OPTIONS, provider=late, store=store)
    assert late.calls == []
    await replay(store, result)


async def test_a_recording_whose_origin_is_gone_is_resumed_from_itself() -> None:
    """Where the recording before was deleted there is nothing to lead back to."""
    store = KeepingStore()
    origin = str((await failed_run(store)).recording_id)
    dead = await stopped_successor(store, origin)
    await store.delete_recording(origin)
    result = await harness.resume(dead, **OPTIONS, provider=Writer(), store=store)
    assert (result.recording_id, result.state.text) == (dead, "WRITE OUTLINE RAIN")


async def test_a_run_that_was_resumed_before_goes_on_once_as_well() -> None:
    """What a recording tells of earlier resumptions is not taken for a beginning of those that go on with it."""
    store = KeepingStore()
    error = await failed_run(store)
    cut = next(signal.seq for signal in store.signals(str(error.recording_id)) if signal.name == "provider:error")
    killed = await store.cut(str(error.recording_id), cut)
    with pytest.raises(AgentError):
        await harness.resume(killed, **OPTIONS, provider=Writer(fails="author"), store=store)
    assert "harness:resumed" in [signal.name for signal in store.signals(killed)]
    await stopped_successor(store, killed)
    writers = Writer(), Writer()
    outcomes = await asyncio.gather(
        *(harness.resume(killed, **OPTIONS, provider=writer, store=store) for writer in writers),
        return_exceptions=True,
    )
    assert [isinstance(outcome, BaseException) for outcome in outcomes].count(True) == 1
    assert sorted(len(writer.calls) for writer in writers) == [0, 1]


class Stepwise(KeepingStore):
    """Lets each operation take as many turns of the loop as it is told, and gives the ids that it is told."""

    def __init__(self, turns: Iterable[int], ids: Iterable[int]) -> None:
        super().__init__()
        self.turns = itertools.chain(turns, itertools.repeat(0))
        self.ids = iter(ids)

    async def wait(self) -> None:
        """Let others go first."""
        for _ in range(next(self.turns)):
            await asyncio.sleep(0)

    async def create_recording(self, **options: Any) -> str:
        """Create a recording whose id says nothing of when that was, as where clocks differ."""
        await self.wait()
        made = await super().create_recording(**options)
        recording_id = f"rec-{next(self.ids):03}"
        kept = self.recordings.pop(made)
        kept.info = attrs.evolve(kept.info, id=recording_id)
        self.recordings[recording_id] = kept
        return recording_id

    async def list_recordings(self, query: Any = None) -> Any:
        """List them."""
        await self.wait()
        return await super().list_recordings(query)

    async def iter_signals(self, recording_id: str, **options: Any) -> AsyncGenerator[Signal, None]:
        """Read one."""
        await self.wait()
        async for signal in super().iter_signals(recording_id, **options):
            yield signal

    async def finalize(self, recording_id: str, **options: Any) -> None:
        """Finalize one."""
        await self.wait()
        await super().finalize(recording_id, **options)

    async def delete_recording(self, recording_id: str) -> None:
        """Delete one."""
        await self.wait()
        await super().delete_recording(recording_id)


async def begin_succession(store: Stepwise) -> str | None:
    """Do what a process does that resumes, up to the first signal of its own; return None where it is stopped."""
    create = functools.partial(store.create_recording, run_id="run", resumed_from="origin")
    try:
        own = await succeed(store, "origin", run_id="run", seq=0, create=create)
        await store.wait()
        payload = {"resumed_from": "origin", "recorded": 0}
        await store.append(own, [Signal("run/0", name="harness:resumed", payload=payload, timestamp=0, seq=0)])
    except (RecordingConflictError, RecordingFinalizedError):
        return None
    return own


@given(turns=st.lists(st.integers(0, 6), max_size=40), ids=st.permutations(range(4)), dead=st.booleans())
def test_whatever_the_order_of_their_steps_at_most_one_successor_begins(
    turns: list[int], ids: list[int], dead: bool
) -> None:
    """However their steps interleave and whatever their ids: two never begin, and one who comes later always can."""

    async def race() -> None:
        store = Stepwise(turns, ids)
        if dead:
            await store.create_recording(run_id="run", resumed_from="origin")
        begun = [own for own in await asyncio.gather(*map(begin_succession, [store] * 2)) if own is not None]
        assert len(begun) <= 1
        later = await begin_succession(store)
        assert (later is None) == bool(begun)

    asyncio.run(race())


async def test_of_successors_that_go_in_step_one_begins() -> None:
    """Those that look, create and look again at the same moments do not all stop each other."""
    store = Stepwise(itertools.repeat(1), range(3))
    begun = await asyncio.gather(*map(begin_succession, [store] * 3))
    assert [own for own in begun if own is not None] == ["rec-000"]


class Strict(KeepingStore):
    """Shares the recordings of another store, and refuses what is there already with other content."""

    def __init__(self, other: KeepingStore) -> None:
        super().__init__()
        self.recordings = other.recordings

    async def append(self, recording_id: str, entries: Any) -> None:
        """Append, unless somebody else did."""
        lines = self.recordings[recording_id].lines
        signals: list[LogEntry] = [entry for entry in entries if hasattr(entry, "seq")]
        for signal in signals:
            seq: int = signal.seq  # type: ignore[union-attr]
            if seq < len(lines):
                raise RecordingConflictError(recording_id, seq=seq, reason="it is there already")
        await super().append(recording_id, entries)


async def test_what_cannot_be_resumed_is_said() -> None:
    """A completed run, an empty recording and an unknown one are refused before anything is called."""
    store, provider = KeepingStore(), Writer()
    done = await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(), store=store)
    empty = await store.create_recording(run_id="run-1")
    for recording, kind in ((done.recording_id, InvalidValueError), (empty, InvalidValueError)):
        with pytest.raises(kind):
            await harness.resume(str(recording), **OPTIONS, provider=provider, store=store)
    with pytest.raises(FixtureNotFoundError):
        await harness.resume("nothing", **OPTIONS, provider=provider, store=store)
    with pytest.raises(InvalidValueError):
        await harness.resume(empty, **OPTIONS, provider=provider, store=store, rebuild="guess")  # type: ignore[arg-type]
    assert provider.calls == []


async def test_a_fork_shares_the_beginning_and_goes_its_own_way() -> None:
    """A fork takes over the steps up to a signal, changes the state, and asks its own agents for the rest."""
    store, history, provider = KeepingStore(), InMemoryRunStore(), Writer()
    origin = await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(), store=store)
    at = next(signal.seq for signal in origin.signals if signal.name == "outline:done")
    author = harness.agent(
        prompt="Sing {{ state.outline }} of {{ state.topic }}", activate_on="outline:done", updates="text"
    )
    options: dict[str, Any] = {**OPTIONS, "agents": {"outliner": OUTLINER, "author": author}, "store": store}
    fork = await harness.fork(
        str(origin.recording_id), **options, provider=provider, run_store=history, at=at, state={"topic": "snow"}
    )
    assert provider.calls == ["author#1/0/0"]
    assert fork.state == Report("snow", "OUTLINE RAIN", "SING OUTLINE RAIN OF SNOW", ["outline:done"])
    assert fork.run_id != origin.run_id
    record = await history.get_run(fork.run_id)
    assert record is not None
    assert record.parent_run_id == origin.run_id
    kept = [(signal.name, signal.payload) for signal in fork.signals[1 : at + 1]]
    assert kept == [(signal.name, signal.payload) for signal in origin.signals[1 : at + 1]]
    assert all(signal.id == f"{fork.run_id}/{signal.seq}" for signal in fork.signals)
    replayed = await harness.run_reactive(**options, recording=fork.recording_id)
    assert (replayed.signals, replayed.state) == (fork.signals, fork.state)
    assert origin.state == Report("rain", "OUTLINE RAIN", "WRITE OUTLINE RAIN", ["outline:done", "text2:done"])


async def test_what_cannot_be_forked_is_said() -> None:
    """A signal that is not there, a field that does not exist, and an agent that is at work and missing are errors."""
    store = KeepingStore()
    origin = await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(), store=store)
    recording = str(origin.recording_id)
    for at in (-1, 10_000):
        with pytest.raises(InvalidValueError, match="at must be"):
            await harness.fork(recording, **OPTIONS, provider=Writer(), store=store, at=at)
    with pytest.raises(UnknownNameError, match="topics"):
        await harness.fork(recording, **OPTIONS, provider=Writer(), store=store, at=3, state={"topics": "snow"})
    with pytest.raises(UnknownNameError, match="outliner"):
        await harness.fork(
            recording,
            agents={"author": harness.agent(prompt="x", activate_on="harness:start")},
            store=store,
            provider=Writer(),
            at=2,
        )


async def test_every_signal_can_be_forked_at() -> None:
    """A fork at any signal begins with the state that the fold has at the end of that signal's step, and replays."""
    store = KeepingStore()
    origin = await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(), store=store)
    for at in range(len(origin.signals)):
        fork = await harness.fork(str(origin.recording_id), **OPTIONS, provider=Writer(), store=store, at=at)
        assert fork.state.text == "WRITE OUTLINE RAIN"
        forked = next(signal for signal in fork.signals if signal.name == "harness:forked")
        shared = RunFold.of(origin.signals[: forked.seq])
        assert RunFold.of(fork.signals[: forked.seq]).state == shared.state
        assert forked.seq > at or origin.signals[at].name == "harness:end"
        await replay(store, fork)


async def resumed(
    spec: RunSpec, store: KeepingStore, recording: str, **options: Any
) -> tuple[RunResult[State], set[str]]:
    """Resume a generated run, and return the result and the calls that were made."""
    own, keywords = build_continuation(spec)
    calls: set[str] = set()

    class Counting(RandomProvider):
        async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
            """Note the call."""
            calls.add(context.call)
            async for event in super().run(request, context):
                yield event

    result = await own.resume(recording, **keywords, provider=Counting(random.Random(0)), store=store, **options)
    return result, calls


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40 if os.environ.get("OPENHARNESS_LONG") == "1" else 20))
async def test_generated_runs_resume_from_any_step_and_replay(seed: int) -> None:
    """Cut after any step, a run goes on without a call that had ended, and what it then recorded replays."""
    spec = make_spec(seed, most=12, tools=True)
    store = KeepingStore()
    whole = await live(spec, store=store)
    if whole.status != RunStatus.COMPLETED:
        pytest.skip("this one failed by itself")
    steps = [signal.seq for signal in whole.signals if is_arrival(signal) and signal.seq > 0]
    for cut in random.Random(seed).sample(steps, min(4, len(steps))):
        recording = await store.cut(str(whole.recording_id), cut)
        result, calls = await resumed(spec, store, recording)
        ended = {
            signal.payload["call"]
            for signal in whole.signals[:cut]
            if signal.name in ("provider:end", "provider:error")
        }
        assert not calls & ended
        assert result.signals[:cut] == whole.signals[:cut]
        assert result.signals[cut].name == "harness:resumed"
        assert result.recording_id == recording
        own, keywords = build_continuation(spec)
        replayed = await own.run_reactive(**keywords, recording=recording, store=store)
        assert replayed.signals == result.signals
        assert replayed.state == result.state


async def started_run(store: SignalStore, decision: str) -> RunResult[Report]:
    """A run that asks a person, and is told a decision."""
    async with harness.start(**APPROVED, state=Report(), provider=Writer(), store=store) as run:
        await run.wait_for("outline:done")
        await run.emit("person:decided", {"text": decision})
        await run.finish()
        return await run.result()


APPROVED: dict[str, Any] = {
    "agents": {
        "outliner": OUTLINER,
        "author": harness.agent(
            prompt="Write: {{ signal.payload.text }}", activate_on="person:decided", updates="text"
        ),
    }
}


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_a_run_that_waited_for_a_person_goes_on_with_the_answer(rebuild: Any) -> None:
    """A started run whose process died is resumed with the signals it waited for, ends, and replays."""
    store, provider = KeepingStore(), Writer()
    whole = await started_run(store, "shorter")
    decided = next(signal.seq for signal in whole.signals if signal.name == "person:decided")
    recording = await store.cut(str(whole.recording_id), decided)
    result = await harness.resume(
        recording,
        **APPROVED,
        provider=provider,
        store=store,
        rebuild=rebuild,
        signals=[("person:decided", {"text": "longer"})],
    )
    assert provider.calls == ["author#1/0/0"]
    assert result.state.text == "WRITE: LONGER"
    assert [signal.name for signal in result.signals if signal.source.parent is None] == [
        "harness:start",
        "harness:resumed",
        "person:decided",
        "harness:finished",
    ]
    replayed = await harness.run_reactive(**APPROVED, recording=result.recording_id, store=store)
    assert (replayed.signals, replayed.state) == (result.signals, result.state)


@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_fork_of_a_run_that_waited_for_a_person(point: str) -> None:
    """A fork of a started run takes other signals from outside at its beginning, ends, and replays."""
    store, provider = KeepingStore(), Writer()
    origin = await started_run(store, "shorter")
    last = origin.signals[-1].seq
    at = last if point == "after" else next(s.seq for s in origin.signals if s.name == "outline:done")
    fork = await harness.fork(
        str(origin.recording_id),
        **APPROVED,
        provider=provider,
        store=store,
        at=at,
        signals=[("person:decided", {"text": "not at all"})],
    )
    number = 2 if point == "after" else 1
    assert provider.calls == [f"author#{number}/0/0"]
    assert fork.state.text == "WRITE: NOT AT ALL"
    assert [signal.name for signal in fork.signals].count("harness:finished") == 1
    replayed = await harness.run_reactive(**APPROVED, recording=fork.recording_id, store=store)
    assert (replayed.signals, replayed.state) == (fork.signals, fork.state)


class SmallStore(KeepingStore):
    """Says that it takes payloads of up to 100,000 bytes."""

    @property
    def max_bytes(self) -> int:
        """100,000."""
        return 100_000


async def test_signals_for_a_run_that_goes_on_are_checked() -> None:
    """A signal in the name of the harness, or one that cannot be recorded, is refused before anything is called or written."""
    store, provider = SmallStore(), Writer()
    whole = await started_run(store, "shorter")
    options: dict[str, Any] = {**APPROVED, "provider": provider, "store": store}
    for signals, kind in (
        ([("agent:done", None)], DefinitionError),
        ([("person:decided", {1: 2})], SerializationError),
        ([("person:decided", "x" * 100_000)], SerializationError),
        (["person:decided"], InvalidValueError),
    ):
        recording = await store.cut(str(whole.recording_id), 3)
        kept = list(store.recordings)
        for go_on in (harness.resume, harness.fork):
            with pytest.raises(kind):
                await go_on(
                    recording if go_on == harness.resume else str(whole.recording_id), **options, signals=signals
                )
        assert (list(store.recordings), len(store.signals(recording))) == (kept, 3)
    assert provider.calls == []


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_a_run_that_completed_and_was_not_finalized_is_brought_to_its_end(rebuild: Any) -> None:
    """Killed between its last signal and the end of its recording, a run is completed without calling anybody."""
    store, history, provider = KeepingStore(), InMemoryRunStore(), Writer()
    whole = await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(), store=store)
    recording = await store.cut(str(whole.recording_id), len(whole.signals))
    kept = store.signals(recording)
    with pytest.raises(InvalidValueError, match="no signal can reach it") as refused:
        await harness.resume(
            recording,
            **OPTIONS,
            provider=provider,
            store=store,
            rebuild=rebuild,
            signals=[("person:decided", "a secret")],
        )
    assert (refused.value.name, refused.value.value) == ("signals", ["person:decided"])
    assert (store.signals(recording), store.recordings[recording].info.outcome) == (kept, "incomplete")
    result = await harness.resume(
        recording, **OPTIONS, provider=provider, store=store, run_store=history, rebuild=rebuild
    )
    assert provider.calls == []
    assert (result.state, result.status) == (whole.state, RunStatus.COMPLETED)
    assert [signal.name for signal in result.signals] == [signal.name for signal in whole.signals]
    assert (result.recording_id == recording) == (rebuild == "replay")
    info = store.recordings[str(result.recording_id)].info
    assert info.outcome == "completed"
    record = await history.get_run(result.run_id)
    assert record is not None
    assert (record.status, record.recording_id) == (RunStatus.COMPLETED, result.recording_id)
    await replay(store, result)


async def test_a_run_that_failed_and_was_not_finalized_goes_on_elsewhere() -> None:
    """Its failure stands in the recording already, so that the run goes on in a recording of its own."""
    store, provider = KeepingStore(), Writer()
    error = await failed_run(store)
    signals = store.signals(str(error.recording_id))
    recording = await store.cut(str(error.recording_id), len(signals))
    result = await harness.resume(recording, **OPTIONS, provider=provider, store=store)
    assert provider.calls == ["author#1/0/0"]
    assert result.recording_id != recording
    assert store.recordings[str(result.recording_id)].info.resumed_from == recording
    assert store.signals(recording) == signals
    await replay(store, result)


def without_cause(signals: list[Signal]) -> list[Signal]:
    """A log whose end was caused by what is not before it."""
    end = signals[-1]
    return [*signals[:-1], attrs.evolve(end, source=attrs.evolve(end.source, parent="x/99"))]


def without_state(signals: list[Signal]) -> list[Signal]:
    """A log that begins with no state."""
    return [attrs.evolve(signals[0], payload={**signals[0].payload, "state": None}), *signals[1:]]


@pytest.mark.parametrize(
    "damage, said", [(without_cause, "nothing before it caused it"), (without_state, "payload.state")]
)
async def test_a_log_of_a_stranger_is_said_to_be_damaged(
    damage: Callable[[list[Signal]], list[Signal]], said: str
) -> None:
    """What no engine writes is a `CorruptRecordError` that names the signal, before anything is called."""
    store, provider = KeepingStore(), Writer()
    error = await failed_run(store)
    recording = store.rewrite(str(error.recording_id), damage)
    with pytest.raises(CorruptRecordError, match=said):
        await harness.resume(recording, **OPTIONS, provider=provider, store=store)
    if damage is without_state:
        with pytest.raises(CorruptRecordError, match=said):
            await harness.fork(recording, **OPTIONS, provider=provider, store=store)
    assert provider.calls == []


async def test_an_imported_recording_can_be_forked() -> None:
    """A recording whose signals have the id of another run is found by its own id."""
    store = KeepingStore()
    origin = await harness.run_reactive(**OPTIONS, state=Report(), provider=Writer(), store=store)
    kept = store.recordings[str(origin.recording_id)]
    kept.info = attrs.evolve(kept.info, run_id="imported")
    fork = await harness.fork(str(origin.recording_id), **OPTIONS, provider=Writer(), store=store, at=0)
    assert fork.state == origin.state
