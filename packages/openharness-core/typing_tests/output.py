"""Typed output and conversations as type checkers see them."""

from __future__ import annotations

from typing import Literal, assert_type

import attrs

from openharness.core import AgentDefinition, Context, Harness


@attrs.frozen
class Person:
    """What a model is asked for."""

    name: str


@attrs.define
class State:
    """A state."""

    person: Person | None = None


def check_output(harness: Harness[State]) -> None:
    """Every kind of type is taken, in both forms of an agent."""
    for agent in (
        harness.agent(prompt="x", activate_on="a", output=Person, output_retries=0, updates="person"),
        harness.agent(prompt="x", activate_on="a", output=list[Person]),
        harness.agent(prompt="x", activate_on="a", output=Person | None),
        harness.agent(prompt="x", activate_on="a", output=Literal["a", "b"]),
    ):
        assert_type(agent, AgentDefinition[State])

    @harness.agent(activate_on="a", output=Person)
    def decorated(ctx: Context[State]) -> str:
        return str(ctx.state.person)

    assert_type(decorated, AgentDefinition[State])
    harness.agent(prompt="x", activate_on="a", output_retries="two")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def check_history(harness: Harness[State]) -> None:
    """There are two kinds of history, and a bound in tokens."""
    agent = harness.agent(prompt="x", activate_on="a", history="agent", history_tokens=100)
    assert_type(agent, AgentDefinition[State])
    harness.agent(prompt="x", activate_on="a", history="none")
    harness.agent(prompt="x", activate_on="a", history="all")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
