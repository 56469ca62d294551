"""A store that belongs to the event loop it is used in, and how it is closed, or given up where nobody closed it."""

from __future__ import annotations

import abc
import asyncio
import os
import warnings
from typing import Generic, Self, TypeVar

from openharness.core.errors import StoreClosedError
from openharness.core.storage._session import StoreSession

__all__ = ("SessionStore",)

SessionT = TypeVar("SessionT", bound=StoreSession)


class SessionStore(abc.ABC, Generic[SessionT]):
    """The part of a store that is about event loops. A store inherits from this first, then from its interface.

    A store begins a session at its first use. It belongs to the event loop it was first used in; when that is closed, it
    may be used in another. One that was never closed gives up what it has open, and warns.

    Who writes a store says with ``_new_session`` what it opens. Each method that works begins with ``_current()``, the
    session of the running loop, or with ``_check_open()`` where it needs none; both raise `StoreClosedError`.

    Args:
        name: What the store calls itself in errors. Until this is called, with arguments that are known to be valid,
            there is nothing to close.
    """

    _closed: bool = True
    _session: SessionT | None = None

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._closed = False

    @abc.abstractmethod
    def _new_session(self) -> SessionT:
        """Return a session of the running event loop, in which nothing is open yet."""

    def __repr__(self) -> str:
        return f"<{self._name}{', closed' if self._closed else ''}>"

    async def close(self) -> None:
        """Wait for what was begun and close what is open. Closing twice, or at once, is no error."""
        self._closed = True
        session = self._session
        if session is None or session.process != os.getpid():
            return
        if session.loop is asyncio.get_running_loop():
            await session.close()
        else:
            await session.leave()
        self._session = None

    async def __aenter__(self) -> Self:
        """Open it, so that what is wrong is known at once."""
        await self._current().open()
        return self

    def __del__(self) -> None:
        session = self._session
        if session is None or session.process != os.getpid() or not session.is_open:
            return
        session.give_up()
        kind = type(self).__name__
        warnings.warn(
            f"{self!r} was never closed. Use `async with {kind}(...) as store:`, or `await store.close()`.",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    def _current(self) -> SessionT:
        """Return the session of the running loop, beginning one at the first use."""
        self._check_open()
        session = self._session
        loop = asyncio.get_running_loop()
        if session is not None:
            if session.process != os.getpid():
                raise StoreClosedError(
                    "the store was opened before this process was forked, and its connections belong to the parent; "
                    "make a new one here.",
                    store=self._name,
                )
            if session.loop is loop:
                return session
            if not session.loop.is_closed():
                raise StoreClosedError(
                    "the store is in use by another event loop; make one store for each loop.", store=self._name
                )
            session.give_up()
        self._session = session = self._new_session()
        return session

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store was closed; make a new one.", store=self._name)
