"""The contract of every provider, on models that need no vendor and on the bytes of a real model."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from serving import Reply, served_elsewhere

from openharness.core import ProviderError
from openharness.provider_pydantic_ai import PydanticAIProvider
from openharness.testing import Ability, ProviderContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pydantic_ai.models import Model

    from openharness.core import Provider

STREAM = Path(__file__).parents[2] / "openharness-provider-openai" / "tests" / "streams" / "01_text.sse"


def echo_model() -> Model:
    """Make a model that says what it was asked, in pieces."""
    from pydantic_ai.models.function import FunctionModel

    async def answer(messages: list[Any], info: Any) -> AsyncIterator[str]:
        for word in ("You ", "said ", str(messages[-1].parts[-1].content)):
            yield word

    return FunctionModel(stream_function=answer)


def failing_model() -> Model:
    """Make a model that is not well."""
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.models.function import FunctionModel

    async def answer(messages: list[Any], info: Any) -> AsyncIterator[str]:
        yield "so far"
        raise ModelHTTPError(503, "function", {"message": "busy"})

    return FunctionModel(stream_function=answer)


class TestFunctionModel(ProviderContract):
    """A model that is a function keeps the contract."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self) -> Provider:
        """Return a provider of such a model."""
        return PydanticAIProvider(echo_model)

    @pytest.fixture
    def failing_provider(self) -> Provider:
        """Return one that fails in the middle."""
        return PydanticAIProvider(failing_model)


class TestTestModel(ProviderContract):
    """Pydantic AI's own double keeps the contract, by its name."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self) -> Provider:
        """Return a provider of it."""
        return PydanticAIProvider("test")

    @pytest.fixture
    def failing_provider(self) -> Provider:
        """Return a provider of a model that nobody knows."""
        return PydanticAIProvider("no-such-vendor:a-model")


class TestWholeAnswers(ProviderContract):
    """A model that is asked for whole answers keeps the contract."""

    @pytest.fixture
    def provider(self) -> Provider:
        """Return a provider that does not stream."""
        return PydanticAIProvider("test", stream=False)


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="the openai SDK is not installed")
class TestOpenAIModel(ProviderContract):
    """A vendor's model over HTTP keeps the contract."""

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        """Return a provider of a server that always says the same."""
        with served_elsewhere(Reply(body=STREAM.read_bytes(), size=100)) as url:
            yield PydanticAIProvider(functools.partial(openai_model, url))


def openai_model(url: str) -> Model:
    """Make a model of an OpenAI-compatible server."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel("a-model", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="k"))


async def test_a_model_that_is_not_there_says_so() -> None:
    """The error of an unknown model names it, and what it is like."""
    from collecting import ask

    async with PydanticAIProvider("anthropik:claude-haiku-4-5") as provider:
        with pytest.raises(ProviderError, match="'anthropik:claude-haiku-4-5' cannot be made: Unknown model") as caught:
            await ask(provider)
    assert (caught.value.kind, caught.value.retryable) == ("configuration", False)
