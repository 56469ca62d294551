"""Records that are made without their constructors are the same as those that are made with them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import pytest

from openharness.core.harness import AgentMetrics, RunMetrics
from openharness.core.log import AgentTotals, RunFold
from openharness.core.records import RunRecord, RunStatus, Signal, SignalSource
from openharness.core.records._run import make_run_record
from openharness.core.records._signal import make_signal, make_source
from openharness.core.storage import EncodedRun, encode_run

SOURCE = SignalSource("analyzer", "claude", "run_1/2", "analyzer#1")
RUN = RunRecord("run_1", created_at=1, completed_at=2, state={"a": 1}, metadata={"b": 2}, error="no", status="failed")
MADE: list[tuple[Any, Any]] = [
    (make_source("analyzer", "claude", "run_1/2", "analyzer#1"), SOURCE),
    (
        make_signal("run_1/3", "a:b", None, 4, 3, SOURCE),
        Signal("run_1/3", name="a:b", timestamp=4, seq=3, source=SOURCE),
    ),
    (make_run_record("run_1", 1, 2, {"a": 1}, {"b": 2}, RunStatus.FAILED, "no", None, None), RUN),
    (
        encode_run(RUN),
        EncodedRun(
            id="run_1",
            created_at=1,
            completed_at=2,
            status="failed",
            error="no",
            recording_id=None,
            parent_run_id=None,
            metadata='{"b":2}',
            state='{"a":1}',
        ),
    ),
    (
        RunMetrics.of(RunFold(totals={"a": AgentTotals(*range(11))})).agents["a"],
        AgentMetrics(**dict(zip((field.name for field in attrs.fields(AgentMetrics)), range(11), strict=True))),
    ),
]


@pytest.mark.parametrize("made, constructed", MADE, ids=lambda record: type(record).__name__)
def test_a_record_is_the_same_however_it_was_made(made: Any, constructed: Any) -> None:
    """It is equal, hashed, shown, copied, pickled and changed alike, and as frozen as any other."""
    assert type(made) is type(constructed)
    assert (made, hash(made), repr(made)) == (constructed, hash(constructed), repr(constructed))
    for same in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), attrs.evolve(made)):  # noqa: S301 - its own
        assert same == constructed
    first = attrs.fields(type(made))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, first, None)
