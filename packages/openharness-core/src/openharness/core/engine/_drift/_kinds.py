"""The words for the parts of a run that a difference may come of."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ("DriftKind",)

DriftKind: TypeAlias = Literal[
    "agents",
    "initial_state",
    "input",
    "start",
    "prompt",
    "tools",
    "output",
    "examples",
    "history",
    "parameters",
    "guard",
    "reducer",
    "update",
    "emits",
    "end_when",
    "max_concurrency",
    "max_tool_concurrency",
    "limit",
    "retries",
    "on_error",
    "injection",
    "unmatched",
    "unused",
    "final_state",
    "signal",
]
"""Which part of a run a difference comes of. ``start``: something else of ``harness:start``. ``tools``: what tools an
agent has, how they are described, and whether they wait for a person or may be run again. ``output``: the type of an
agent's output, and which answers fit it. ``examples``: the worked examples of
an agent. ``history``: what an agent is told of its earlier activations. ``limit``: how many
activations, turns or useless calls there may be. ``injection``: a signal from outside of the run. ``unmatched``: a request for which nothing is recorded. ``unused``: recorded arrivals that nothing waits for. ``signal``: none of the others."""
