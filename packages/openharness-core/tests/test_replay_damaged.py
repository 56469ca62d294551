"""Recordings from strangers: whatever is in them, a replay ends with a named error and never hangs."""

from __future__ import annotations

import asyncio
import copy
import os
import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from harness_kit import KeepingStore, ScriptedProvider

from openharness.core import (
    CorruptRecordError,
    Harness,
    OpenHarnessError,
    ProviderError,
    RecordingEndedError,
    ReplayDriftError,
    RunCancelledError,
    SerializationError,
    Signal,
    SignalSource,
    create_harness,
)
from openharness.core.engine._flaws import flaw_of
from openharness.core.log import RunFold

if TYPE_CHECKING:
    from collections.abc import Coroutine

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
HARNESS: Harness[dict[str, Any]] = create_harness()


def failing(request: Any, context: Any) -> str:
    """Fail the first attempt of an agent."""
    if context.attempt == 0 and context.agent == "b":
        raise ProviderError("busy", retryable=True, retry_after=0)
    return "answer"


AGENTS = {
    "a": HARNESS.agent(prompt="{{ state.x }}", activate_on="harness:start", updates="x", emits="a:done"),
    "b": HARNESS.agent(prompt="b", activate_on="a:done", updates="y", retries=1, when=lambda ctx: ctx.state["x"] != ""),
}


async def recorded() -> KeepingStore:
    """A store with one recording of a run with everything in it."""
    store = KeepingStore()
    await HARNESS.run_reactive(
        agents=AGENTS, state={"x": "1", "y": ""}, provider=ScriptedProvider(failing), store=store
    )
    return store


async def replay(store: KeepingStore, recording_id: str) -> Any:
    """Replay, in bounded time."""
    async with asyncio.timeout(50):
        return await HARNESS.run_reactive(agents=AGENTS, recording=recording_id, store=store)


def changed(name: str, change: Any) -> Any:
    """A rewriting that changes the first signal of a name."""

    def rewrite(signals: list[Signal]) -> list[Signal]:
        index = next(index for index, signal in enumerate(signals) if signal.name == name)
        return [*signals[:index], change(signals[index]), *signals[index + 1 :]]

    return rewrite


def payload(**changes: Any) -> Any:
    """A change of some keys of a payload; those with the value `...` are removed."""

    def change(signal: Signal) -> Signal:
        new = {key: value for key, value in {**signal.payload, **changes}.items() if value is not ...}
        return attrs.evolve(signal, payload=new)

    return change


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("harness:start", payload(state=...), "payload.state is missing"),
        ("harness:start", payload(state=[]), "payload.state has the wrong type"),
        ("harness:start", payload(seed="x"), "payload.seed has the wrong type"),
        ("harness:start", payload(input=...), "payload.input is missing"),
        ("harness:start", payload(agents=...), "payload.agents is missing"),
        ("harness:start", lambda signal: attrs.evolve(signal, payload=None), "payload is no object"),
        ("harness:start", lambda signal: attrs.evolve(signal, name="harness:begin"), "begins with 'harness:start'"),
        ("text:delta", payload(text=5), "payload.text has the wrong type"),
        ("text:delta", payload(call=...), "payload.call is missing"),
        ("text:delta", lambda signal: attrs.evolve(signal, payload="text"), "payload is no object"),
        ("text:delta", lambda signal: attrs.evolve(signal, source=SignalSource()), "belongs to no activation"),
        ("provider:end", payload(output=...), "payload.output is missing"),
        ("provider:end", payload(output="text"), "payload.output is no object"),
        ("provider:end", payload(output={}), "payload.output.content is missing"),
        ("provider:end", payload(output={"content": 5}), "payload.output.content has the wrong type"),
        ("provider:end", payload(output={"content": "x", "usage": []}), ""),
        ("provider:end", payload(output={"content": "x", "usage": [1]}), "payload.output.usage is no object"),
        (
            "provider:end",
            payload(output={"content": "x", "usage": {"cost": "5"}}),
            "payload.output.usage.cost is no number",
        ),
        ("provider:error", payload(error=...), "payload.error is missing"),
        ("provider:error", payload(error={"kind": "x"}), "payload.error.message is missing"),
        (
            "provider:error",
            payload(error={"kind": "x", "message": "m", "retryable": 1}),
            "retryable has the wrong type",
        ),
        (
            "provider:error",
            payload(error={"kind": "x", "message": "m", "retryable": True, "retry_after": "5"}),
            "payload.error.retry_after is no number",
        ),
        ("provider:retry", payload(call=5), "payload.call has the wrong type"),
    ],
)
async def test_an_arrival_that_no_engine_wrote_is_named(name: str, change: Any, message: str) -> None:
    """A recorded arrival with missing or wrong parts is CorruptRecordError: which signal, and what is wrong with it."""
    store = await recorded()
    damaged = store.rewrite("rec-0", changed(name, change))
    with pytest.raises((CorruptRecordError, ReplayDriftError)) as caught:
        await replay(store, damaged)
    if message:
        assert isinstance(caught.value, CorruptRecordError)
        assert caught.value.record_id == damaged
        assert message in caught.value.reason
        assert "signal" in caught.value.reason


