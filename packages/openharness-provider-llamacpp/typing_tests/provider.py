"""What type checkers must make of the provider, as a user writes it. Checked by mypy and pyright, never run."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncGenerator
from typing import assert_type

from openharness.core import Message, Provider, ProviderCapabilities, ProviderEvent, ProviderRequest, RunContext
from openharness.provider_llamacpp import DEFAULT_MODEL, LlamaCppProvider

provider: Provider = LlamaCppProvider()
LlamaCppProvider(DEFAULT_MODEL)
LlamaCppProvider("models/small.gguf", context=8192, threads=2, gpu_layers=0, max_tokens=100, cache_prompt=True)
LlamaCppProvider(pathlib.Path("small.gguf"), parameters={"chat_template": "{{ messages }}"})
LlamaCppProvider(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
LlamaCppProvider("small.gguf", 4096)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
LlamaCppProvider(temperature=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

assert_type(LlamaCppProvider.from_url("llamacpp"), LlamaCppProvider)
assert_type(LlamaCppProvider.type, str)
assert_type(LlamaCppProvider.capabilities, ProviderCapabilities)
assert_type(LlamaCppProvider().model, str)


async def use(context: RunContext) -> None:
    """Use a provider as the harness does."""
    async with LlamaCppProvider() as opened:
        assert_type(opened, LlamaCppProvider)
        await opened.load()
        answer = opened.run(ProviderRequest(messages=[Message("user", "hi")]), context)
        assert_type(answer, AsyncGenerator[ProviderEvent, None])
        async for event in answer:
            assert_type(event, ProviderEvent)
