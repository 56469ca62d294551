"""Two agents that sort a report of a customer: what is it about, and what is answered."""

from __future__ import annotations

import attrs

from openharness.core import Context, create_harness

__all__ = ("AGENTS", "Ticket", "harness")


@attrs.define
class Ticket:
    """A report and what the agents made of it."""

    report: str
    summary: str = ""
    reply: str = ""


harness = create_harness(Ticket)


def is_summarised(context: Context[Ticket]) -> bool:
    """There is nothing to answer before somebody has understood the report."""
    return context.state.summary != ""


AGENTS = {
    "reader": harness.agent(
        prompt="{{ state.report }}\n\nWhat happened?",
        activate_on="harness:start",
        updates="summary",
        emits="report:read",
        max_tokens=24,
        temperature=0.0,
        seed=1,
    ),
    "writer": harness.agent(
        prompt="Write a short message to the customer about this: {{ state.summary }}",
        activate_on="report:read",
        when=is_summarised,
        updates="reply",
        max_tokens=24,
        temperature=0.0,
        seed=1,
    ),
}
