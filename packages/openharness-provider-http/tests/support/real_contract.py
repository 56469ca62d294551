"""What holds for every provider over HTTP on a real model: the published contract, tools, typed output, errors."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest
from collecting import CONTEXT, ask, exhaust, request
from real_server import MODEL, QUESTION_AFTER_AN_EXAMPLE, get_weather, running_model

from openharness.core import Message, ProviderError, ProviderRequest, TextDelta, create_harness, from_json
from openharness.signals import MemorySignalStore
from openharness.testing import Ability, ProviderContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core import Provider

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


@attrs.frozen
class Person:
    """What an agent asks for."""

    name: str
    age: int


@pytest.fixture(scope="module")
def real_url() -> Iterator[str]:
    """Start the real server for the tests of a module."""
    with running_model() as url:
        yield url


class RealModelContract(ProviderContract):
    """The published contract, and what a real model is needed for. A subclass says how a provider is made.

    Attributes:
        tells_stop_texts: Whether this API of the server tells a stop text from the end.
    """

    abilities = frozenset({Ability.FAILURES})
    tells_stop_texts: ClassVar[bool]

    def make(self, url: str, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        raise NotImplementedError

    def make_typed(self, url: str) -> Provider:
        """Return a provider whose way to typed output this server knows."""
        return self.make(url)

    @property
    def typed_example(self) -> list[Message]:
        """What comes before a question for a typed answer."""
        return []

    @property
    def typed_prompt(self) -> str:
        """The same as one prompt."""
        return "Who is Adam? He is 30. Answer as JSON with name and age."

    @pytest.fixture
    def provider(self, real_url: str) -> Provider:
        """Return a provider of the real model."""
        return self.make(real_url)

    @pytest.fixture
    def provider_request(self, provider: Provider) -> ProviderRequest:
        """Ask for little."""
        return ProviderRequest(
            messages=[Message("user", "Count from one to five.")],
            max_tokens=8,
            temperature=0.0,
            seed=7 if provider.capabilities.seed else None,
        )

    @pytest.fixture
    def failing_provider(self) -> Provider:
        """Return a provider of a server that is not there."""
        return self.make("http://127.0.0.1:9", max_retries=0)

    async def test_usage_and_the_end(self, provider: Provider) -> None:
        """The model tells what it read and wrote, and why it stopped."""
        output = await ask(provider, "Tell me a story.", system="You are a pirate.", max_tokens=8)
        assert (output.usage.input_tokens, output.usage.output_tokens, output.usage.cost) == (24, 8, None)
        assert (output.stop_reason, output.model) == ("max_tokens", MODEL)
        assert output.request_id
        output = await ask(provider, "Count from 1 to 10.", max_tokens=40, stop=["5"])
        assert output.stop_reason == ("stop" if self.tells_stop_texts else "end")
        assert "4" in output.content
        assert "5" not in output.content

    async def test_an_agent_with_a_tool(self, provider: Provider) -> None:
        """The model asks for a tool by its schema, and answers from the result; all of it replays without the model."""
        harness = create_harness()
        store = MemorySignalStore()
        agent = harness.agent(
            prompt=lambda _: QUESTION_AFTER_AN_EXAMPLE,
            activate_on="harness:start",
            updates="answer",
            tools=[get_weather],
            max_tokens=60,
            temperature=0.0,
        )
        settings: dict[str, Any] = {"agents": {"asker": agent}, "state": {"answer": ""}, "store": store, "fixture": "f"}
        recorded = await harness.run_reactive(**settings, provider=provider, mode="record")
        (call,) = [signal.payload for signal in recorded.signals if signal.name == "tool:call"]
        assert (call["name"], call["arguments"]) == ("get_weather", {"city": "Paris", "unit": "c"})
        assert "18 degrees" in recorded.state["answer"]
        assert recorded.metrics.provider_calls == 2
        replayed = await harness.run_reactive(**settings, mode="replay")
        assert replayed.signals == recorded.signals

    async def test_typed_output(self, real_url: str) -> None:
        """An answer with a schema is JSON text that fits it."""
        async with self.make_typed(real_url) as provider:
            output = await ask(
                provider,
                messages=[*self.typed_example, Message("user", "Who is Adam? He is 30.")],
                output_schema=PERSON,
                max_tokens=60,
                temperature=0.0,
            )
        answer = json.loads(output.content)
        assert isinstance(answer["name"], str)
        assert answer["age"] == 30
        assert output.stop_reason == "end"

    async def test_an_agent_with_typed_output(self, real_url: str) -> None:
        """The model's answer becomes the object that the agent's type asks for, and the run replays without the model."""
        harness = create_harness()
        store = MemorySignalStore()
        agent = harness.agent(
            prompt=lambda _: self.typed_prompt,
            activate_on="harness:start",
            updates="person",
            output=Person,
            max_tokens=60,
            temperature=0.0,
        )
        settings: dict[str, Any] = {
            "agents": {"asker": agent},
            "state": {"person": None},
            "store": store,
            "fixture": "f",
        }
        async with self.make_typed(real_url) as provider:
            recorded = await harness.run_reactive(**settings, provider=provider, mode="record")
        person = from_json(recorded.state["person"], Person)
        assert person.age == 30
        replayed = await harness.run_reactive(**settings, mode="replay")
        assert replayed.signals == recorded.signals

    async def test_cancelling_half_way_frees_the_model(self, provider: Provider) -> None:
        """The server stops when a request is cancelled: the next one does not wait for the rest of it."""
        started = time.monotonic()
        await ask(provider, max_tokens=20)
        twenty = time.monotonic() - started
        generator = provider.run(request("Tell me a long story about a fox.", max_tokens=2000), CONTEXT)
        assert isinstance(await anext(generator), TextDelta)
        task = asyncio.create_task(exhaust(generator))
        await asyncio.sleep(0)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ask(provider, max_tokens=1)
        # 2,000 tokens take a hundred times what twenty take.
        assert time.monotonic() - started < 10 + 20 * twenty

    async def test_requests_at_once(self, provider: Provider) -> None:
        """Requests at once each get the text they get alone."""
        questions = [f"Write the number {number} as a word." for number in range(3)]
        outputs = await asyncio.gather(*(ask(provider, text, max_tokens=5, temperature=0.0) for text in questions))
        alone = [(await ask(provider, text, max_tokens=5, temperature=0.0)).content for text in questions]
        assert [output.content for output in outputs] == alone

    async def test_a_prompt_that_does_not_fit(self, provider: Provider) -> None:
        """A prompt longer than the context is an error that says so, and the provider goes on working."""
        generator = provider.run(request("hello " * 6000), CONTEXT)
        with pytest.raises(ProviderError) as caught:
            await anext(generator)
        assert (caught.value.kind, caught.value.status, caught.value.retryable) == ("context_length", 400, False)
        assert (await ask(provider, max_tokens=1)).usage.output_tokens == 1
