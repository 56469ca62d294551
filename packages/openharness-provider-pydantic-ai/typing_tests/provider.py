"""What type checkers must make of the provider, as a user writes it. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, assert_type

from pydantic_ai.models.test import TestModel

from openharness.core import Message, Provider, ProviderCapabilities, ProviderEvent, ProviderRequest, RunContext
from openharness.provider_pydantic_ai import PydanticAIProvider, StructuredOutput

if TYPE_CHECKING:
    from pydantic_ai.models import Model


def make() -> Model:
    """Make a model."""
    return TestModel()


way: StructuredOutput = "native"
provider: Provider = PydanticAIProvider()
PydanticAIProvider("google:gemini-3-flash", max_tokens=100, timeout=2.5, stream=False, structured_output=way)
PydanticAIProvider(TestModel())
PydanticAIProvider(TestModel)
PydanticAIProvider(make)
PydanticAIProvider(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PydanticAIProvider(structured_output="any")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PydanticAIProvider(temperature=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

assert_type(PydanticAIProvider.from_url("pydantic-ai:test"), PydanticAIProvider)
assert_type(PydanticAIProvider.type, str)
assert_type(PydanticAIProvider.capabilities, ProviderCapabilities)


async def use(context: RunContext) -> None:
    """Use a provider as the harness does."""
    async with PydanticAIProvider() as opened:
        assert_type(opened, PydanticAIProvider)
        answer = opened.run(ProviderRequest(messages=[Message("user", "hi")]), context)
        assert_type(answer, AsyncGenerator[ProviderEvent, None])
        async for event in answer:
            assert_type(event, ProviderEvent)
