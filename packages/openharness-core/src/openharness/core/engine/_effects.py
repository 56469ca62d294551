"""What a step asks to be done outside of it, once the log is durable up to the signal that announces it."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from openharness.core.agents import Tool, ToolContext
from openharness.core.engine._plan import AgentPlan
from openharness.core.values import JSONObject, JSONValue

__all__ = ("Effect", "StartCall", "StartTimer", "StartTool")


@attrs.frozen(eq=False)
class StartCall:
    """Send a request; ``restore`` says whether placeholders may stand in it for secrets."""

    call: str
    attempt: int
    activation: str
    agent: AgentPlan[Any]
    request: JSONObject
    restore: bool


@attrs.frozen(kw_only=True, eq=False)
class StartTimer:
    """Wait, and then let a retry arrive."""

    call: str
    delay: float


@attrs.frozen(kw_only=True, eq=False)
class StartTool:
    """Run a tool; ``arguments`` are what the log holds of them, and fit."""

    tool: Tool
    context: ToolContext[Any]
    arguments: JSONValue


Effect: TypeAlias = StartCall | StartTimer | StartTool
"""Anything of these."""