def test_a_time_that_is_none_is_a_flaw() -> None:
    """A store that does not look at what it reads may hand out anything as a time."""
    signal = Signal("r/1", name="say:it", timestamp="now", seq=1)  # type: ignore[arg-type]
    assert flaw_of(signal) == "its timestamp is no integer"


@pytest.mark.parametrize("name", ["harness:timeout"])
async def test_control_arrivals_are_looked_at_too(name: str) -> None:
    """A recorded timeout says how long it was."""
    store = await recorded()

    def insert(signals: list[Signal]) -> list[Signal]:
        end = signals[3]
        return [*signals[:3], attrs.evolve(end, name=name, payload={}, source=SignalSource())]

    with pytest.raises(CorruptRecordError, match="timeout is missing"):
        await replay(store, store.rewrite("rec-0", insert))


async def test_an_arrival_for_no_call_is_drift() -> None:
    """An arrival for which no call waits is told with its call, and never waited for."""
    store = await recorded()
    stray = store.rewrite("rec-0", changed("text:delta", payload(call="nobody#1/0/0")))
    with pytest.raises(
        ReplayDriftError, match=r"'text:delta' arrived for 'nobody#1/0/0', and no call of this run waits"
    ) as caught:
        await replay(store, stray)
    assert caught.value.report.recorded is not None
    retry = store.rewrite("rec-0", changed("provider:retry", payload(call="a#1/0/1")))
    with pytest.raises(ReplayDriftError, match="no call of this run waits"):
        await replay(store, retry)


async def test_arrivals_that_are_left_over_are_drift() -> None:
    """What is recorded after the end of the run is told."""
    store = await recorded()
    more = store.rewrite(
        "rec-0",
        lambda signals: [*signals, attrs.evolve(signals[-1], seq=len(signals), name="say:more", source=SignalSource())],
    )
    with pytest.raises(ReplayDriftError, match="'say:more' here, and the run caused nothing more"):
        await replay(store, more)
    twice = store.rewrite("rec-0", lambda signals: [*signals, attrs.evolve(signals[-1], seq=len(signals))])
    with pytest.raises(ReplayDriftError, match="'harness:end' here, and the run caused nothing more"):
        await replay(store, twice)


async def test_a_signal_that_is_missing_in_the_middle_is_drift() -> None:
    """A recording with a hole is told at the hole, whichever signal is missing."""
    store = await recorded()
    count = len(store.signals("rec-0"))
    for missing in range(1, count - 1):
        holed = store.rewrite("rec-0", lambda signals, missing=missing: [*signals[:missing], *signals[missing + 1 :]])
        with pytest.raises((ReplayDriftError, CorruptRecordError)) as caught:
            await replay(store, holed)
        if isinstance(caught.value, ReplayDriftError):
            assert missing - 1 <= caught.value.report.seq <= missing + 1


async def test_a_second_beginning_is_drift() -> None:
    """A recording that begins twice cannot be what a run wrote."""
    store = await recorded()
    again = store.rewrite("rec-0", lambda signals: [signals[0], *signals])
    with pytest.raises(ReplayDriftError):
        await replay(store, again)


