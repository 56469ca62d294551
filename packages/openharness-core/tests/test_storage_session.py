"""The life of a store in the event loops it is used in: what was begun, who closes it, and what nobody closed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import NoReturn

import pytest

from openharness.core import StoreClosedError, StoreError
from openharness.core.storage import SessionStore, StoreSession


class Session(StoreSession):
    """Opens nothing but a flag, and says what became of it."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told
        self.is_there = False

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed."""
        return self.is_there

    async def open(self) -> None:
        """Open it."""
        self.is_there = True
        self.told.append("opened")

    async def close_all(self) -> None:
        """Wait for what was begun, and close it."""
        await self.drain()
        self.is_there = False
        self.told.append("closed")

    def give_up(self) -> None:
        """Close it at once."""
        self.is_there = False
        self.told.append("given up")

    def store_error(self, error: Exception) -> Exception:
        """Say that it was here."""
        return StoreError(f"it failed: {error}", store="here")


class Store(SessionStore[Session]):
    """Keeps nothing."""

    def __init__(self, told: list[str], *, limit: int = 1) -> None:
        if limit < 1:
            raise ValueError(limit)
        self.told = told
        super().__init__(name="Store()")

    def _new_session(self) -> Session:
        return Session(self.told)

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""
        await self.close()

    def session(self) -> Session:
        """What every method of a store begins with."""
        return self._current()


@pytest.fixture
def told() -> list[str]:
    """What the sessions of a test say of themselves."""
    return []


async def test_a_caller_that_is_cancelled_does_not_end_the_work(told: list[str]) -> None:
    """It leaves at once; the work goes on, and closing waits for it."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        told.append("done")

    async with Store(told) as store:
        caller = asyncio.ensure_future(store.session().begin(work))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        assert told == ["opened"]
        may_end.set()
        await closing
    assert told == ["opened", "done", "closed"]


async def test_an_error_of_work_belongs_to_its_caller(told: list[str]) -> None:
    """Each caller gets it in the words of the store, and the store works on."""

    async def fail() -> NoReturn:
        raise OSError("no disk")

    async def work() -> str:
        return "result"

    async with Store(told) as store:
        with pytest.raises(StoreError, match="it failed: no disk"):
            await store.session().begin(fail)
        assert await store.session().begin(work) == "result"


async def test_closing_at_once_closes_once(told: list[str]) -> None:
    """All who close wait for one closing, which goes on when one of them is cancelled; then the store is closed."""
    store = Store(told)
    may_end = asyncio.Event()
    working = store.session().begin(may_end.wait)
    first, second = asyncio.ensure_future(store.close()), asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    may_end.set()
    await second
    assert working.result()
    assert told == ["closed"]
    assert repr(store) == "<Store(), closed>"
    with pytest.raises(StoreClosedError, match="make a new one") as caught:
        store.session()
    assert caught.value.store == "Store()"


async def test_a_closing_that_was_shut_down_is_done_again(told: list[str]) -> None:
    """Who shuts down a loop cancels the closing itself; who then still asks for it gets it."""
    store = Store(told)
    may_end = asyncio.Event()
    session = store.session()
    session.begin(may_end.wait)
    before = asyncio.all_tasks()
    closing = asyncio.ensure_future(session.close())
    await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before - {closing}
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert session.is_closing
    assert told == ["closed"]


def test_a_store_belongs_to_a_loop(told: list[str]) -> None:
    """While its loop is there no other may use it; when that is closed another may, and what was open is given up."""
    store = Store(told)

    async def use() -> Session:
        await store.__aenter__()
        return store.session()

    first_loop, second_loop = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first = first_loop.run_until_complete(use())
        with pytest.raises(StoreClosedError, match="another event loop"):
            second_loop.run_until_complete(use())
        first_loop.close()
        second = second_loop.run_until_complete(use())
        assert (first.loop, second.loop) == (first_loop, second_loop)
        assert told == ["opened", "given up", "opened"]
        asyncio.run(store.close())
        assert told[3:] == ["given up"]
    finally:
        first_loop.close()
        second_loop.close()


async def test_a_forked_process_makes_its_own(told: list[str]) -> None:
    """What was opened before the fork is the parent's, to use and to close."""
    store = Store(told)
    session = store.session()
    session.process += 1
    with pytest.raises(StoreClosedError, match="forked"):
        store.session()
    session.process -= 1
    await store.close()
    assert told == ["closed"]


async def test_what_nobody_closed_is_given_up_with_a_warning(told: list[str]) -> None:
    """Of a store that is gone nothing stays open, and its user is told what to write."""
    store = Store(told)
    await store.session().open()
    with pytest.warns(ResourceWarning, match=r"<Store\(\)> was never closed. Use `async with Store"):  # noqa: PT031
        del store
        gc.collect()
    assert told == ["opened", "given up"]


async def test_what_was_never_opened_needs_no_closing(told: list[str]) -> None:
    """Neither a store with wrong arguments nor one that was not used warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="0"):
            Store(told, limit=0)
        store = Store(told)
        await store.close()
        await store.close()
        del store
        gc.collect()
    assert told == []
