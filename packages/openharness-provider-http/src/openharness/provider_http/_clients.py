"""One SDK client for each event loop: connections belong to the loop they were made in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import attrs

from openharness.core import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Clients",)


class _Client(Protocol):
    async def close(self) -> None: ...


ClientT = TypeVar("ClientT", bound=_Client)


class Clients(Generic[ClientT]):
    """Makes clients when they are first asked for, and closes them.

    Each is held by a generator, because an event loop that shuts down ends the generators that were begun in it, and
    does so while connections can still be closed. A client that nobody holds any more is closed in the same way.

    Args:
        make: Makes a client. It is called in a thread, since it imports an SDK and reads certificates.
    """

    def __init__(self, make: Callable[[], ClientT]) -> None:
        self._make = make
        self._clients: dict[asyncio.AbstractEventLoop, asyncio.Task[_Held[ClientT]]] = {}
        self._closed = False

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def get(self) -> ClientT:
        """Return the client of the running event loop.

        Raises:
            ProviderError: `close` was called.
            Exception: What making the client raises; the next call tries again.
        """
        if self.is_closed():
            raise closed_error()
        loop = asyncio.get_running_loop()
        for other in [one for one in self._clients if one.is_closed()]:
            # Its connections ended with the loop.
            del self._clients[other]
        opening = self._clients.get(loop)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = self._clients[loop] = loop.create_task(_open(self._make))
            opening.add_done_callback(_look_at)
        # Shielded, because others may wait for the same client.
        held = await asyncio.shield(opening)
        if self.is_closed():
            raise closed_error()
        return held.client

    async def close(self) -> None:
        """Close the clients of all event loops that still run."""
        self._closed = True
        here = asyncio.get_running_loop()
        while self._clients:
            loop, opening = self._clients.popitem()
            if loop is here:
                await _close(opening)
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(opening), loop))


@attrs.frozen
class _Held(Generic[ClientT]):
    client: ClientT
    holder: AsyncGenerator[ClientT, None]


async def _open(make: Callable[[], ClientT]) -> _Held[ClientT]:
    client = await asyncio.to_thread(make)
    holder = _hold(client)
    await anext(holder)
    return _Held(client, holder)


async def _hold(client: ClientT) -> AsyncGenerator[ClientT, None]:
    try:
        yield client
    finally:
        await client.close()


async def _close(opening: asyncio.Task[_Held[ClientT]]) -> None:
    # A client that could not be made need not be closed.
    with contextlib.suppress(Exception):
        held = await asyncio.shield(opening)
        await held.holder.aclose()


def closed_error() -> ProviderError:
    """What a request to a closed provider gets."""
    return ProviderError("The provider was closed; make a new one.", kind="closed")


def _look_at(task: asyncio.Task[_Held[ClientT]]) -> None:
    """Look at the error of a task nobody may wait for any more, or asyncio logs it."""
    if not task.cancelled():
        task.exception()
