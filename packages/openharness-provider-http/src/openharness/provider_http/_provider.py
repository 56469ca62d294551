"""Runs a request through an SDK's client: opens the stream, reads it to its end, closes it, and names its errors."""

from __future__ import annotations

import abc
import json
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, cast

from openharness.core import Completed, InvalidValueError, Provider, ProviderError, ProviderWarning
from openharness.core.providers import check_request, without_surrogates
from openharness.provider_http._clients import Clients, ClientT, closed_error
from openharness.provider_http._prices import cost_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    import httpx2

    from openharness.core import ProviderEvent, ProviderRequest, RunContext
    from openharness.provider_http._answer import Answer
    from openharness.provider_http._errors import Service

__all__ = ("HTTPProvider", "PartStream")


class PartStream(Protocol):
    """What is used of an SDK's ``AsyncStream``."""

    @property
    def response(self) -> httpx2.Response:
        """The HTTP response."""
        ...

    def __aiter__(self) -> AsyncIterator[object]:
        """Iterate over the parts, each an object of the SDK."""
        ...

    async def __aenter__(self) -> Self:
        """Return the stream."""
        ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """Close the response."""
        ...


class HTTPProvider(Provider, Generic[ClientT]):
    """A provider on a vendor's SDK. Subclasses know the SDK and the forms of requests and answers.

    The SDK is imported, and its client made, by the first request in each event loop. The SDK's own retries serve the
    first attempt of a call; when the harness itself tries again, each of its attempts is sent once, so that the two
    add up and do not multiply.

    Args:
        client: A client of the caller's, which is used as it is and never closed; None makes one.
        max_tokens: The most tokens of an answer where the request says none.
        max_retries: How often the SDK sends a request again; None is the SDK's own number.
        timeout: Seconds of silence after which a request fails; None is the SDK's own number.

    Raises:
        InvalidValueError: An argument cannot be right.
    """

    type: ClassVar[str] = "http"

    def __init__(
        self, *, client: ClientT | None, max_tokens: int | None, max_retries: int | None, timeout: float | None
    ) -> None:
        for name, value, least in (("max_tokens", max_tokens, 1), ("max_retries", max_retries, 0)):
            if value is not None and (type(value) is not int or value < least):
                raise InvalidValueError(name, value=value, expected=f"an integer of {least} or more, or None")
        if timeout is not None and (isinstance(timeout, bool) or not timeout > 0):
            raise InvalidValueError("timeout", value=timeout, expected="seconds, more than 0, or None")
        self._max_tokens = max_tokens
        self._given = client
        # Held weakly: a provider that nobody holds any more is gone at once, and its connections with it.
        self._clients: Clients[ClientT] = Clients(_held_weakly(self._make))
        # What is handed to the SDK only where it was given here: the SDK's own values stay its own.
        self._settings: dict[str, Any] = {
            name: value for name, value in (("max_retries", max_retries), ("timeout", timeout)) if value is not None
        }

    @abc.abstractmethod
    def make_client(self, settings: Mapping[str, Any]) -> ClientT:
        """Import the SDK and make a client. Called in a thread.

        Args:
            settings: Keyword arguments for it.

        Raises:
            ProviderError: There is no key.
        """

    @abc.abstractmethod
    def service(self, client: ClientT) -> Service:
        """Return whom this client asks."""

    @abc.abstractmethod
    def body(self, request: ProviderRequest, client: ClientT) -> dict[str, Any]:
        """Return the request's body as a JSON object.

        Raises:
            ProviderError: The request asks for something that cannot be done.
        """

    def warnings(self, request: ProviderRequest) -> Iterable[ProviderWarning]:
        """Return what the user should know about how a request is sent. The default is nothing."""
        del request
        return ()

    @abc.abstractmethod
    async def open(self, client: ClientT, body: Mapping[str, Any], *, retries: bool) -> PartStream:
        """Send the request and return the stream of its answer.

        Args:
            client: The SDK's client.
            body: The request's body.
            retries: Whether the SDK may send it again; otherwise it is sent once.
        """

    @abc.abstractmethod
    def answer(self, request: ProviderRequest, body: Mapping[str, Any]) -> Answer:
        """Return what reads the answer to a request."""

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Run one request. See `Provider.run`."""
        check_request(request)
        client = self._given or await self._made()
        service = self.service(client)
        body, replaced = without_surrogates(self.body(request, client))
        for warning in self.warnings(request):
            yield warning
        if replaced:
            yield ProviderWarning(
                f"{replaced} lone surrogate(s) of the request were sent as U+FFFD: they have no UTF-8 form.",
                {"replaced": replaced},
            )
        answer = self.answer(request, body)
        headers: Mapping[str, str] = {}
        try:
            async with await self.open(client, body, retries=context.attempt == 0) as stream:
                headers = stream.response.headers
                async with aclosing(_parts(stream)) as parts:
                    async for part in parts:
                        for event in answer.read(part):
                            yield event
        except ProviderError:
            raise
        except Exception as error:
            raise (closed_error() if self._clients.is_closed() else service.error(error)) from error
        if not answer.is_complete:
            if self._clients.is_closed():
                raise closed_error()
            raise service.cut(answer, content_type=headers.get("content-type", ""))
        for event in answer.finish():
            yield event
        request_id = headers.get("request-id") or headers.get("x-request-id")
        cost = await cost_of(answer.tokens, model=answer.model, base_url=service.base_url)
        yield Completed(answer.output(request_id=request_id, cost=cost))

    async def close(self) -> None:
        """Close the connections. Requests that run end with a `ProviderError`."""
        await self._clients.close()

    async def _made(self) -> ClientT:
        try:
            return await self._clients.get()
        except ProviderError:
            raise
        except Exception as error:
            raise ProviderError(
                f"The client of {self.display_name or self.type} cannot be made: {error} Are the arguments of the provider "
                "and the environment variables right?",
                kind="configuration",
            ) from error

    def _make(self) -> ClientT:
        return self.make_client(self._settings)


def _held_weakly(make: Callable[[], ClientT]) -> Callable[[], ClientT]:
    reference = weakref.WeakMethod(make)

    def call() -> ClientT:
        method = reference()
        if method is None:
            raise closed_error()
        return method()

    return call


async def _parts(stream: PartStream) -> AsyncGenerator[Mapping[str, Any], None]:
    """Yield the parts of an answer as JSON objects."""
    if stream.response.headers.get("content-type", "").startswith("application/json"):
        # The server does not stream and sends the answer whole.
        yield _mapping(json.loads(await stream.response.aread()))
        return
    async for part in stream:
        yield _mapping(part)


def _mapping(part: object) -> Mapping[str, Any]:
    to_dict = getattr(part, "to_dict", None)
    # Servers send fields that the SDK's types do not know; to tell of each is not our business.
    given = part if to_dict is None else to_dict(warnings=False)
    if isinstance(given, Mapping):
        return cast("Mapping[str, Any]", given)
    raise ProviderError(f"Each part of an answer should be a JSON object, got {given!r}.", kind="protocol")
