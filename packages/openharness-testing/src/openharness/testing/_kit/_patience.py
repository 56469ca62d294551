"""A time limit that turns a hang into a failure with a sentence."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ("promptly",)


@contextlib.asynccontextmanager
async def promptly(seconds: float, what: str) -> AsyncGenerator[None]:
    """Fail when the block takes longer than this.

    Args:
        seconds: How long it may take.
        what: What was waited for, as the subject of the sentence.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        pytest.fail(f"{what} took longer than {seconds:g} s: it hangs.")
