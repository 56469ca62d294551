"""The engine: the run loop, where arrivals come from, steps, recording and drift, each a module of its own.

Imports go one way: arrivals, drift and requests know nothing of the others; the journal writes; the step decides, and
of tools the turns; calls and tools act; the loop joins them. What users see of it is `openharness.core.harness`.
"""

from __future__ import annotations

from openharness.core.engine._arrivals import Arrival, ArrivalQueue
from openharness.core.engine._calls import Calls
from openharness.core.engine._drift import (
    AgentChanges,
    DriftKind,
    DriftReport,
    LostActivation,
    ReplayDriftWarning,
    StepComparison,
    Surroundings,
    complete,
)
from openharness.core.engine._journal import Journal
from openharness.core.engine._loop import Listeners, StartOfRun, catch_up, run_live, run_matched, run_replay
from openharness.core.engine._matcher import Matcher
from openharness.core.engine._outcome import Outcome
from openharness.core.engine._plan import AgentPlan, KeptPlans, Limits, RunPlan, make_plan
from openharness.core.engine._recorded import RecordedRun, arrival_of
from openharness.core.engine._recorder import NoRecorder, Recorder, StoreRecorder
from openharness.core.engine._redacting import Intake, RecordedRules, log_failure
from openharness.core.engine._requests import described
from openharness.core.engine._step import Stepper
from openharness.core.engine._supervise import NotStoppedError, WorkCancelledError, reason_of, supervise, within
from openharness.core.engine._tools import ToolRuns
from openharness.core.engine._transcript import Transcript
from openharness.core.engine._user_code import USER_FAILURES

__all__ = (
    "USER_FAILURES",
    "AgentChanges",
    "AgentPlan",
    "Arrival",
    "ArrivalQueue",
    "Calls",
    "DriftKind",
    "DriftReport",
    "Intake",
    "Journal",
    "KeptPlans",
    "Limits",
    "Listeners",
    "LostActivation",
    "Matcher",
    "NoRecorder",
    "NotStoppedError",
    "Outcome",
    "RecordedRules",
    "RecordedRun",
    "Recorder",
    "ReplayDriftWarning",
    "RunPlan",
    "StartOfRun",
    "StepComparison",
    "Stepper",
    "StoreRecorder",
    "Surroundings",
    "ToolRuns",
    "Transcript",
    "WorkCancelledError",
    "arrival_of",
    "catch_up",
    "complete",
    "described",
    "log_failure",
    "make_plan",
    "reason_of",
    "run_live",
    "run_matched",
    "run_replay",
    "supervise",
    "within",
)
