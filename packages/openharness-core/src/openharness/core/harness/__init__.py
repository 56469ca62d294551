"""The harness: agents over one typed state, run live, recorded or replayed."""

from __future__ import annotations

from openharness.core.harness._handle import RunHandle, RunStream, StartedRun
from openharness.core.harness._harness import Harness, create_harness
from openharness.core.harness._options import CommonOptions, DriftMode, ForkOptions, Mode, ResumeOptions, RunOptions
from openharness.core.harness._result import AgentMetrics, RunMetrics, RunResult
from openharness.core.harness._subscriptions import BufferPolicy, Subscriber, Subscription

__all__ = (
    "AgentMetrics",
    "BufferPolicy",
    "CommonOptions",
    "DriftMode",
    "ForkOptions",
    "Harness",
    "Mode",
    "ResumeOptions",
    "RunHandle",
    "RunMetrics",
    "RunOptions",
    "RunResult",
    "RunStream",
    "StartedRun",
    "Subscriber",
    "Subscription",
    "create_harness",
)
