"""Agents and tools as they are defined, and the context their functions are given."""

from __future__ import annotations

from openharness.core.agents._context import Context
from openharness.core.agents._definition import (
    HISTORY_TOKENS,
    MAX_TURNS,
    NO_OPTIONS,
    OUTPUT_RETRIES,
    TOOL_RETRIES,
    AgentDefinition,
    Guard,
    History,
    OnError,
    Prompt,
    Reducer,
    check_agent_name,
    check_synchronous,
    define_agent,
)
from openharness.core.agents._examples import ExamplesLike
from openharness.core.agents._output import Output
from openharness.core.agents._tool import Tool, ToolContext, collect_tools, tool

__all__ = (
    "HISTORY_TOKENS",
    "MAX_TURNS",
    "NO_OPTIONS",
    "OUTPUT_RETRIES",
    "TOOL_RETRIES",
    "AgentDefinition",
    "Context",
    "ExamplesLike",
    "Guard",
    "History",
    "OnError",
    "Output",
    "Prompt",
    "Reducer",
    "Tool",
    "ToolContext",
    "check_agent_name",
    "check_synchronous",
    "collect_tools",
    "define_agent",
    "tool",
)
