"""Stored streams of a real model through the models of two vendors, and everything that can go wrong with one."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from collecting import collect, request
from http_contract import HTTPContract, run_program, sizes_of
from serving import Reply, Server, error_reply

from openharness.core import Message, ProviderError
from openharness.provider_pydantic_ai import PydanticAIProvider

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from openharness.core import Provider

# The same streams as of the providers of our own, through SDKs that take long to import.
pytestmark = pytest.mark.slow
PACKAGES = Path(__file__).parents[2]
SUPPORT = PACKAGES / "openharness-provider-http" / "tests" / "support"


def openai_model(url: str, *, max_retries: int | None = None) -> Model:
    """Make a model of an OpenAI-compatible server."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    settings: Any = {} if max_retries is None else {"max_retries": max_retries}
    return OpenAIChatModel("a-model", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="k"), settings=settings)


def anthropic_model(url: str, *, max_retries: int | None = None) -> Model:
    """Make a model of a server that speaks Anthropic's API."""
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    settings: Any = {} if max_retries is None else {"max_retries": max_retries}
    return AnthropicModel("a-model", provider=AnthropicProvider(base_url=url, api_key="k"), settings=settings)


class ModelContract(HTTPContract):
    """What every provider over HTTP promises, of a model of Pydantic AI's.

    Attributes:
        prefix: What stands before the name of such a model.
    """

    prefix: ClassVar[str]
    model: ClassVar[Any]

    def make(self, url: str, *, max_retries: int | None = None, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        return PydanticAIProvider(functools.partial(type(self).model, url, max_retries=max_retries), **options)

    def without_key(self) -> Provider:
        """Return a provider that was given no key."""
        return PydanticAIProvider(f"{self.prefix}:a-model")

    async def test_a_wrong_key_names_the_variable(self) -> None:
        """An error about the key asks whether it is the right one; which variable it is from, the model knows."""
        error, _, _ = await self.failure(error_reply(401, {"error": {"message": "invalid key"}}))
        assert str(error).endswith("invalid key. Is the key the right one?")

    async def test_a_page_instead_of_an_answer(self) -> None:
        """What answers with a page is an answer without content: the model does not show what it called itself."""
        await self.check_page("without content")

    @pytest.mark.parametrize(
        "options, says",
        [
            ({"messages": []}, "at least one message"),
            ({"max_tokens": 0}, "1 or more"),
            ({"temperature": -0.1}, "0 or more"),
            ({"stop": ["x", ""]}, "not empty"),
            ({"options": {"stop_sequences": [], "max_retries": 2}}, "['max_retries', 'stop_sequences']"),
            ({"messages": [Message("user", [{"kind": "nonsense"}])]}, "as Pydantic AI stores them"),
        ],
    )
    async def test_what_cannot_be_asked(self, options: dict[str, Any], says: str) -> None:
        """A request that cannot be right is refused before it is sent."""
        async with Server(Reply(body=self.whole)) as server, self.make(server.url) as provider:
            with pytest.raises(ProviderError) as caught:
                await collect(provider, request(**options))
            assert caught.value.kind == "invalid_request"
            assert says in str(caught.value)
            assert server.asked == []

    def test_the_sdk_is_imported_when_it_is_used(self) -> None:
        """Importing the package and making a provider imports neither Pydantic AI, nor an SDK, nor prices."""
        program = f"""
            import sys
            from openharness.provider_pydantic_ai import PydanticAIProvider
            PydanticAIProvider("{self.prefix}:a-model")
            names = ("{self.sdk}", "httpx2", "genai_prices", "pydantic", "pydantic_ai")
            print([name for name in names if name in sys.modules])
        """
        assert run_program(program) == (0, "[]\n", "")

    @pytest.mark.slow
    async def test_a_provider_that_was_never_closed(self) -> None:
        """A program that ends in the middle of a stream, and closes nothing, ends soon; Pydantic AI complains of it."""
        async with Server(Reply(body=self.half, ending="stall")) as server:
            program = f"""
                import asyncio, functools, sys
                sys.path[:0] = {[str(Path(__file__).parent), str(SUPPORT)]!r}
                from openharness.core import Message, ProviderRequest, RunContext
                from openharness.provider_pydantic_ai import PydanticAIProvider
                from test_streams import {type(self).model.__name__}
                provider = PydanticAIProvider(functools.partial({type(self).model.__name__}, {server.url!r}))
                context = RunContext(run_id="r", agent="a", activation="a#1", call="a#1/0/0")
                async def main():
                    async for event in provider.run(ProviderRequest(messages=[Message("user", "hi")]), context):
                        print(event.text)
                        break
                asyncio.run(main())
            """
            code, said, _ = await asyncio.to_thread(run_program, program)
        assert (code, said) == (0, "Hello\n")


class TestOpenAIModel(ModelContract):
    """A model of an OpenAI-compatible server keeps what every provider over HTTP promises."""

    folder = PACKAGES / "openharness-provider-openai" / "tests" / "streams"
    key_variable = "OPENAI_API_KEY"
    sdk = "openai"
    prefix = "openai-chat"
    model = staticmethod(openai_model)
    cut_events: ClassVar = {
        "server": b'data: {"error":{"message":"It broke.","type":"server_error","code":500}}\n\n',
        "context_length": b'data: {"error":{"message":"Too long.","code":"context_length_exceeded"}}\n\n',
        "error": b'data: {"error":"It broke."}\n\n',
    }

    @pytest.mark.parametrize("name, size", sizes_of(folder, (None, 7)))
    async def test_stored_streams(self, name: str, size: int | None) -> None:
        """Every stored stream says the same, however its bytes arrive."""
        await self.check_stream(name, size)


class TestAnthropicModel(ModelContract):
    """A model of a server that speaks Anthropic's API keeps what every provider over HTTP promises."""

    folder = PACKAGES / "openharness-provider-claude" / "tests" / "streams"
    key_variable = "ANTHROPIC_API_KEY"
    sdk = "anthropic"
    prefix = "anthropic"

    def expected(self, name: str) -> list[Any]:
        """What a stored stream says, without what Pydantic AI does not tell: the text at which an answer stopped."""
        *events, last = super().expected(name)
        if name == "09_stop_sequence.sse":
            assert last[1]["stop_reason"] == "stop"
            last = [last[0], {**last[1], "stop_reason": "end", "data": None}]
        return [*events, last]

    model = staticmethod(anthropic_model)
    cut_events: ClassVar = {
        "overloaded": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        "server": b'event: error\ndata: {"code":500,"message":"It broke.","type":"server_error"}\n\n',
        "rate_limit": b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}\n\n',
    }

    @pytest.mark.parametrize("name, size", sizes_of(folder, (None, 7)))
    async def test_stored_streams(self, name: str, size: int | None) -> None:
        """Every stored stream says the same, however its bytes arrive."""
        await self.check_stream(name, size)
