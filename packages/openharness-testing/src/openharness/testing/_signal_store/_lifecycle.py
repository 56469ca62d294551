"""Opening, closing, and what holds after a close."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from openharness.core import StoreClosedError, StoreError
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import found_ids, load, make_signal, make_signals, record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import Signal, SignalStore

__all__ = ("LifecycleTests",)


async def _iterate(store: SignalStore) -> list[Signal]:
    return [signal async for signal in store.iter_signals("some-id")]


_METHODS: dict[str, Callable[[SignalStore], Awaitable[object]]] = {
    "create_recording": lambda store: store.create_recording(run_id="run-1"),
    "append": lambda store: store.append("some-id", [make_signal(0)]),
    "add_checkpoint": lambda store: store.add_checkpoint("some-id", "here", 0),
    "finalize": lambda store: store.finalize("some-id", outcome="completed"),
    "publish": lambda store: store.publish("some-id", "fixture"),
    "load_recording": lambda store: store.load_recording("some-id"),
    "iter_signals": _iterate,
    "list_recordings": lambda store: store.list_recordings(),
    "find_recording": lambda store: store.find_recording("fixture"),
    "delete_recording": lambda store: store.delete_recording("some-id"),
    "list_fixtures": lambda store: store.list_fixtures(),
}


class LifecycleTests(SignalStoreCase):
    """A store opens itself once, and closes for good."""

    @pytest.mark.parametrize("was_used", [True, False], ids=["used", "never-used"])
    async def test_closing_twice_is_no_error(self, store: SignalStore, *, was_used: bool) -> None:
        """A second close, and a third, do nothing, also for a store that nobody used."""
        if was_used:
            await record(store, make_signal(0))
        for _ in range(3):
            await self.soon(store.close(), "closing again")

    @pytest.mark.parametrize("was_used", [True, False], ids=["used", "never-used"])
    async def test_closing_at_once_from_many_tasks_ends(self, store: SignalStore, *, was_used: bool) -> None:
        """Concurrent closes all return."""
        if was_used:
            await record(store, make_signal(0))
        async with self.promptly("closing from five tasks at once"):
            await asyncio.gather(*(store.close() for _ in range(5)))

    @pytest.mark.parametrize("was_used", [True, False], ids=["used", "never-used"])
    @pytest.mark.parametrize("name", list(_METHODS))
    async def test_every_method_refuses_after_a_close(self, store: SignalStore, name: str, *, was_used: bool) -> None:
        """A closed store raises StoreClosedError; it does not open itself again."""
        if was_used:
            await record(store, make_signal(0))
        await store.close()
        with pytest.raises(StoreClosedError):
            await self.soon(_METHODS[name](store), f"{name} after a close")

    async def test_async_with_opens_and_closes(self, store: SignalStore) -> None:
        """``async with`` gives the store itself, and closes it, also when an error comes out."""

        async def fail() -> None:
            async with store as entered:
                assert entered is store
                await record(entered, make_signal(0))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        with pytest.raises(StoreClosedError):
            await store.list_recordings()

    async def test_a_close_waits_for_what_was_begun(self, store: SignalStore) -> None:
        """Closing while appends are under way: each is done or raises StoreClosedError, and nothing hangs."""
        made = [await record(store) for _ in range(10)]
        appends = [asyncio.ensure_future(store.append(recording_id, make_signals(3))) for recording_id in made]
        await asyncio.sleep(0)
        async with self.promptly("closing while appends are under way"):
            await store.close()
            results = await asyncio.gather(*appends, return_exceptions=True)
        for result in results:
            assert result is None or isinstance(result, StoreClosedError), repr(result)

    @requires(Ability.DURABLE)
    async def test_a_close_loses_no_acknowledged_append(
        self, store: SignalStore, reopen: Callable[[], SignalStore]
    ) -> None:
        """Of appends under way during a close, exactly those that returned are found afterwards."""
        made = [await record(store) for _ in range(10)]
        appends = [asyncio.ensure_future(store.append(recording_id, make_signals(3))) for recording_id in made]
        await asyncio.sleep(0)
        async with self.promptly("closing while appends are under way"):
            await store.close()
            results = await asyncio.gather(*appends, return_exceptions=True)
        async with reopen() as again:
            for recording_id, result in zip(made, results, strict=True):
                expected = make_signals(3) if result is None else []
                assert_same(list((await load(again, recording_id)).signals), expected, what="signals")

    @requires(Ability.DURABLE)
    async def test_constructing_a_store_does_no_work(
        self, store: SignalStore, reopen: Callable[[], SignalStore]
    ) -> None:
        """A store that was only made holds nothing and disturbs nobody, closed or not."""
        recording_id = await record(store, make_signal(0))
        unused = [reopen() for _ in range(3)]
        await store.append(recording_id, [make_signal(1)])
        await unused[0].close()
        del unused
        assert len((await load(store, recording_id)).signals) == 2

    async def test_another_event_loop_works_or_is_refused(self, store: SignalStore) -> None:
        """Used from a second event loop, a store answers or raises StoreError; it never waits for ever."""
        recording_id = await record(store, make_signal(0))

        async def use() -> object:
            async with asyncio.timeout(self.patience / 2):
                return await store.load_recording(recording_id)

        def other_loop() -> str:
            try:
                return "found" if asyncio.run(use()) is not None else "not found"
            except StoreError:
                return "refused"
            except TimeoutError:
                return f"still waiting after {self.patience / 2:g} s"

        assert await asyncio.to_thread(other_loop) in ("found", "refused")
        await self.soon(store.append(recording_id, [make_signal(1)]), "the first loop, after the second one ended,")
        assert await found_ids(store) == [recording_id]
