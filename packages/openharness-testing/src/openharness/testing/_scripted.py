"""A provider that says what the test wrote down, for tests of the logic around a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import ClassVar, TypeAlias

from openharness.core import (
    Completed,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    TextDelta,
    ThinkingDelta,
)

__all__ = ("Answer", "Piece", "ScriptedProvider")

Piece: TypeAlias = str | float | ProviderEvent | BaseException
"""A part of an answer: text is a `TextDelta`, a number a pause in seconds, an event itself, an exception is raised."""

Answer: TypeAlias = (
    "str | ProviderOutput | ProviderEvent | BaseException | Sequence[Piece] | Callable[[ProviderRequest], Answer]"
)
"""What one request gets: a text, a whole output, pieces in order, an exception, or a function that returns one of these."""

_EVERYTHING = ProviderCapabilities(
    streaming=True, system=True, seed=True, output_schema=True, tools=True, thinking=True
)


class ScriptedProvider(Provider):
    """Answers from a script and remembers what it was asked.

    ::

        provider = ScriptedProvider(["first answer", ["in ", "pieces"], ProviderError("no", kind="rate_limit")])
        provider = ScriptedProvider(lambda request: request.messages[-1].content.upper())

    The answers are taken one for each request, in the order in which the requests begin. A request beyond the script
    raises `ProviderError` with the kind ``"unexpected_request"``; `assert_used`, which the end of ``async with`` calls,
    fails when there was one, or when answers are left. A script that is one function answers every request.

    Args:
        script: The answers, or one function for all requests.
        delay: Seconds to wait before each event.
        capabilities: What it claims to be able to do; by default everything.

    Attributes:
        requests: The requests it saw, in the order in which they began.
        contexts: The `RunContext` of each.
    """

    type: ClassVar[str] = "scripted"
    display_name: str = "Script"

    def __init__(
        self,
        script: Iterable[Answer] | Callable[[ProviderRequest], Answer],
        *,
        delay: float = 0.0,
        capabilities: ProviderCapabilities = _EVERYTHING,
    ) -> None:
        if isinstance(script, str):
            raise TypeError(
                f"script must be a list of answers or a function, got the text {script!r}; write [{script!r}]."
            )
        self._always: Callable[[ProviderRequest], Answer] | None = None
        self._answers: list[Answer] = []
        if callable(script):
            self._always = script
        else:
            self._answers = list(script)
        self._delay = delay
        self.capabilities = capabilities
        self.requests: list[ProviderRequest] = []
        self.contexts: list[RunContext] = []

    def __repr__(self) -> str:
        """Say how far the script has been used."""
        if self._always is not None:
            return f"ScriptedProvider({self._always!r}, {len(self.requests)} requests)"
        return f"ScriptedProvider({min(len(self.requests), len(self._answers))} of {len(self._answers)} answers used)"

    @property
    def unused(self) -> list[Answer]:
        """The answers that no request has got yet."""
        return self._answers[len(self.requests) :]

    def assert_used(self) -> None:
        """Fail when answers are left, or when there were more requests than answers."""
        if self._always is not None:
            return
        asked, written = len(self.requests), len(self._answers)
        assert asked >= written, (
            f"{written - asked} of {written} scripted answers were not asked for; the next one is {self.unused[0]!r}."
        )
        assert asked == written, (
            f"There were {asked} requests and {written} scripted answers; the first one too many was "
            f"{self.contexts[written].call}: {self.requests[written]!r}."
        )

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Give the next answer of the script. See `Provider.run`.

        Raises:
            ProviderError: The script has no answer left. Exceptions of the script are raised as they are.
        """
        number = len(self.requests)
        self.requests.append(request)
        self.contexts.append(context)
        answer = self._answer(number, request, context)
        text: list[str] = []
        thinking: list[str] = []
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
        yield Completed(
            ProviderOutput(content="".join(text), thinking="".join(thinking) if thinking else None, stop_reason="end")
        )

    def _answer(self, number: int, request: ProviderRequest, context: RunContext) -> Answer:
        answer: Answer
        if self._always is not None:
            answer = self._always
        elif number < len(self._answers):
            answer = self._answers[number]
        else:
            raise ProviderError(
                f"The script has {len(self._answers)} answers, and this is request {number + 1} ({context.call}).",
                kind="unexpected_request",
            )
        while callable(answer):
            answer = answer(request)
        return answer

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the provider, and fail when the script was not used as it was written."""
        await super().__aexit__(*exc_info)
        if exc_info[0] is None:
            self.assert_used()


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
