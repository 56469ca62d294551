"""What a provider says of itself, and the events of one request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

import pytest

from openharness.core import (
    Completed,
    ProviderCapabilities,
    ProviderError,
    ProviderEvent,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    to_json,
)
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._provider._base import ProviderCase, make_context, output_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from openharness.core import Provider, ProviderRequest

__all__ = ("AnswerTests", "DeclarationTests", "FailureTests")


class DeclarationTests(ProviderCase):
    """What a provider declares."""

    async def test_the_type_is_a_short_name(self, provider: Provider) -> None:
        """``type`` is declared on the class: one word without white space, as it stands in every signal."""
        assert isinstance(type(provider).type, str)
        assert provider.type == type(provider).type
        assert provider.type.isprintable()
        assert 0 < len(provider.type) <= 40
        assert " " not in provider.type

    async def test_capabilities_and_name_are_declared(self, provider: Provider) -> None:
        """``capabilities`` is a ProviderCapabilities of bools, and ``display_name`` a string."""
        assert isinstance(provider.capabilities, ProviderCapabilities)
        for name in ("streaming", "system", "seed", "output_schema", "tools", "thinking"):
            assert type(getattr(provider.capabilities, name)) is bool, name
        assert isinstance(provider.display_name, str)

    async def test_closing_twice_is_no_error(self, provider: Provider) -> None:
        """A provider may be closed again, at once from several tasks, and without ever being used."""
        async with self.promptly("closing from three tasks at once"):
            await asyncio.gather(provider.close(), provider.close(), provider.close())
        await self.soon(provider.close(), "closing again")

    async def test_it_is_an_async_context_manager(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """``async with`` gives the provider itself."""
        async with provider as entered:
            assert entered is provider
            output_of(await self.events_of(entered, provider_request))


class AnswerTests(ProviderCase):
    """The events of a request that succeeds."""

    async def test_exactly_one_completed_comes_last(
        self, provider: Provider, provider_request: ProviderRequest
    ) -> None:
        """Every request ends with one Completed, and nothing follows it."""
        events = await self.events_of(provider, provider_request)
        assert [isinstance(event, Completed) for event in events].count(True) == 1
        assert isinstance(events[-1], Completed)

    async def test_only_provider_events_come(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """A provider yields nothing but the events of `ProviderEvent`."""
        for event in await self.events_of(provider, provider_request):
            assert isinstance(event, get_args(ProviderEvent)), repr(event)

    async def test_deltas_join_to_the_content(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """The texts of the deltas joined are the content; the same holds for thinking."""
        events = await self.events_of(provider, provider_request)
        output = output_of(events)
        texts = [event.text for event in events if isinstance(event, TextDelta)]
        thoughts = [event.text for event in events if isinstance(event, ThinkingDelta)]
        if texts:
            assert "".join(texts) == output.content
        if thoughts:
            assert "".join(thoughts) == output.thinking
        else:
            assert output.thinking is None

    async def test_no_delta_is_empty(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """A delta brings at least one character."""
        for event in await self.events_of(provider, provider_request):
            if isinstance(event, (TextDelta, ThinkingDelta)):
                assert event.text != ""

    async def test_what_streams_is_streamed(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """A provider that declares streaming sends its text as deltas before the end."""
        if not provider.capabilities.streaming:
            pytest.skip(f"{provider.type} does not declare streaming")
        events = await self.events_of(provider, provider_request)
        if output_of(events).content:
            assert any(isinstance(event, TextDelta) for event in events)

    async def test_the_output_is_of_json_values(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """All that a request brings can be recorded: texts are text, counts are counts, data are JSON values."""
        events = await self.events_of(provider, provider_request)
        output = output_of(events)
        assert type(output.content) is str
        for text in (output.stop_reason, output.model, output.request_id):
            assert text is None or type(text) is str
        for count in (output.usage.input_tokens, output.usage.output_tokens, output.usage.cached_tokens):
            assert type(count) is int
            assert count >= 0
        assert output.usage.cost is None or output.usage.cost >= 0
        for event in events:
            to_json(event)
            if isinstance(event, ToolCall):
                assert_same(to_json(event.arguments), event.arguments, what="arguments")
        assert_same(to_json(output.data), output.data, what="data")

    async def test_the_request_is_left_as_it_is(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """A request may be sent again: its messages, tools and options are not changed."""
        before = to_json(provider_request)
        await self.events_of(provider, provider_request)
        assert_same(to_json(provider_request), before, what="request")

    async def test_the_same_request_gives_the_same_text(
        self, provider: Provider, provider_request: ProviderRequest
    ) -> None:
        """Where ``seed`` is declared, temperature 0 and a seed make answers repeat, also after other requests."""
        if not provider.capabilities.seed:
            pytest.skip(f"{provider.type} does not declare seed")
        first = output_of(await self.events_of(provider, provider_request)).content
        output_of(await self.events_of(provider, self.other_request(provider_request, "Name a colour.")))
        assert output_of(await self.events_of(provider, provider_request)).content == first


async def _collect(generator: AsyncGenerator[ProviderEvent, None], events: list[ProviderEvent]) -> None:
    """Keep what came also when the generator raises."""
    async for event in generator:
        events.append(event)  # noqa: PERF401 - a comprehension would lose them


class FailureTests(ProviderCase):
    """The events of a request that fails."""

    @requires(Ability.FAILURES)
    async def test_a_failure_is_a_provider_error(
        self, failing_provider: Provider, provider_request: ProviderRequest
    ) -> None:
        """It raises ProviderError with a kind and a sentence, and never Completed before it."""
        events: list[ProviderEvent] = []
        generator = failing_provider.run(provider_request, make_context())
        with pytest.raises(ProviderError) as caught:
            await self.soon(_collect(generator, events), "a failing request")
        await generator.aclose()
        assert not any(isinstance(event, Completed) for event in events)
        error = caught.value
        assert isinstance(error.kind, str)
        assert error.kind != ""
        assert str(error) != ""
        assert type(error.retryable) is bool
        assert error.retry_after is None or error.retry_after >= 0
        to_json(error.data)
        await self.soon(failing_provider.close(), "closing after a failure")
