"""One event for each run: what it says, who gets it, and which runs are chosen."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporters_support import KINDS, run_told
from signals_support import signal

from openharness.core import InvalidValueError, RunStatus
from openharness.core.records import Signal, signal_id
from openharness.signals import WideEventReporter, report_recording

Events = list[dict[str, Any]]


async def events_of(kind: str, **options: Any) -> Events:
    """The events of one run, live."""
    events: Events = []
    with WideEventReporter(events.append, **options) as reporter:
        await run_told(reporter, kind=kind)
    return events


@pytest.mark.parametrize("kind", KINDS)
async def test_live_and_recorded_give_one_event(kind: str) -> None:
    """The event of a run is that of its recording, with the fixture, the tags and the metadata it was recorded with."""
    about: dict[str, Any] = {"tags": ["a", "b"], "metadata": {"user": {"id": 7}, "empty": {}}}
    live: Events = []
    stored: Events = []
    recording = await run_told(WideEventReporter(live.append, **about), kind=kind, **about)
    report_recording(recording, WideEventReporter(stored.append))
    (event,) = live
    own = {key: value for key, value in stored[0].items() if key in event}
    assert own == event
    assert len(stored) == 1
    assert (event["tags"], event["metadata.user.id"], event["metadata.empty"]) == (["a", "b"], 7, {})
    assert event["run_id"] == recording.info.run_id
    assert event["status"] == recording.info.outcome


async def test_what_it_says_of_a_run() -> None:
    """All facts stand side by side in one flat object of JSON."""
    recording = await run_told(fixture="story", mode="record")
    events: Events = []
    report_recording(recording, WideEventReporter(events.append))
    (event,) = events
    assert json.loads(json.dumps(event)) == event
    assert not any(isinstance(value, dict) for value in event.values())
    times = {key: event.pop(key) for key in list(event) if "_ms" in key or key.endswith("_at") or key == "run_id"}
    assert times["duration_ms"] == times["ended_at"] - times["started_at"]
    # What core counts besides stands there as well.
    assert {key: value for key, value in event.items() if key not in {"tool_calls", "tool_errors"}} == {
        "event": "openharness.run",
        "fixture": "story",
        "status": "completed",
        "terminated_early": False,
        "signals": len(recording.signals),
        "error_type": None,
        "error_message": None,
        "error_kind": None,
        "error_agent": None,
        "error_activation": None,
        "provider_error_kind": None,
        "activations": 2,
        "skipped": 1,
        "errors": 0,
        "provider_calls": 2,
        "retries": 0,
        "input_tokens": 10,
        "output_tokens": 8,
        "cached_tokens": 2,
        "cost": 0.25,
        "provider_failures": 0,
        "provider_cancelled": 0,
        "tools_asked": 2,
        "tools_failed": 0,
        "agents": ["critic", "helper", "teller"],
        "providers": ["storyteller"],
        "models": ["story-1"],
        "tools": ["search"],
        **{
            f"agent.{name}.{key}": value
            for name, values in {
                "teller": (1, 0, 1, 5, 4, 0.125),
                "helper": (1, 0, 1, 5, 4, 0.125),
                "critic": (0, 0, 0, 0, 0, 0.0),
            }.items()
            for key, value in zip(
                ("activations", "errors", "provider_calls", "input_tokens", "output_tokens", "cost"),
                values,
                strict=True,
            )
        },
        "sample_reason": "rate",
        "sample_rate": 1.0,
    }


async def test_what_it_says_of_a_failure() -> None:
    """A run that failed tells what failed, in which agent, and why."""
    (event,) = await events_of("failed", rate=0.0)
    assert (event["status"], event["error_type"], event["error_kind"]) == ("failed", "AgentError", "provider")
    assert (event["error_agent"], event["error_activation"]) == ("teller", "teller#1")
    assert "too busy" in event["error_message"]
    assert (event["provider_error_kind"], event["provider_failures"]) == ("overloaded", 1)
    assert (event["sample_reason"], event["sample_rate"]) == ("status", 1.0)


async def test_what_is_kept_at_any_rate() -> None:
    """At a rate of 0 there are still events of runs that did not complete, in which an agent failed, or were slow."""
    reasons = {kind: [event["sample_reason"] for event in await events_of(kind, rate=0.0)] for kind in KINDS}
    assert reasons == {
        "completed": [],
        "failed": ["status"],
        "timed_out": ["status"],
        "retried": [],
        "continued": ["error"],
    }
    assert [event["sample_reason"] for event in await events_of("completed", rate=0.0, slow_ms=0)] == ["slow"]
    assert [event["sample_reason"] for event in await events_of("completed", rate=1.0, slow_ms=60_000)] == ["rate"]


def told_of(run_id: str, *, rate: float) -> bool:
    """Whether a run of nothing is told of."""
    events: Events = []
    reporter = WideEventReporter(events.append, rate=rate)
    for seq, name in enumerate(["harness:start", "harness:end"]):
        payload = {"status": "completed", "error": None, "terminated_early": False} if seq else {}
        reporter(Signal(signal_id(run_id, seq), name=name, payload=payload, timestamp=0, seq=seq))
    return bool(events)


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_the_choice_depends_on_the_id_alone(run_id: str, one: float, other: float) -> None:
    """Every reporter chooses the same runs, and a higher rate chooses those of a lower one and more."""
    low, high = sorted((one, other))
    assert told_of(run_id, rate=low) == told_of(run_id, rate=low)
    assert told_of(run_id, rate=low) <= told_of(run_id, rate=high)
    assert told_of(run_id, rate=1.0)
    assert not told_of(run_id, rate=0.0)


def test_the_rate_is_the_share_of_runs() -> None:
    """Of a thousand runs about as many are chosen as the rate says: with these ids, always the same."""
    for rate in (0.1, 0.5, 0.9):
        chosen = sum(told_of(f"run_{number}", rate=rate) for number in range(1_000))
        assert abs(chosen - 1_000 * rate) < 50


async def test_where_events_go(caplog: pytest.LogCaptureFixture) -> None:
    """A function gets the object, a stream a line of JSON, and a logger the line and the object."""
    events: Events = []
    stream = io.StringIO()
    logger = logging.getLogger("story")
    with caplog.at_level(logging.INFO, "story"):
        await run_told(*map(WideEventReporter, (events.append, stream, logger)))
    assert stream.getvalue() == json.dumps(events[0]) + "\n"
    (record,) = [record for record in caplog.records if record.name == "story"]
    assert record.getMessage() == json.dumps(events[0])
    assert vars(record)["event"] == events[0]


async def test_runs_that_were_left_are_told_of() -> None:
    """Closing tells of runs whose end was not seen, as incomplete; so does beginning the same run again."""
    recording = await run_told()
    events: Events = []
    with WideEventReporter(events.append, rate=0.0) as reporter:
        for one in [*recording.signals[:4], *recording.signals[:3]]:
            reporter(one)
    assert [(event["status"], event["signals"]) for event in events] == [("incomplete", 4), ("incomplete", 3)]


@pytest.mark.parametrize("payload", [None, 3, [], {}, {"status": 7, "error": "text"}, {"status": None, "error": {}}])
def test_the_end_of_a_stranger(payload: object) -> None:
    """Whatever stands at the end of a log, there is an event, of a run that did not complete."""
    events: Events = []
    reporter = WideEventReporter(events.append)
    reporter(signal(0, "harness:end", payload))
    assert [event["status"] for event in events] == ["incomplete"]
    assert events[0]["status"] not in set(RunStatus)


def test_wrong_arguments() -> None:
    """A rate that is none, a time that is none, and a target that takes nothing are errors that say so."""
    for rate in (-0.1, 1.1, float("nan"), True, "1"):
        with pytest.raises(InvalidValueError, match="rate"):
            WideEventReporter(print, rate=rate)  # type: ignore[arg-type]
    for slow_ms in (-1, 0.5, True):
        with pytest.raises(InvalidValueError, match="slow_ms"):
            WideEventReporter(print, slow_ms=slow_ms)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="target"):
        WideEventReporter(3)  # type: ignore[arg-type]
