"""Stored streams of a real model, and everything that can go wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from http_contract import HTTPContract, sizes_of

from openharness.provider_openai import OpenAIProvider

if TYPE_CHECKING:
    from openharness.core import Provider

STREAMS = Path(__file__).parent / "streams"


class TestOpenAIProvider(HTTPContract):
    """The provider keeps what every provider over HTTP promises."""

    folder = STREAMS
    key_variable = "OPENAI_API_KEY"
    sdk = "openai"
    path = "/v1"
    cut_events: ClassVar = {
        "server": b'data: {"error":{"message":"It broke.","type":"server_error","code":500}}\n\n',
        "context_length": b'data: {"error":{"message":"Too long.","code":"context_length_exceeded"}}\n\n',
        "error": b'data: {"error":"It broke."}\n\n',
    }

    def make(self, url: str, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        return OpenAIProvider("a-model", base_url=f"{url}{self.path}", api_key="k", **{"timeout": 500.0, **options})

    def without_key(self) -> Provider:
        """Return a provider that was given no key."""
        return OpenAIProvider()

    @pytest.mark.parametrize("name, size", sizes_of(STREAMS))
    async def test_stored_streams(self, name: str, size: int | None) -> None:
        """Every stored stream says the same, however its bytes arrive."""
        await self.check_stream(name, size)
