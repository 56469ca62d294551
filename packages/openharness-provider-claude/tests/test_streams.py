"""Stored streams of a real model, and everything that can go wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from http_contract import HTTPContract, sizes_of

from openharness.provider_claude import ClaudeProvider

if TYPE_CHECKING:
    from openharness.core import Provider

STREAMS = Path(__file__).parent / "streams"


class TestClaudeProvider(HTTPContract):
    """The provider keeps what every provider over HTTP promises."""

    folder = STREAMS
    key_variable = "ANTHROPIC_API_KEY"
    sdk = "anthropic"
    cut_events: ClassVar = {
        "overloaded": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        "server": b'event: error\ndata: {"code":500,"message":"It broke.","type":"server_error"}\n\n',
        "rate_limit": b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}\n\n',
    }

    def make(self, url: str, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        return ClaudeProvider("a-model", base_url=url, api_key="k", **{"timeout": 500.0, **options})

    def without_key(self) -> Provider:
        """Return a provider that was given no key."""
        return ClaudeProvider()

    @pytest.mark.parametrize("name, size", sizes_of(STREAMS))
    async def test_stored_streams(self, name: str, size: int | None) -> None:
        """Every stored stream says the same, however its bytes arrive."""
        await self.check_stream(name, size)
