"""Cancellation: at every point where a method waits, and afterwards the store is whole and usable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
import pytest

from openharness.core import RunQuery, RunRecord
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._cancelling import Moment, cancel_at, every_cancellation
from openharness.testing._kit._explore import explore_chances
from openharness.testing._kit._same import assert_same, first_difference
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import ids, make_run

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from openharness.core import RunStore

__all__ = ("CancellationTests",)

_POINTS = (1, 1, 1, 2, 3)
"""At which of its suspensions an operation is cancelled at random; many have few."""
_A_MOMENT = 0.01
"""Seconds in which a cancelled save that still goes on in the background would come to its end."""


def _version(number: int, run_id: str = "a") -> RunRecord:
    return make_run(run_id, state={"n": number, "list": [number] * 20}, metadata={"n": number})


async def _whole(store: RunStore, *possible: RunRecord | None) -> RunRecord | None:
    """Get the run and fail unless it is one of these, and queries agree."""
    run = await store.get_run("a")
    assert any(first_difference(run, one) is None for one in possible), f"half saved: {run!r}"
    listed = [] if run is None else [run]
    assert_same(await store.list_runs(RunQuery(id_prefix="a")), listed, what="runs")
    for number in {0, *(one.state["n"] for one in possible if one is not None)}:
        wanted = ["a"] if run is not None and run.state["n"] == number else []
        assert await ids(store, id_prefix="a", metadata={"n": number}) == wanted, "the filters disagree with the record"
    return run


async def _iterate(store: RunStore) -> list[RunRecord]:
    return [run async for run in store.iter_runs()]


_READS: dict[str, Callable[[RunStore], Awaitable[object]]] = {
    "get": lambda store: store.get_run("a"),
    "list": lambda store: store.list_runs(RunQuery(metadata={"n": 1})),
    "count": lambda store: store.count_runs(),
    "iter": _iterate,
    "prune": lambda store: store.prune_runs(keep_last=100, dry_run=True),
}


def _operation(
    store: RunStore, versions: dict[str, list[RunRecord | None]], chance: random.Random
) -> Callable[[], Awaitable[object]]:
    """Choose an operation, and note what may be there of a run once it was asked for."""
    run_id = chance.choice("abc")
    kind = chance.choice(["save", "save", "save", "delete", *_READS])
    if kind == "save":
        run = _version(chance.randrange(1_000), run_id)
        versions[run_id].append(run)
        return lambda: store.save_run(run)
    if kind == "delete":
        versions[run_id].append(None)
        return lambda: store.delete_run(run_id)
    return lambda: _READS[kind](store)


class CancellationTests(RunStoreCase):
    """A cancelled method has happened whole or not at all, raises CancelledError, and leaves the store usable."""

    async def _check_usable(self, store: RunStore) -> None:
        """Saving, reading and deleting work, and what was cancelled does not take effect later than they do."""
        await store.save_run(_version(99))
        assert_same(await store.get_run("a"), _version(99), what="run")
        await store.delete_run("a")
        await asyncio.sleep(_A_MOMENT)
        await _whole(store, None)

    async def test_a_cancelled_save_of_a_new_run(self, store: RunStore) -> None:
        """It is there whole or not at all, wherever it is cancelled, and saving again is safe."""
        await store.delete_run("a")

        async def afterwards() -> None:
            await _whole(store, None, _version(1))
            await self._check_usable(store)

        await every_cancellation(lambda: store.save_run(_version(1)), afterwards, patience=self.patience)

    async def test_a_cancelled_save_of_a_run_that_is_there(self, store: RunStore) -> None:
        """The record is the old one or the new one, never a mixture, never neither."""
        await store.save_run(_version(1))

        async def afterwards() -> None:
            await _whole(store, _version(1), _version(2))
            await self._check_usable(store)
            await store.save_run(_version(1))

        await every_cancellation(lambda: store.save_run(_version(2)), afterwards, patience=self.patience)

    async def test_a_cancelled_delete(self, store: RunStore) -> None:
        """The run is there whole or gone whole."""
        await store.save_run(_version(1))

        async def afterwards() -> None:
            await _whole(store, None, _version(1))
            await self._check_usable(store)
            await store.save_run(_version(1))

        await every_cancellation(lambda: store.delete_run("a"), afterwards, patience=self.patience)

    @pytest.mark.parametrize("name", list(_READS))
    async def test_a_cancelled_read(self, store: RunStore, name: str) -> None:
        """Reading changes nothing, and a read that is cancelled keeps nobody from writing."""
        await store.save_run(_version(1))
        await store.save_run(_version(2, "b"))

        async def afterwards() -> None:
            await _whole(store, _version(1))
            await store.save_run(_version(2, "b"))
            assert await ids(store) == ["b", "a"]

        await every_cancellation(lambda: _READS[name](store), afterwards, patience=self.patience)

    async def test_a_cancelled_prune(self, store: RunStore) -> None:
        """Pruning deletes whole runs, each or not, and never one that it should keep."""
        ended = [attrs.evolve(_version(number, f"r{number}"), status="failed") for number in range(4)]

        async def restore() -> None:
            for run in ended:
                await store.save_run(run)

        async def afterwards() -> None:
            left = await ids(store, order="oldest")
            assert set(left) >= {"r2", "r3"}
            for run in await store.list_runs():
                assert_same(run, ended[int(run.id[1:])], what="run")
            await restore()

        await restore()
        await every_cancellation(lambda: store.prune_runs(keep_last=2), afterwards, patience=self.patience)

    async def test_cancellations_at_random(self, store: RunStore) -> None:
        """Of many operations at once some are cancelled, one to three times: each happens whole or not at all."""
        versions: dict[str, list[RunRecord | None]] = {run_id: [None] for run_id in "abc"}

        async def check(chance: random.Random) -> int:
            operations = [_operation(store, versions, chance) for _ in range(chance.randint(2, 6))]
            fates = [(chance.choice(_POINTS), chance.choice(list(Moment)), chance.random() < 0.7) for _ in operations]
            cancelled = 0

            async def go(operation: Callable[[], Awaitable[object]], point: int, moment: Moment) -> None:
                nonlocal cancelled
                cancelled += await cancel_at(operation, point=point, moment=moment)

            async with self.promptly("operations of which some are cancelled"):
                await asyncio.gather(
                    *(
                        go(operation, point, moment) if is_cancelled else operation()
                        for operation, (point, moment, is_cancelled) in zip(operations, fates, strict=True)
                    )
                )
            async with self.promptly("what follows operations of which some were cancelled"):
                # Who was cancelled may still take effect, but not after what is asked for now.
                await store.save_run(_version(0, "d"))
                for run_id, possible in versions.items():
                    found = await store.get_run(run_id)
                    assert any(first_difference(found, one) is None for one in possible), f"half saved: {found!r}"
                    possible[:] = [found]
                left = [one for (one,) in versions.values() if one is not None]
                expected = sorted([_version(0, "d"), *left], key=lambda run: run.id, reverse=True)
                assert_same(await store.list_runs(), expected, what="runs")
                for run in left:
                    assert run.id in await ids(store, metadata=run.metadata), "the filters disagree with the record"
            return cancelled

        await explore_chances(self, check, counted="cancellations")

    async def test_a_save_that_is_cancelled_before_it_began(self, store: RunStore) -> None:
        """A save whose task was cancelled at once leaves the store usable, also when it would have opened it."""
        await cancel_at(lambda: store.save_run(_version(1)), point=1, moment=Moment.EARLY)
        await self.soon(_whole(store, None, _version(1)), "reading after the first use was cancelled")
        await self.soon(self._check_usable(store), "using the store after its first use was cancelled")

    @requires(Ability.DURABLE)
    @pytest.mark.parametrize("moment", list(Moment))
    async def test_a_cancelled_first_use(self, store: RunStore, reopen: Callable[[], RunStore], moment: Moment) -> None:
        """A store whose opening is cancelled, wherever, opens for the next caller."""
        await store.save_run(_version(1))
        await store.close()
        for point in range(1, 100):
            fresh = reopen()
            async with self.promptly(f"opening, cancelled at its suspension {point} ({moment.value}),"):
                was_cancelled = await cancel_at(lambda: fresh.get_run("a"), point=point, moment=moment)  # noqa: B023
            async with self.promptly(f"the next use after an opening that was cancelled at {point} ({moment.value})"):
                assert_same(await fresh.get_run("a"), _version(1), what="run")
                await fresh.save_run(_version(1))
                await fresh.close()
            if not was_cancelled:
                break

    @requires(Ability.DURABLE)
    async def test_a_save_that_was_seen_stays(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """What a reader saw of a cancelled save is there after reopening, and what is there is whole."""
        last = store
        for point in range(1, 100):
            before = await last.get_run("a")
            wanted = _version(point)
            was_cancelled = await cancel_at(lambda: last.save_run(wanted), point=point, moment=Moment.EARLY)  # noqa: B023
            seen = await self.soon(_whole(last, before, wanted), "reading after a cancelled save")
            await self.soon(last.close(), "closing after a cancelled save")
            last = reopen()
            found = await self.soon(_whole(last, before, wanted), "reading after reopening")
            if first_difference(seen, wanted) is None:
                assert_same(found, wanted, what="run after reopening")
            if not was_cancelled:
                break
        await last.close()

    async def test_a_cancelled_close(self, store: RunStore) -> None:
        """A close that was cancelled can be repeated, and ends."""
        await store.save_run(_version(1))
        for point in range(1, 20):
            await self.soon(cancel_at(store.close, point=point, moment=Moment.EARLY), "a cancelled close")
        await self.soon(store.close(), "closing after a cancelled close")

    async def test_an_iteration_that_is_cancelled_holds_nothing(self, store: RunStore) -> None:
        """Cancelling a task in the middle of an iteration keeps nobody from writing."""
        for number in range(3):
            await store.save_run(_version(number, f"r{number}"))

        async def consume() -> None:
            async for run in store.iter_runs():
                await store.get_run(run.id)

        async def afterwards() -> None:
            await store.save_run(_version(0, "r0"))
            assert await ids(store) == ["r2", "r1", "r0"]

        await every_cancellation(consume, afterwards, patience=self.patience)
