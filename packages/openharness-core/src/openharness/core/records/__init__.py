"""The records: frozen data without I/O, which stores keep and the harness makes.

Leaves to others how they are stored (`openharness.core.interfaces`) and what makes them (`openharness.core.engine`).
"""

from __future__ import annotations

from openharness.core.records._doctor import DoctorReport, Finding, Severity
from openharness.core.records._identifiers import check_id, new_id
from openharness.core.records._recording import (
    Blob,
    Checkpoint,
    LogEntry,
    Outcome,
    Recording,
    RecordingInfo,
    RecordingMatch,
    RecordingQuery,
    check_outcome,
)
from openharness.core.records._run import RunQuery, RunRecord, RunStatus
from openharness.core.records._signal import Signal, SignalSource, signal_id
from openharness.core.records._time import Moment, now_ms, time_ms

__all__ = (
    "Blob",
    "Checkpoint",
    "DoctorReport",
    "Finding",
    "LogEntry",
    "Moment",
    "Outcome",
    "Recording",
    "RecordingInfo",
    "RecordingMatch",
    "RecordingQuery",
    "RunQuery",
    "RunRecord",
    "RunStatus",
    "Severity",
    "Signal",
    "SignalSource",
    "check_id",
    "check_outcome",
    "new_id",
    "now_ms",
    "signal_id",
    "time_ms",
)
