"""The error of a test that reached a provider."""

from __future__ import annotations

from openharness.core import OpenHarnessError

__all__ = ("ProviderReachedError",)


class ProviderReachedError(OpenHarnessError):
    """A test reached a provider, and is not to in its mode. Nothing was sent.

    Attributes:
        test: The test.
        provider: The provider's type.
        call: The call: ``"editor#1/0/0"``.
        mode: The mode.
    """

    def __init__(self, *, test: str, provider: str, call: str, mode: str, reason: str) -> None:
        self.test = test
        self.provider = provider
        self.call = call
        self.mode = mode
        super().__init__(
            f"{test} reached the provider {provider!r} with the call {call}, and in mode {mode!r} ({reason}) only "
            "runs that the fixture `recording` records may call one; nothing was sent. Give the run its recording "
            "(**recording.options()); or mark a test that is meant to call a model with "
            '@pytest.mark.recording(mode="live"); or, if this provider is no model, list its type in the ini option '
            "harness_doubles."
        )
