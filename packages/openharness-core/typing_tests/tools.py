"""Tools as type checkers see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

import attrs

from openharness.core import AgentDefinition, Context, Harness, Tool, ToolContext, tool


@attrs.define
class State:
    """A state."""

    text: str = ""


@tool
def plain(number: int) -> int:
    """Be a tool."""
    return number


@tool(timeout=2.5, idempotent=True, needs_approval=True, name="other", description="Another.")
async def optioned(text: str, ctx: ToolContext[State]) -> str:
    """Be another one."""
    assert_type(ctx.state, State)
    assert_type(ctx.tool_call, str)
    return text


def bare(number: int) -> int:
    """Be a function."""
    return number


def check_tools(harness: Harness[State]) -> None:
    """A decorated function is a tool; agents take tools and functions, in both forms."""
    assert_type(plain, Tool)
    assert_type(optioned, Tool)
    assert_type(tool(bare, timeout=1), Tool)
    assert_type(tool(idempotent=True), Callable[[Callable[..., Any]], Tool])
    agent = harness.agent(prompt="x", activate_on="a", tools=[plain, optioned, bare], max_turns=3, tool_retries=0)
    assert_type(agent, AgentDefinition[State])
    assert_type(agent.tools, tuple[Tool, ...])

    @harness.agent(activate_on="a", tools=[bare])
    def decorated(ctx: Context[State]) -> str:
        return ctx.state.text

    assert_type(decorated, AgentDefinition[State])
    tool(timeout="soon")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    harness.agent(prompt="x", activate_on="a", tools=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
