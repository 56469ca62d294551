"""Limits how many requests a provider is sent at once, and how many a minute."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, Final, Self

from openharness.core.errors import InvalidValueError, ProviderError
from openharness.core.interfaces import Provider
from openharness.core.providers._admission import Admission
from openharness.core.providers._events import open_events

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from openharness.core.interfaces import ProviderEvent, ProviderRequest, RunContext

__all__ = ("LimitedProvider",)

_LONGEST_PAUSE: Final = 10.0**9


class LimitedProvider(Provider):
    """A provider that sends another one so many requests at once, and so many a minute, and no more.

    Requests beyond that wait, and begin in the order in which they came: over all agents, runs, event loops and threads
    that share this object. A new try of the harness is a request like any other, and goes to the end of the queue. What
    waits can be cancelled at any time, and counts for nothing then. The agent's ``timeout`` stands still while a request
    waits; that of the run does not.

    When the provider refuses a request and says after how many seconds it may be asked again (`ProviderError` with
    ``retryable`` and ``retry_after``), no request begins before.

    Nothing of this is recorded, so a recording is the same with limits and without them, and a replay, which asks no
    provider, never waits. In recordings the provider has the ``type`` of the one that is limited.

    Args:
        provider: The provider that answers. Closing this one closes it.
        max_concurrency: How many of its requests may run at once: from the call of its ``run`` until what that returned
            is closed. None means any number.
        requests_per_minute: How many may begin within any 60 seconds, wherever those are taken to begin. None means any
            number. What an SDK sends again by itself is not seen here: turn that off (``max_retries=0``) and use the
            ``retries`` of agents.

    Attributes:
        provider: The provider that answers.

    Raises:
        InvalidValueError: A limit is no integer from 1 on, or ``provider`` is no `Provider`.
    """

    type: ClassVar[str] = "limited"

    def __init__(
        self, provider: Provider, *, max_concurrency: int | None = None, requests_per_minute: int | None = None
    ) -> None:
        if not isinstance(provider, Provider):  # pyright: ignore[reportUnnecessaryIsInstance] - users are not checked
            raise InvalidValueError(
                "provider", value=provider, expected="a Provider; open_provider() makes one of a name"
            )
        self.provider: Final = provider
        # Of this object, where other classes have it of the class: what stands in the log is who answers.
        vars(self)["type"] = provider.type
        self.display_name = provider.display_name
        self.capabilities = provider.capabilities
        self._limits = (("max_concurrency", max_concurrency), ("requests_per_minute", requests_per_minute))
        for name, value in self._limits:
            if value is not None and (type(value) is not int or value < 1):
                raise InvalidValueError(name, value=value, expected="an integer from 1 on, or None for any number")
        self._admission = Admission(max_concurrency=max_concurrency, requests_per_minute=requests_per_minute)

    def __repr__(self) -> str:
        """Name the provider and its limits."""
        limits = "".join(f", {name}={value}" for name, value in self._limits if value is not None)
        return f"LimitedProvider({self.provider!r}{limits})"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Run one request once it is its turn. See `Provider.run`."""
        with context.waiting():
            place = await self._admission.enter()
        try:
            async with aclosing(open_events(self.provider, request, context)) as events:
                async for event in events:
                    yield event
        except ProviderError as error:
            seconds = error.retry_after
            if error.retryable and isinstance(seconds, int | float) and 0 < seconds < _LONGEST_PAUSE:
                self._admission.close_for(seconds)
            raise
        finally:
            self._admission.leave(place)

    async def close(self) -> None:
        """Close the provider that answers."""
        await self.provider.close()

    async def __aenter__(self) -> Self:
        """Enter the provider that answers, and return this one."""
        await self.provider.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave the provider that answers."""
        await self.provider.__aexit__(*exc_info)
