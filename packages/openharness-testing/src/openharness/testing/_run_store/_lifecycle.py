"""Opening, closing, and what holds after a close."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from openharness.core import StoreClosedError, StoreError
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import ids, make_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import RunRecord, RunStore

__all__ = ("LifecycleTests",)


async def _iterate(store: RunStore) -> list[RunRecord]:
    return [run async for run in store.iter_runs()]


_METHODS: dict[str, Callable[[RunStore], Awaitable[object]]] = {
    "save_run": lambda store: store.save_run(make_run()),
    "get_run": lambda store: store.get_run("run-1"),
    "list_runs": lambda store: store.list_runs(),
    "delete_run": lambda store: store.delete_run("run-1"),
    "iter_runs": _iterate,
    "count_runs": lambda store: store.count_runs(),
    "prune_runs": lambda store: store.prune_runs(keep_last=1),
}


class LifecycleTests(RunStoreCase):
    """A store opens itself once, and closes for good."""

    @pytest.mark.parametrize("was_used", [True, False], ids=["used", "never-used"])
    async def test_closing_twice_is_no_error(self, store: RunStore, *, was_used: bool) -> None:
        """A second close, and a third, do nothing, also for a store that nobody used."""
        if was_used:
            await store.save_run(make_run())
        for _ in range(3):
            await self.soon(store.close(), "closing again")

    @pytest.mark.parametrize("was_used", [True, False], ids=["used", "never-used"])
    async def test_closing_at_once_from_many_tasks_ends(self, store: RunStore, *, was_used: bool) -> None:
        """Concurrent closes all return."""
        if was_used:
            await store.save_run(make_run())
        async with self.promptly("closing from five tasks at once"):
            await asyncio.gather(*(store.close() for _ in range(5)))

    @pytest.mark.parametrize("was_used", [True, False], ids=["used", "never-used"])
    @pytest.mark.parametrize("name", list(_METHODS))
    async def test_every_method_refuses_after_a_close(self, store: RunStore, name: str, *, was_used: bool) -> None:
        """A closed store raises StoreClosedError; it does not open itself again."""
        if was_used:
            await store.save_run(make_run())
        await store.close()
        with pytest.raises(StoreClosedError):
            await self.soon(_METHODS[name](store), f"{name} after a close")

    async def test_the_end_of_async_with_closes(self, store: RunStore) -> None:
        """After ``async with`` the store is closed."""
        async with store:
            await store.save_run(make_run())
        with pytest.raises(StoreClosedError):
            await store.get_run("run-1")

    async def test_an_error_inside_async_with_comes_out(self, store: RunStore) -> None:
        """``async with`` closes the store and lets the error through."""

        async def fail() -> None:
            async with store:
                await store.save_run(make_run())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        with pytest.raises(StoreClosedError):
            await store.get_run("run-1")

    async def test_a_close_waits_for_what_was_begun(self, store: RunStore) -> None:
        """Closing while saves are under way: each is done or raises StoreClosedError, and nothing hangs."""
        saves = [asyncio.ensure_future(store.save_run(make_run(f"r{number:02}"))) for number in range(20)]
        await asyncio.sleep(0)
        async with self.promptly("closing while saves are under way"):
            await store.close()
            results = await asyncio.gather(*saves, return_exceptions=True)
        for result in results:
            assert result is None or isinstance(result, StoreClosedError), repr(result)

    @requires(Ability.DURABLE)
    async def test_a_close_loses_no_acknowledged_save(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """Of saves under way during a close, exactly those that returned are found afterwards."""
        await store.save_run(make_run("first"))
        saves = [asyncio.ensure_future(store.save_run(make_run(f"r{number:02}"))) for number in range(20)]
        await asyncio.sleep(0)
        async with self.promptly("closing while saves are under way"):
            await store.close()
            results = await asyncio.gather(*saves, return_exceptions=True)
        acknowledged = {f"r{number:02}" for number, result in enumerate(results) if result is None}
        async with reopen() as again:
            assert set(await ids(again)) == acknowledged | {"first"}

    @requires(Ability.DURABLE)
    async def test_constructing_a_store_does_no_work(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """A store that was only made holds nothing and disturbs nobody, closed or not."""
        await store.save_run(make_run("a"))
        unused = [reopen() for _ in range(3)]
        await store.save_run(make_run("b"))
        await unused[0].close()
        del unused
        assert await ids(store) == ["b", "a"]

    async def test_another_event_loop_works_or_is_refused(self, store: RunStore) -> None:
        """Used from a second event loop, a store answers or raises StoreError; it never waits for ever."""
        await store.save_run(make_run())

        async def use() -> object:
            async with asyncio.timeout(self.patience / 2):
                return await store.get_run("run-1")

        def other_loop() -> str:
            try:
                return "found" if asyncio.run(use()) is not None else "not found"
            except StoreError:
                return "refused"
            except TimeoutError:
                return f"still waiting after {self.patience / 2:g} s"

        assert await asyncio.to_thread(other_loop) in ("found", "refused")
        await self.soon(store.save_run(make_run("run-2")), "the first loop, after the second one ended,")
        assert await ids(store) == ["run-2", "run-1"]
