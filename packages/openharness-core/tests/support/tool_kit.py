"""Providers that ask for tools, for the tests of the engine and the harness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, ClassVar, TypeAlias

from openharness.core import (
    Completed,
    Message,
    Provider,
    ProviderCapabilities,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    TextDelta,
    ToolCall,
)

__all__ = ("AskingProvider", "Turn", "asks", "results")

Turn: TypeAlias = str | Sequence[ToolCall]
"""What a model answers: a text, or the tools it asks for."""

Script: TypeAlias = Callable[[ProviderRequest, RunContext], Turn]


def asks(*calls: tuple[str, Any]) -> list[ToolCall]:
    """An answer that asks for tools, given as pairs of name and arguments."""
    return [ToolCall(f"id-{index}", name, arguments) for index, (name, arguments) in enumerate(calls)]


def results(request: ProviderRequest) -> list[str]:
    """What the last turn's tools told the model, in order."""
    told: list[str] = []
    for message in reversed(request.messages):
        if message.role != "tool":
            break
        told.insert(0, message.content)
    return told


class AskingProvider(Provider):
    """Answers one turn after another of a script, or what a function says.

    Attributes:
        requests: What it was asked.
        calls: The identities of these requests.
    """

    type: ClassVar[str] = "asking"
    capabilities = ProviderCapabilities(tools=True, output_schema=True)

    def __init__(self, *turns: Turn, script: Script | None = None, text: str = "") -> None:
        self._turns = list(turns)
        self._script = script
        self._text = text
        self.requests: list[ProviderRequest] = []
        self.calls: list[str] = []

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer."""
        self.requests.append(request)
        self.calls.append(context.call)
        turn = self._turns.pop(0) if self._script is None else self._script(request, context)
        await asyncio.sleep(0)
        if isinstance(turn, str):
            yield TextDelta(turn)
            yield Completed(ProviderOutput(content=turn))
            return
        for call in turn:
            yield call
        yield Completed(ProviderOutput(content=self._text, stop_reason="tool_calls"))

    @property
    def told(self) -> list[str]:
        """What the tools of the last turn told the model."""
        return results(self.requests[-1])

    @property
    def conversation(self) -> Sequence[Message]:
        """The messages of the last request."""
        return self.requests[-1].messages
