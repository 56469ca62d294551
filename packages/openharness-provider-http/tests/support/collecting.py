"""Short ways to ask a provider something and to write down what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core import (
    Completed,
    Message,
    ProviderRequest,
    ProviderWarning,
    RunContext,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from openharness.core import Provider, ProviderEvent, ProviderOutput

CONTEXT = RunContext(run_id="run_1", agent="asker", activation="asker#1", call="asker#1/0/0")


def request(text: str = "hi", **options: Any) -> ProviderRequest:
    """Make a request of one message."""
    return ProviderRequest(**{"messages": [Message("user", text)], **options})


async def collect(
    provider: Provider, asked: ProviderRequest, events: list[ProviderEvent] | None = None, *, attempt: int = 0
) -> list[ProviderEvent]:
    """Return all events of a request. A list that is given also holds them when the request fails."""
    events = [] if events is None else events
    context = RunContext(
        run_id="run_1", agent="asker", activation="asker#1", call=f"asker#1/0/{attempt}", attempt=attempt
    )
    generator = provider.run(asked, context)
    try:
        async for event in generator:
            events.append(event)
    finally:
        await generator.aclose()
    return events


async def exhaust(generator: AsyncGenerator[ProviderEvent, None]) -> None:
    """Read to the end, which is expected to be an error."""
    async for _ in generator:
        pass


async def ask(provider: Provider, text: str = "hi", **options: Any) -> ProviderOutput:
    """Return the output of a request."""
    last = (await collect(provider, request(text, **options)))[-1]
    assert isinstance(last, Completed)
    return last.output


def told(event: ProviderEvent) -> Any:
    """Write an event down as a JSON value."""
    match event:
        case TextDelta():
            return ["text", event.text]
        case ThinkingDelta():
            return ["thinking", event.text]
        case ToolCall():
            return ["tool", event.id, event.name, event.arguments]
        case ProviderWarning():
            return ["warning", event.message]
        case Completed():
            # By name, since outputs may come to hold more.
            names = ("content", "thinking", "stop_reason", "model", "request_id", "data", "usage")
            return ["completed", {name: to_json(getattr(event.output, name)) for name in names}]
