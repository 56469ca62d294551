"""The provider that answers from a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, ClassVar

from openharness.core import (
    Completed,
    Provider,
    ProviderCapabilities,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    TextDelta,
    ThinkingDelta,
    ToolCall,
)
from openharness.testing._scripted._expectation import UnexpectedRequestError
from openharness.testing._scripted._script import Scripts

if TYPE_CHECKING:
    from openharness.testing._scripted._expectation import Answer, Piece
    from openharness.testing._scripted._script import Entry, Script

__all__ = ("ScriptedProvider",)

_EVERYTHING = ProviderCapabilities(
    streaming=True, system=True, seed=True, output_schema=True, tools=True, thinking=True
)


class ScriptedProvider(Provider):
    """Answers from a script and remembers what it was asked.

    ::

        ScriptedProvider(["first answer", ["in ", "pieces"], ProviderError("no", kind="rate_limit")])
        ScriptedProvider(lambda request: request.messages[-1].content.upper())
        ScriptedProvider(
            {
                "planner": [Expectation(ToolCall("c1", "search", {}), tools=["search"]), "The plan."],
                "critic": [Expectation("Good.", message="Criticise: The plan.")],
            }
        )

    The answers of a list are taken one for each request, in the order in which the requests begin. Where agents run at
    once that order is chance: a mapping gives each agent answers of its own. Its keys are names of agents, or
    activations such as ``"critic#2"``, which go before the name. A function in place of a list answers every request.

    An `Expectation` says which request its answer is for. Any other request, and one beyond the script, raises
    `UnexpectedRequestError`, which shows what came beside the expectation that is nearest. `assert_done` fails when
    there was such a request, or when answers are left. The end of ``async with`` calls it, and so does the end of a test
    that makes its provider with the fixture ``scripted_provider``.

    Args:
        script: The answers.
        delay: Seconds to wait before each event.
        capabilities: What it claims to be able to do; by default everything.

    Raises:
        TypeError: A text stands where a list belongs.

    Attributes:
        requests: The requests it saw, in the order in which they began.
        contexts: The `RunContext` of each.
        unexpected: The errors of those that the script does not have.
    """

    type: ClassVar[str] = "scripted"
    display_name: str = "Script"

    def __init__(
        self,
        script: Script,
        *,
        delay: float = 0.0,
        capabilities: ProviderCapabilities = _EVERYTHING,
    ) -> None:
        self._scripts = Scripts(script)
        self._delay = delay
        self.capabilities = capabilities
        self.requests: list[ProviderRequest] = []
        self.contexts: list[RunContext] = []
        self.unexpected: list[UnexpectedRequestError] = []

    def __repr__(self) -> str:
        """Say how far the script has been used."""
        if self._scripts.is_endless:
            return f"ScriptedProvider({len(self.requests)} requests)"
        written = self._scripts.written
        return f"ScriptedProvider({written - len(self._scripts.unused)} of {written} answers used)"

    @property
    def unused(self) -> list[Entry]:
        """The answers that no request has got yet, in the order of the script."""
        return [entry for _, entry in self._scripts.unused]

    def assert_done(self) -> None:
        """Fail when there were requests that the script does not have, or when answers are left.

        Raises:
            AssertionError: It names what there was, or what is left.
        """
        __tracebackhide__ = True
        if self.unexpected:
            raise AssertionError(
                f"There were {len(self.unexpected)} requests that the script does not have. The first:\n"
                f"{self.unexpected[0]}"
            )
        if self.unused:
            raise AssertionError(
                f"{len(self.unused)} of {self._scripts.written} scripted answers were not asked for:\n"
                f"{self._scripts.told()}"
            )

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Give the next answer of the script. See `Provider.run`.

        Raises:
            UnexpectedRequestError: The script does not have this request. Exceptions of the script are raised as they are.
        """
        self.requests.append(request)
        self.contexts.append(context)
        try:
            answer = self._scripts.take(request, context)
        except UnexpectedRequestError as error:
            self.unexpected.append(error)
            raise
        while callable(answer):
            answer = answer(request)
        text: list[str] = []
        thinking: list[str] = []
        called = False
        for piece in _pieces(answer):
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, (int, float)):
                await asyncio.sleep(piece)
                continue
            event = TextDelta(piece) if isinstance(piece, str) else piece
            if self._delay:
                await asyncio.sleep(self._delay)
            yield event
            if isinstance(event, Completed):
                return
            if isinstance(event, TextDelta):
                text.append(event.text)
            elif isinstance(event, ThinkingDelta):
                thinking.append(event.text)
            called = called or isinstance(event, ToolCall)
        yield Completed(
            ProviderOutput(
                content="".join(text),
                thinking="".join(thinking) if thinking else None,
                stop_reason="tool_calls" if called else "end",
            )
        )

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the provider, and fail when the script was not used as it was written."""
        await super().__aexit__(*exc_info)
        if exc_info[0] is None:
            self.assert_done()


def _pieces(answer: Answer) -> Sequence[Piece]:
    if isinstance(answer, str):
        return [answer] if answer else []
    if isinstance(answer, ProviderOutput):
        deltas: list[Piece] = [ThinkingDelta(answer.thinking)] if answer.thinking else []
        return [*deltas, *_pieces(answer.content), Completed(answer)]
    if isinstance(answer, Sequence):
        return answer  # pyright: ignore[reportUnknownVariableType]
    assert not callable(answer), "functions were called before"
    return [answer]
