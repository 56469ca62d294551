"""What type checkers must make of providers, as a user writes them. Checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from openharness.core import (
    AnswerPiece,
    FunctionProvider,
    Provider,
    ProviderAnswer,
    ProviderCapabilities,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def plain(request: ProviderRequest) -> str:
    """Answer with text."""
    return request.system or ""


def several(request: ProviderRequest) -> ProviderAnswer:
    """Answer with several pieces."""
    return [request.model or "", ToolCall("1", "add", {})]


async def waiting(request: ProviderRequest, context: RunContext) -> ProviderOutput:
    """Answer whole, from the request and the context."""
    return ProviderOutput(content=f"{request.model} {context.agent}")


def generator(request: ProviderRequest) -> Iterator[AnswerPiece]:
    """Answer in pieces."""
    yield request.model or ""


async def stream(request: ProviderRequest) -> AsyncIterator[str]:
    """Answer in pieces, asynchronously."""
    yield request.model or ""


class Client:
    """Answers by a method."""

    def answer(self, request: ProviderRequest) -> str:
        """Answer with text."""
        return request.model or ""


def wants_more(request: ProviderRequest, context: RunContext, more: int) -> str:
    """Take what nobody gives."""
    return f"{request}{context}{more}"


provider: Provider = FunctionProvider(plain)
assert_type(FunctionProvider(several, capabilities=ProviderCapabilities(tools=True), name="rules"), FunctionProvider)
FunctionProvider(waiting)
FunctionProvider(generator)
FunctionProvider(stream)
FunctionProvider(Client().answer)
FunctionProvider(lambda request: request.messages[-1].content)
FunctionProvider(wants_more)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
FunctionProvider("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
