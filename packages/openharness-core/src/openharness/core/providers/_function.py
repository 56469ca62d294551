"""A Python function as a model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, ClassVar, TypeAlias, cast

from openharness.core.errors import DefinitionError, ProviderError
from openharness.core.interfaces import (
    Completed,
    Provider,
    ProviderCapabilities,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    ProviderWarning,
    RunContext,
    TextDelta,
    ThinkingDelta,
    ToolCall,
)
from openharness.core.threads import Worker

__all__ = ("AnswerPiece", "FunctionProvider", "ProviderAnswer")

AnswerPiece: TypeAlias = str | ProviderEvent | ProviderOutput
"""A part of an answer: text, an event of a provider, or the `ProviderOutput` that ends it."""

ProviderAnswer: TypeAlias = AnswerPiece | Iterable[AnswerPiece]
"""What a function may return: a text, a whole `ProviderOutput`, an event such as a `ToolCall`, or several of these."""

_EVERYTHING = ProviderCapabilities(
    streaming=True, system=True, seed=True, output_schema=True, tools=True, thinking=True
)
_END = object()


class FunctionProvider(Provider):
    """Lets a function of yours answer the requests of agents: for tests, rules instead of a model, and clients of your own.

    ::

        FunctionProvider(lambda request: request.messages[-1].content.upper())


        async def answer(request, context):
            yield "in "
            yield "pieces"
            yield ToolCall("call-1", "add", {"a": 1, "b": 2})


        FunctionProvider(answer)

    The function is given the `ProviderRequest`, and the `RunContext` too if it takes two arguments. It may be a plain
    function, an ``async def``, or a generator of either kind; it returns or yields what `ProviderAnswer` says. Text
    becomes a `TextDelta`; the end is made of what came before it, unless it comes as a `ProviderOutput` or `Completed`.
    Whatever the function raises is the failure of the request; raise `ProviderError` to say of which kind it is and
    whether trying again can help.

    Plain functions and plain generators run in a thread of their own for each request, so they may block. Their thread
    cannot be stopped: when a request is cancelled, nobody waits for it any more, and a generator is closed as soon as it
    lets go. What is async runs in the event loop, is cancelled there, and must not block it.

    Args:
        function: The function.
        capabilities: What the function can do; by default everything, as it is given the whole request.
        name: What to call it for people; by default its own name.

    Raises:
        DefinitionError: It is no function, or takes neither one nor two arguments.

    Attributes:
        function: The function.
    """

    type: ClassVar[str] = "function"

    def __init__(
        self,
        function: Callable[[ProviderRequest], object] | Callable[[ProviderRequest, RunContext], object],
        *,
        capabilities: ProviderCapabilities = _EVERYTHING,
        name: str | None = None,
    ) -> None:
        self._takes_context = _takes_context(function)
        self.function: Callable[..., object] = function
        # Anything else is called in a thread, also an object whose call returns something to be awaited.
        self._is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        self.capabilities = capabilities
        self.display_name = name or str(getattr(function, "__name__", type(function).__name__))

    def __repr__(self) -> str:
        """Name the function."""
        return f"FunctionProvider({self.function!r})"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Ask the function. See `Provider.run`.

        Raises:
            ProviderError: What it returned or yielded is no answer; its kind is ``"protocol"``. Exceptions of the
                function are raised as they are.
        """
        answer = _Answer(self.display_name)
        async with aclosing(self._pieces(request, context)) as pieces:
            async for piece in pieces:
                for event in answer.read(piece):
                    yield event
        for event in answer.finish():
            yield event

    async def _pieces(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[object, None]:
        call = functools.partial(self.function, *((request, context) if self._takes_context else (request,)))
        if self._is_async:
            async with aclosing(_told(call())) as pieces:
                async for piece in pieces:
                    yield piece
            return
        worker = Worker(f"openharness {self.display_name} {context.call}")
        iterator: Iterator[object] | None = None
        try:
            told = await worker.call(call)
            if not isinstance(told, Iterator):
                async with aclosing(_told(told)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            iterator = cast("Iterator[object]", told)
            advance = functools.partial(next, iterator, _END)
            while (piece := await worker.call(advance)) is not _END:
                yield piece
        finally:
            worker.end(getattr(iterator, "close", None))


async def _told(told: object) -> AsyncGenerator[object, None]:
    """Yield the pieces of what a function returned, in the event loop."""
    if inspect.isawaitable(told):
        told = await told
    if isinstance(told, AsyncIterator):
        pieces = cast("AsyncIterator[object]", told)
        try:
            async for piece in pieces:
                yield piece
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
    elif isinstance(told, Iterable) and not isinstance(told, (str, bytes, bytearray, dict)):
        for piece in cast("Iterable[object]", told):
            yield piece
    else:
        yield told


class _Answer:
    """Makes events of pieces, and the end where no piece is one.

    Args:
        name: What errors call the function.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls = 0
        self._completed = False

    def read(self, piece: object) -> Iterator[ProviderEvent]:
        """Yield the events of a piece.

        Raises:
            ProviderError: It is none, or comes after the end.
        """
        if self._completed:
            raise self._wrong(f"went on after the end of its answer, with {_shown(piece)}", "Nothing follows the end.")
        match piece:
            case str():
                yield from self._delta(TextDelta(piece))
            case TextDelta() | ThinkingDelta():
                yield from self._delta(piece)
            case ToolCall():
                self._calls += 1
                yield piece
            case ProviderWarning():
                yield piece
            case ProviderOutput():
                yield from self._end(piece)
            case Completed():
                yield from self._end(piece.output)
            case _:
                said = f"returned or yielded {_shown(piece)}, which is no part of an answer"
                hint = (
                    "Does it lack a return?"
                    if piece is None
                    else "A part is text, a ProviderOutput, or an event such as a ToolCall; write objects as JSON text."
                )
                raise self._wrong(said, hint)

    def finish(self) -> Iterator[ProviderEvent]:
        """Yield the end, unless it has come."""
        if not self._completed:
            reason = "tool_calls" if self._calls else "end"
            thinking = "".join(self._thinking) if self._thinking else None
            yield Completed(ProviderOutput(content="".join(self._text), thinking=thinking, stop_reason=reason))

    def _delta(self, delta: TextDelta | ThinkingDelta) -> Iterator[ProviderEvent]:
        text = cast("object", delta.text)
        if not isinstance(text, str):
            raise self._wrong(f"yielded {_shown(delta)}", "The text of a delta is a str.")
        if text:
            (self._text if isinstance(delta, TextDelta) else self._thinking).append(text)
            yield delta

    def _end(self, output: ProviderOutput) -> Iterator[ProviderEvent]:
        """Yield the end, and before it what no delta has told."""
        for said, whole, kind in (
            (self._thinking, output.thinking or "", ThinkingDelta),
            (self._text, output.content, TextDelta),
        ):
            before = "".join(said)
            if not before:
                yield from self._delta(kind(whole))
            elif before != whole:
                raise self._wrong(
                    f"ended with {_shown(whole)}, and its pieces said {_shown(before)}", "Both must be the same."
                )
        self._completed = True
        yield Completed(output)

    def _wrong(self, said: str, hint: str) -> ProviderError:
        return ProviderError(f"The function {self._name} {said}. {hint}", kind="protocol")


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 200 else f"{written[:200]}..."  # noqa: PLR2004


def _takes_context(function: Any) -> bool:
    """Tell whether a function takes the context beside the request."""
    if not callable(function):
        raise DefinitionError(f"FunctionProvider needs a function that answers requests, got {function!r}.")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Some of those written in C do not tell.
        return False
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return True
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = sum(one.default is one.empty for one in positional)
    only_by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if not positional or required > 2 or only_by_name:  # noqa: PLR2004 - the request and the context
        raise DefinitionError(
            f"The function of a FunctionProvider takes a request, or a request and a context; {function!r} takes "
            f"{inspect.signature(function)}."
        )
    return required == 2  # noqa: PLR2004
