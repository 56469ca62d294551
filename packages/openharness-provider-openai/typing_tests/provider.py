"""What type checkers must make of the provider, as a user writes it. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import assert_type

import openai

from openharness.core import Message, Provider, ProviderCapabilities, ProviderEvent, ProviderRequest, RunContext
from openharness.provider_openai import DEFAULT_MODEL, OpenAIProvider

provider: Provider = OpenAIProvider()
OpenAIProvider(DEFAULT_MODEL, api_key="k", base_url="http://localhost:11434/v1", max_tokens=100)
OpenAIProvider(None, max_tokens_name="max_completion_tokens", max_retries=0, timeout=2.5)
OpenAIProvider(client=openai.AsyncOpenAI())
OpenAIProvider(client=openai.AsyncAzureOpenAI())
OpenAIProvider(client=openai.OpenAI())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OpenAIProvider(max_tokens_name="limit")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OpenAIProvider(temperature=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

assert_type(OpenAIProvider.from_url("openai"), OpenAIProvider)
assert_type(OpenAIProvider.type, str)
assert_type(OpenAIProvider.capabilities, ProviderCapabilities)
assert_type(OpenAIProvider().model, str | None)


async def use(context: RunContext) -> None:
    """Use a provider as the harness does."""
    async with OpenAIProvider() as opened:
        assert_type(opened, OpenAIProvider)
        answer = opened.run(ProviderRequest(messages=[Message("user", "hi")]), context)
        assert_type(answer, AsyncGenerator[ProviderEvent, None])
        async for event in answer:
            assert_type(event, ProviderEvent)
