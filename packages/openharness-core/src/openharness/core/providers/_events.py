"""Begins a request at a provider, which anybody may have written."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from openharness.core.errors import ProviderError

if TYPE_CHECKING:
    from openharness.core.interfaces import Provider, ProviderEvent, ProviderRequest, RunContext

__all__ = ("open_events",)


def open_events(
    provider: Provider, request: ProviderRequest, context: RunContext
) -> AsyncGenerator[ProviderEvent, None]:
    """Return the events of a request; whoever asked for them closes them.

    Raises:
        ProviderError: The provider's ``run`` is not what the contract asks for.
    """
    events: object = provider.run(request, context)
    if not isinstance(events, AsyncGenerator):  # pyright: ignore[reportUnnecessaryIsInstance] - providers are not checked
        if inspect.iscoroutine(events):
            events.close()
        raise ProviderError(f"run() returned {events!r}; it must be an async def with yield", kind="protocol")
    return events
