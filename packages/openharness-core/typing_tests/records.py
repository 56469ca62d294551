"""What type checkers must make of the records, as a user writes them. Checked by mypy and pyright, never run."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal, assert_type

import attrs

from openharness.core.records import (
    Blob,
    Checkpoint,
    Outcome,
    RecordingInfo,
    RecordingQuery,
    RunQuery,
    RunRecord,
    RunStatus,
    Signal,
    SignalSource,
    new_id,
    now_ms,
    signal_id,
    time_ms,
)
from openharness.core.values import JSONValue


@attrs.define
class State:
    """A state of a user's."""

    text: str = ""


NOON = datetime.datetime(2025, 1, 1, 12, tzinfo=datetime.UTC)

least = RunRecord("run_1", created_at=1, state=None)
most = RunRecord(
    "run_1",
    created_at=NOON,
    completed_at=NOON,
    state=State(),
    metadata={"user": "ada", "tries": 3},
    status="failed",
    error="It failed.",
    recording_id="rec_1",
    parent_run_id="run_0",
)
RunRecord("run_1", created_at=now_ms(), completed_at=now_ms(), state={}, status=RunStatus.COMPLETED, metadata=None)
RunRecord("run_1", created_at=1, completed_at=None, state={}, status=None, error=None, recording_id=None)
RunRecord(id="run_1", created_at=1, state={})

assert_type(least.id, str)
assert_type(least.created_at, int)
assert_type(least.completed_at, int | None)
assert_type(least.state, Any)
assert_type(least.metadata, Mapping[str, JSONValue] | None)
assert_type(least.status, RunStatus)
assert_type(least.error, str | None)
assert_type(least.recording_id, str | None)
assert_type(least.parent_run_id, str | None)
assert_type(least.cursor, str)
assert_type(least.state_as(State), State)
assert_type(least.state_as(list[int]), list[int])
assert_type(attrs.evolve(least, status="failed"), RunRecord)

RunQuery()
RunQuery(status="failed")
RunQuery(status=RunStatus.FAILED)
RunQuery(status=["failed", RunStatus.CANCELLED])
RunQuery(status={RunStatus.FAILED})
RunQuery(created_after=NOON, created_before=5, metadata={"a": 1, "b": None}, id_prefix="run_")
query = RunQuery(limit=10, offset=5, cursor=least.cursor, order="oldest", include_state=False)
assert_type(query.status, frozenset[RunStatus] | None)
assert_type(query.created_after, int | None)
assert_type(query.created_before, int | None)
assert_type(query.metadata, Mapping[str, JSONValue])
assert_type(query.limit, int | None)
assert_type(query.offset, int)
assert_type(query.order, Literal["newest", "oldest"])
assert_type(query.after, tuple[int, str] | None)
assert_type(query.matches(least), bool)
assert_type(query.next_page(least), RunQuery)

assert_type(new_id("run"), str)
assert_type(time_ms(NOON), int)
signal = Signal(signal_id("run_1", 0), name="a:b", payload={"a": 1}, timestamp=1, seq=0, source=SignalSource("agent"))
assert_type(signal.payload, Any)
assert_type(signal.source.agent, str | None)
assert_type(Blob("sha256:0", [1]).data, Any)
assert_type(Checkpoint("here", 3).seq, int)

info = RecordingInfo(id="rec_1", run_id="run_1", created_at=1, tags=("a",), outcome=RunStatus.FAILED)
assert_type(info.outcome, Outcome)
assert_type(RecordingQuery(tags="a", outcome="failed").tags, tuple[str, ...])
RecordingQuery(tags=["a", "b"], outcome=["incomplete", RunStatus.FAILED], run_id="run_1", name="a", limit=1, offset=2)
assert_type(RecordingQuery().outcome, frozenset[Outcome] | None)

# What is wrong must stay wrong: the ignores below are errors themselves once they are not needed.
RunRecord("run_1", state={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RunRecord("run_1", created_at=1.5, state={})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RunRecord("run_1", created_at="now", state={})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RunRecord("run_1", 1, state={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RunRecord("run_1", created_at=1, state={}, status=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RunQuery(order="latest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RunQuery(limit="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
least.status = RunStatus.FAILED  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
