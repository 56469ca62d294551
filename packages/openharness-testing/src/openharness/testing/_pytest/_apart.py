"""Awaiting from code that is not asynchronous."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("run_apart",)

T = TypeVar("T")


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own, and return what it returns.

    Plugins for asynchronous tests keep an event loop in pytest's thread, which `asyncio.run` would take from them.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="openharness-pytest") as thread:
        return thread.submit(asyncio.run, coroutine).result()
