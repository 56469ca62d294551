"""What requests cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from openharness.provider_http import Tokens, cost_of

OPENAI = "https://api.openai.com/v1/"


async def cost(tokens: Tokens, model: str = "gpt-4o", base_url: str = OPENAI) -> float:
    """Return a cost that must be known."""
    known = await cost_of(tokens, model=model, base_url=base_url)
    assert known is not None
    return known


async def test_tokens_have_their_own_prices() -> None:
    """Tokens read, written and taken from a cache count each at its price, and the cached ones not twice."""
    read = await cost(Tokens(read=1_000_000))
    written = await cost(Tokens(written=1_000_000))
    cached = await cost(Tokens(read=1_000_000, cached=1_000_000))
    assert 0 < cached < read < written
    some = await cost(Tokens(read=1000, cached=400, written=10))
    assert some == pytest.approx((600 * read + 400 * cached + 10 * written) / 1_000_000)


async def test_storing_has_a_price() -> None:
    """Tokens that are put into a cache cost more than those that are only read, and for an hour more than for less."""
    claude = {"model": "claude-sonnet-4-5", "base_url": "https://api.anthropic.com"}
    read, stored = await cost(Tokens(read=1000), **claude), await cost(Tokens(read=1000, stored=1000), **claude)
    hour = await cost(Tokens(read=1000, stored=1000, stored_hour=1000), **claude)
    assert read < stored < hour
    some = await cost(Tokens(read=1000, stored=1000, stored_hour=400), **claude)
    assert some == pytest.approx(0.6 * stored + 0.4 * hour)


@pytest.mark.parametrize(
    "model, base_url",
    [
        ("no-such-model", OPENAI),
        ("gpt-4o", "https://models.example.com/v1"),
        ("gpt-4o", "http://localhost:11434/v1"),
        ("gpt-4o", "http://127.0.0.1:8080"),
        ("gpt-4o", "http://[::1]:8080"),
        ("gpt-4o", "http://192.168.1.7/v1"),
        ("gpt-4o", "http://ollama:11434"),
        ("gpt-4o", ""),
    ],
)
async def test_what_is_not_known_has_no_cost(model: str, base_url: str) -> None:
    """A model that is not listed, and any model of a server of one's own, has no cost."""
    assert await cost_of(Tokens(read=10), model=model, base_url=base_url) is None


def test_a_local_server_does_not_load_the_prices() -> None:
    """The prices are loaded only for a server that may have some."""
    program = """
import asyncio, sys
from openharness.provider_http import Tokens, cost_of
asyncio.run(cost_of(Tokens(read=1), model="m", base_url="http://localhost:1"))
print("genai_prices" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "False\n"
