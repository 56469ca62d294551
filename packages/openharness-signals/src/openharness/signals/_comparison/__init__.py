"""Two recordings compared: where they part, what differs, and what it cost.

From the bottom up: `_events` (what a signal is called in every run, and what of it means something), `_alignment` (which
belong together), `_figures` (numbers side by side), `_diff` (the comparison itself), and its three forms: `_as_text`, `_as_json`, `_as_html`, of which the first and the last share `_wording`.
"""

from __future__ import annotations

from openharness.signals._comparison._diff import (
    ComparedRun,
    OutputChange,
    RecordingDiff,
    SignalChange,
    diff_recordings,
)
from openharness.signals._comparison._figures import AgentFigures, Figure, RunFigures

__all__ = (
    "AgentFigures",
    "ComparedRun",
    "Figure",
    "OutputChange",
    "RecordingDiff",
    "RunFigures",
    "SignalChange",
    "diff_recordings",
)
