"""The contract of every provider, on the bytes of a real model and on the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from real_contract import RealModelContract, real_url
from real_server import MODEL
from serving import Reply, served_elsewhere

from openharness.provider_openai import OpenAIProvider
from openharness.testing import Ability, ProviderContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core import Provider

__all__ = ("real_url",)

ANSWER = Reply(body=(Path(__file__).parent / "streams" / "01_text.sse").read_bytes(), size=100)


class TestOpenAIProvider(ProviderContract):
    """The provider keeps the contract."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        """Return a provider of a server that always says the same."""
        with served_elsewhere(ANSWER) as url:
            yield OpenAIProvider("m", base_url=f"{url}/v1", timeout=500)

    @pytest.fixture
    def failing_provider(self) -> Provider:
        """Return a provider of a server that is not there."""
        return OpenAIProvider("m", base_url="http://127.0.0.1:9/v1", max_retries=0)


@pytest.mark.slow
class TestOpenAIProviderOnARealModel(RealModelContract):
    """The provider keeps the contract on a real model."""

    tells_stop_texts = False

    def make(self, url: str, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        return OpenAIProvider(MODEL, base_url=f"{url}/v1", **options)
