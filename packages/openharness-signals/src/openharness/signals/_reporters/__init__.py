"""Reporters: what tells people and machines of runs, while they go on and from recordings.

From the bottom up: `_reporter` (the interface), `_tally` (what is counted of runs), `_metrics` and `_wide_event` (what
machines are told).
"""

from __future__ import annotations

from openharness.signals._reporters._metrics import (
    AgentMeasurements,
    Latency,
    MetricsReporter,
    MetricsSnapshot,
    ProviderMeasurements,
    ToolMeasurements,
)
from openharness.signals._reporters._reporter import Reporter, report_recording
from openharness.signals._reporters._wide_event import WideEventReporter

__all__ = (
    "AgentMeasurements",
    "Latency",
    "MetricsReporter",
    "MetricsSnapshot",
    "ProviderMeasurements",
    "Reporter",
    "ToolMeasurements",
    "WideEventReporter",
    "report_recording",
)