GARBAGE = [None, True, 0, -1, 2**60, 1.5, "", "text", [], [1, "a"], {}, {"call": 1}, {"call": "a#1/0/0"}, {"path": []}]


def spoil(value: Any, chance: random.Random) -> Any:
    """Replace one part of a JSON value, at random."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        if chance.random() < 0.2:
            return {other: item for other, item in value.items() if other != key}
        return {**value, key: spoil(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        index = chance.randrange(len(value))
        return [*value[:index], spoil(value[index], chance), *value[index + 1 :]]
    return copy.deepcopy(chance.choice(GARBAGE))


def damage(signals: list[Signal], chance: random.Random) -> list[Signal]:
    """Damage a recording: parts of payloads, names, sources, order."""
    signals = list(signals)
    for _ in range(chance.randint(1, 3)):
        index = chance.randrange(len(signals))
        signal = signals[index]
        what = chance.randrange(7)
        if what < 3:
            signals[index] = attrs.evolve(signal, payload=spoil(signal.payload, chance))
        elif what == 3:
            signals[index] = attrs.evolve(signal, name=chance.choice(signals).name)
        elif what == 4:
            other = chance.choice(signals).source
            signals[index] = attrs.evolve(signal, source=chance.choice([SignalSource(), other]))
        elif what == 5:
            signals.insert(chance.randrange(len(signals)), chance.choice(signals))
        else:
            del signals[chance.randrange(len(signals))]
    return signals


async def error_of(work: Coroutine[Any, Any, Any]) -> OpenHarnessError | None:
    """What of ours some work raises, if it does; anything else comes out."""
    try:
        await work
    except (OpenHarnessError, RunCancelledError) as error:
        return error
    return None


@pytest.mark.parametrize(
    "payload", [None, "end", [], {}, {"error": "x"}, {"error": {}}, {"error": {"message": 5}}], ids=repr
)
async def test_an_end_that_is_damaged_is_drift(payload: object) -> None:
    """Whatever stands where the end of a run should, the replay says that it is not the end which the run came to."""
    store = await recorded()
    bad = store.rewrite("rec-0", lambda signals: [*signals[:-1], attrs.evolve(signals[-1], payload=payload)])
    assert isinstance(await error_of(replay(store, bad)), ReplayDriftError)


@pytest.mark.slow
@pytest.mark.timeout(600 if LONG else 240)
async def test_whatever_is_damaged_the_error_is_one_of_ours() -> None:
    """Random damage of every kind ends in an OpenHarnessError or changes nothing that matters; nothing hangs."""
    store = await recorded()
    good = store.signals("rec-0")
    chance = random.Random(7)
    errors: set[str] = set()
    for _ in range(20_000 if LONG else 1_500):
        signals = damage(good, chance)
        bad = store.rewrite("rec-0", lambda _, signals=signals: signals)
        error = await error_of(replay(store, bad))
        errors.add(type(error).__name__)
        assert len(str(error)) < 20_000
        del store.recordings[bad]
    assert {"CorruptRecordError", "ReplayDriftError", "RecordingEndedError"} <= errors


@pytest.mark.slow
async def test_the_fold_of_a_damaged_log_fails_by_name() -> None:
    """Reading the state from a damaged log raises SerializationError that names the signal, or reads it."""
    store = await recorded()
    good = store.signals("rec-0")
    chance = random.Random(8)
    refused = 0
    for _ in range(3_000):
        signals = damage(good, chance)

        async def fold(signals: list[Signal] = signals) -> None:
            RunFold.of(signals)

        error = await error_of(fold())
        if error is not None:
            refused += 1
            assert isinstance(error, SerializationError)
            assert error.path.startswith(("signal", "state"))
    assert refused > 100


async def test_a_recording_that_ends_in_the_middle_of_a_step_is_not_drift() -> None:
    """A log that was cut between the signals of one step says that it ended, with the state of there."""
    store = await recorded()
    names = [signal.name for signal in store.signals("rec-0")]
    middle = names.index("text:complete") + 1
    with pytest.raises(RecordingEndedError) as caught:
        await replay(store, store.rewrite("rec-0", lambda signals: signals[:middle]))
    assert caught.value.seq == middle
    assert caught.value.state == {"x": "1", "y": ""}
