"""Reporters: what tells people and machines of runs, while they go on and from recordings.

From the bottom up: `_reporter` (the interface), `_tally` (what is counted of runs), `_metrics` and `_wide_event` (what
machines are told); `_layout` (lines of bounded width), `_terminal` (where they go), `_wording` (what is said of signals),
`_console` and `_progress` (what people are told).
"""

from __future__ import annotations

from openharness.signals._reporters._console import ConsoleReporter
from openharness.signals._reporters._metrics import (
    AgentMeasurements,
    Latency,
    MetricsReporter,
    MetricsSnapshot,
    ProviderMeasurements,
    ToolMeasurements,
)
from openharness.signals._reporters._progress import ProgressReporter
from openharness.signals._reporters._reporter import Reporter, report_recording
from openharness.signals._reporters._wide_event import EventTarget, TextTarget, WideEventReporter
from openharness.signals._reporters._wording import Level

__all__ = (
    "AgentMeasurements",
    "ConsoleReporter",
    "EventTarget",
    "Latency",
    "Level",
    "MetricsReporter",
    "MetricsSnapshot",
    "ProgressReporter",
    "ProviderMeasurements",
    "Reporter",
    "TextTarget",
    "ToolMeasurements",
    "WideEventReporter",
    "report_recording",
)
