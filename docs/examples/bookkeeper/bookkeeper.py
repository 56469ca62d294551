"""An agent that reads files of a folder, computes, and answers with an object.

The model has 135 million parameters, so it is shown what to do: three worked examples stand before its question.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from openharness.core import Message, ToolCall, create_harness, tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openharness.core import AgentDefinition

__all__ = ("Books", "Total", "define_agents", "harness")


@attrs.frozen
class Total:
    """What the agent answers.

    Attributes:
        total: The sum of the figures.
        unit: What they are figures of.
    """

    total: float
    unit: Literal["euros", "dollars"]


@attrs.define
class Books:
    """What is asked, and what was found.

    Attributes:
        file: The file whose figures are to be added.
        total: The answer; None until it is there.
    """

    file: str
    total: Total | None = None


harness = create_harness(Books)


def define_agents(folder: Path) -> Mapping[str, AgentDefinition[Books]]:
    """Define the agent of a folder."""

    @tool(idempotent=True)
    def read_file(name: str) -> str:
        """Read a file of the folder.

        Args:
            name: The file's name.
        """
        print(f"  reading {name}", flush=True)
        if Path(name).name != name:
            raise ValueError("name must be the name of a file of this folder, without a path.")
        return (folder / name).read_text(encoding="utf-8").strip()

    @tool(idempotent=True)
    def add(numbers: list[float]) -> float:
        """Add numbers.

        Args:
            numbers: The numbers.
        """
        print(f"  adding {len(numbers)} numbers", flush=True)
        return sum(numbers)

    bookkeeper = harness.agent(
        activate_on="harness:start",
        prompt="What is the total in {{ state.file }}?",
        examples=[
            *worked_example("rent.txt", [3, 4, 5]),
            *worked_example("books.txt", [10, 2]),
            *worked_example("fuel.txt", [7, 70, 14]),
        ],
        tools=[read_file, add],
        output=Total,
        updates="total",
        max_tokens=60,
    )
    return {"bookkeeper": bookkeeper}


def worked_example(file: str, figures: Sequence[int]) -> list[Message]:
    """Return a conversation in which both tools are used."""
    read = ToolCall(f"read-{file}", "read_file", {"name": file})
    added = ToolCall(f"add-{file}", "add", {"numbers": figures})
    return [
        Message("user", f"What is the total in {file}?"),
        Message("assistant", "", tool_calls=[read]),
        Message("tool", " + ".join(map(str, figures)), tool_call_id=read.id),
        Message("assistant", "", tool_calls=[added]),
        Message("tool", str(sum(figures)), tool_call_id=added.id),
        Message("assistant", json.dumps({"total": sum(figures), "unit": "euros"})),
    ]
