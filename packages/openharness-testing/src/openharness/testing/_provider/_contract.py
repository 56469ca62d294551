"""The parts of the contract of providers, put together; the quick ones run first."""

from __future__ import annotations

from openharness.testing._provider._answers import AnswerTests, DeclarationTests, FailureTests
from openharness.testing._provider._streams import ConcurrencyTests, InterruptionTests, ResponsivenessTests

__all__ = ("ProviderContract",)


class ProviderContract(
    ResponsivenessTests, ConcurrencyTests, InterruptionTests, FailureTests, AnswerTests, DeclarationTests
):
    """The contract of a provider. Subclass it, define the fixture ``provider``, and pytest reports each promise.

    ::

        class TestMyProvider(ProviderContract):
            abilities = frozenset({Ability.FAILURES})

            @pytest.fixture
            def provider(self):
                return MyProvider(base_url=...)

            @pytest.fixture
            def failing_provider(self):
                return MyProvider(base_url="http://localhost:9")

    About 25 requests are sent. Define the fixture ``provider_request`` to send another one than the default, which asks
    for a short text at temperature 0. What a provider declares in `Provider.capabilities` (``seed``, ``streaming``) is
    tested, the rest is skipped. The fixture ``failing_provider`` belongs to `Ability.FAILURES`.
    """
