"""What a request cost, from the prices that the package genai-prices keeps."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openharness.provider_http._answer import Tokens

__all__ = ("cost_of",)

_LIBRARY = "genai_prices"


async def cost_of(tokens: Tokens, *, model: str, base_url: str) -> float | None:
    """Return what a request cost in US dollars; None where the price is not known.

    Args:
        tokens: What it took.
        model: The model that answered.
        base_url: Where it was asked: the same model has another price elsewhere.
    """
    if _is_local(base_url):
        return None
    if _LIBRARY not in sys.modules:
        # It reads the prices of all models, for longer than an event loop may stand still.
        await asyncio.to_thread(importlib.import_module, _LIBRARY)
    prices: Any = importlib.import_module(_LIBRARY)
    counts = {
        "input_tokens": tokens.read,
        "output_tokens": tokens.written,
        "cache_read_tokens": tokens.cached,
        "cache_write_tokens": tokens.stored,
    }
    if tokens.stored_hour:
        counts["cache_write_1h_tokens"] = tokens.stored_hour
    try:
        price = prices.calc_price(prices.Usage(**counts), model, provider_api_url=base_url)
    except (LookupError, ValueError):
        return None
    return float(price.total_price)


def _is_local(base_url: str) -> bool:
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(".local")
