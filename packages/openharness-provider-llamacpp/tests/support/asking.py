"""Short ways to ask a provider something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core import Completed, Message, ProviderRequest, RunContext

if TYPE_CHECKING:
    from openharness.core import Provider, ProviderEvent, ProviderOutput

CONTEXT = RunContext(run_id="run_1", agent="asker", activation="asker#1", call="asker#1/0/0")


def request(text: str, **options: Any) -> ProviderRequest:
    """Make a request of one message, of at most 16 tokens where nothing else is said."""
    return ProviderRequest(messages=[Message("user", text)], **{"max_tokens": 16, **options})


async def events(provider: Provider, text: str, **options: Any) -> list[ProviderEvent]:
    """Return all events of a request."""
    return [event async for event in provider.run(request(text, **options), CONTEXT)]


async def ask(provider: Provider, text: str, **options: Any) -> ProviderOutput:
    """Return the output of a request."""
    last = (await events(provider, text, **options))[-1]
    assert isinstance(last, Completed)
    return last.output
