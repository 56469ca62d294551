"""What type checkers must make of the provider, as a user writes it. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import assert_type

import anthropic

from openharness.core import Message, Provider, ProviderCapabilities, ProviderEvent, ProviderRequest, RunContext
from openharness.provider_claude import DEFAULT_MODEL, ClaudeProvider

provider: Provider = ClaudeProvider()
ClaudeProvider(DEFAULT_MODEL, api_key="k", base_url="http://localhost:8080", max_tokens=100)
ClaudeProvider(thinking="adaptive", prompt_caching=True, structured_output="tool", max_retries=0, timeout=2.5)
ClaudeProvider(thinking=2000, prompt_caching="1h")
ClaudeProvider(client=anthropic.AsyncAnthropic())
ClaudeProvider(client=anthropic.Anthropic())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ClaudeProvider(thinking="much")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ClaudeProvider("m", "key")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ClaudeProvider(temperature=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

assert_type(ClaudeProvider.from_url("claude"), ClaudeProvider)
assert_type(ClaudeProvider.type, str)
assert_type(ClaudeProvider.capabilities, ProviderCapabilities)
assert_type(ClaudeProvider().model, str)


async def use(context: RunContext) -> None:
    """Use a provider as the harness does."""
    async with ClaudeProvider() as opened:
        assert_type(opened, ClaudeProvider)
        answer = opened.run(ProviderRequest(messages=[Message("user", "hi")]), context)
        assert_type(answer, AsyncGenerator[ProviderEvent, None])
        async for event in answer:
            assert_type(event, ProviderEvent)
