"""The agents of the demo: four readers of a report, over one typed state.

::

    harness:start ─> reader ─> report:read ─┬─> planner ───> plan:made ───────┬─> editor
                                            └─> messenger ─> message:written ─┘
                                                (two at once)      (waits until both are there)

The model is small, so each agent asks for little: a sentence or two, of which it is capable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core import AgentDefinition, Context, Harness

__all__ = ("Incident", "define_agents")

# Where one sentence is wanted, what follows it is not.
END_OF_SENTENCE = (". ", ".\n", "\n")


@attrs.define
class Incident:
    """What is known of an incident; the agents fill it in.

    Attributes:
        report: The report as it was written.
        summary: What happened, in a sentence.
        plan: What will be done, in a sentence.
        message: The beginning of a message to the customers.
        note: A note for the file, once plan and message are there.
    """

    report: str
    summary: str = ""
    plan: str = ""
    message: str = ""
    note: str = ""


def define_agents(
    harness: Harness[Incident], *, plan_question: str = "What will be done next?"
) -> Mapping[str, AgentDefinition[Incident]]:
    """Define the agents of the demo.

    Args:
        harness: The harness they run in.
        plan_question: What the planner asks; the demo changes it, to show how that is caught.
    """
    reader = harness.agent(
        activate_on="harness:start",
        prompt="{{ state.report }}\n\nWhat happened?",
        updates="summary",
        emits="report:read",
        max_tokens=45,
        stop=END_OF_SENTENCE,
    )
    planner = harness.agent(
        activate_on="report:read",
        prompt="{{ state.report }}\n\n" + plan_question,
        updates="plan",
        emits="plan:made",
        max_tokens=45,
        stop=END_OF_SENTENCE,
    )
    messenger = harness.agent(
        activate_on="report:read",
        prompt="Write a short message to customers about this: {{ state.summary }}.",
        updates="message",
        emits="message:written",
        max_tokens=50,
    )

    def both_are_there(context: Context[Incident]) -> bool:
        return context.state.plan != "" and context.state.message != ""

    @harness.agent(
        activate_on=["plan:made", "message:written"],
        when=both_are_there,
        system="You're an AI assistant for text re-writing. Rewrite the input text to make it more concise "
        "while preserving its core meaning.",
        updates="note",
        max_tokens=60,
    )
    def editor(context: Context[Incident]) -> str:
        return f"{context.state.summary}. {context.state.plan}."

    return {"reader": reader, "planner": planner, "messenger": messenger, "editor": editor}
