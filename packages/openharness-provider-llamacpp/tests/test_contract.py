"""The contract of every provider, on the real model."""

from __future__ import annotations

import pytest

from openharness.provider_llamacpp import LlamaCppProvider
from openharness.testing import Ability, ProviderContract

# Each test has a provider of its own, which loads the model.
pytestmark = pytest.mark.slow


class TestLlamaCppProvider(ProviderContract):
    """The provider keeps the contract."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    async def provider(self, real_model: None) -> LlamaCppProvider:
        """Return a provider whose model is loaded, which is the one moment that stops the event loop."""
        provider = LlamaCppProvider()
        await provider.load()
        return provider

    @pytest.fixture
    def failing_provider(self) -> LlamaCppProvider:
        """Return a provider whose model is not there."""
        return LlamaCppProvider("no/such/file.gguf")
