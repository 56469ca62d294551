"""Many tasks, and several instances, at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from openharness.core import RunQuery
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import NOON, ids, make_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore

__all__ = ("ConcurrencyTests", "InstanceTests")

_TASKS = 40


class ConcurrencyTests(RunStoreCase):
    """Any number of tasks may use one store."""

    async def test_no_acknowledged_save_is_lost(self, store: RunStore) -> None:
        """Every one of many saves at once is there when they returned, whole."""
        runs = [make_run(f"r{number:02}", state={"n": number, "text": "x" * number}) for number in range(_TASKS)]
        async with self.promptly("saving many runs at once"):
            await asyncio.gather(*(store.save_run(run) for run in runs))
        assert_same(await store.list_runs(), runs[::-1], what="runs")

    async def test_the_first_use_may_be_many_at_once(self, store: RunStore) -> None:
        """A store that nobody used yet opens once, for all that come at the same time, readers too."""
        async with self.promptly("the first use of a store by many tasks"):
            found, _, _, count = await asyncio.gather(
                store.list_runs(), store.save_run(make_run("a")), store.delete_run("b"), store.count_runs()
            )
        assert len(found) in (0, 1)
        assert count in (0, 1)
        assert await ids(store) == ["a"]

    async def test_saves_of_one_run_take_effect_in_the_order_of_their_calls(self, store: RunStore) -> None:
        """Of saves of the same run that are under way at once, the one called last stays."""
        for round_ in range(5):
            saves = [store.save_run(make_run("a", state=[round_, number])) for number in range(_TASKS)]
            async with self.promptly("saving one run many times at once"):
                await asyncio.gather(*saves)
            assert_same(await store.get_run("a"), make_run("a", state=[round_, _TASKS - 1]), what="run")

    async def test_a_delete_takes_effect_after_the_save_that_was_called_before(self, store: RunStore) -> None:
        """A save and a delete of one run under way at once take effect in the order of their calls."""
        for _ in range(5):
            await asyncio.gather(store.save_run(make_run("a")), store.delete_run("a"))
            assert await store.get_run("a") is None
            await asyncio.gather(store.delete_run("a"), store.save_run(make_run("a")))
            assert await store.get_run("a") is not None

    async def test_a_task_reads_its_own_saves(self, store: RunStore) -> None:
        """What a task saved it gets, lists and counts at once, whatever other tasks do."""

        async def work(number: int) -> None:
            for turn in range(4):
                run = make_run(f"r{number}", state=turn, metadata={"worker": number, "turn": turn})
                await store.save_run(run)
                assert_same(await store.get_run(run.id), run, what="run")
                assert await ids(store, metadata={"worker": number}) == [run.id]
                assert await store.count_runs(RunQuery(metadata={"worker": number, "turn": turn - 1})) == 0
                await store.delete_run(run.id)
                assert await store.get_run(run.id) is None

        async with self.promptly("ten tasks that save, read and delete"), asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(work(number))
        assert await ids(store) == []

    async def test_a_reader_never_sees_half_a_record(self, store: RunStore) -> None:
        """While a run is saved over and over, every read gives one of its versions whole, and never an older one."""
        versions = [
            make_run("a", state=[number] * (1 + number), metadata={"n": number}, created_at=NOON + number)
            for number in range(30)
        ]
        await store.save_run(versions[0])
        done = False

        async def write() -> None:
            nonlocal done
            for version in versions[1:]:
                await store.save_run(version)
            done = True

        async def read() -> None:
            latest = 0
            while not done:
                listed = await store.list_runs()
                assert len(listed) == 1
                for run in (*listed, await store.get_run("a")):
                    assert run is not None
                    number = cast("list[int]", run.state)[0]
                    assert_same(run, versions[number], what="run")
                    assert number >= latest, "a read went back in time"
                    latest = number
                await asyncio.sleep(0)

        async with self.promptly("reading while a run is saved"), asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            for _ in range(3):
                tasks.create_task(read())

    async def test_one_refused_save_does_not_fail_its_neighbours(self, store: RunStore) -> None:
        """Of saves at once, the one that is refused raises, and the others are saved."""
        saves = [store.save_run(make_run(f"r{number}", state=number)) for number in range(5)]
        saves.insert(2, store.save_run(make_run("bad", state=float("nan"))))
        async with self.promptly("saving many, one of them refused"):
            results = await asyncio.gather(*saves, return_exceptions=True)
        assert [type(result).__name__ for result in results].count("SerializationError") == 1
        assert await ids(store) == [f"r{number}" for number in (4, 3, 2, 1, 0)]

    async def test_one_cancelled_save_does_not_fail_its_neighbours(self, store: RunStore) -> None:
        """Of saves at once, the cancelled ones are whole or absent, and every other one is saved."""
        for patience in range(4):
            tasks = [asyncio.ensure_future(store.save_run(make_run(f"r{number:02}"))) for number in range(20)]
            for _ in range(patience):
                await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            async with self.promptly("saving many, some of them cancelled"):
                await asyncio.wait(tasks)
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    task.result()
            found = set(await self.soon(ids(store), "listing after cancelled saves"))
            acknowledged = {f"r{number:02}" for number, task in enumerate(tasks) if not task.cancelled()}
            assert acknowledged <= found
            for name in found:
                await store.delete_run(name)
            # What was cancelled and still on its way would come back here.
            await store.save_run(make_run("last"))
            assert await ids(store) == ["last"]
            await store.delete_run("last")


class InstanceTests(RunStoreCase):
    """Several instances in one process, on the same data."""

    @requires(Ability.DURABLE, Ability.MULTI_INSTANCE)
    async def test_instances_see_each_others_saves(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """What one instance acknowledged, another reads at once."""
        async with reopen() as other:
            for number in range(5):
                await store.save_run(make_run("a", state=number))
                assert_same(await other.get_run("a"), make_run("a", state=number), what="run")
                await other.save_run(make_run("a", state=-number))
                assert_same(await store.get_run("a"), make_run("a", state=-number), what="run")
            await other.delete_run("a")
            assert await store.get_run("a") is None
            assert await ids(store) == []

    @requires(Ability.DURABLE, Ability.MULTI_INSTANCE)
    async def test_many_instances_write_at_once(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """Saves of several instances at once are all there, and none of them sees a lock."""
        others = [reopen() for _ in range(3)]
        instances = [store, *others]

        async def work(instance: RunStore, number: int) -> None:
            for turn in range(10):
                await instance.save_run(make_run(f"r{number}-{turn}", state=[number, turn]))

        async with self.promptly("four instances that write"), asyncio.TaskGroup() as tasks:
            for number, instance in enumerate(instances):
                tasks.create_task(work(instance, number))
        expected = sorted((f"r{number}-{turn}" for number in range(4) for turn in range(10)), reverse=True)
        for instance in instances:
            assert await ids(instance) == expected
        for instance in others:
            await instance.close()

    @requires(Ability.DURABLE, Ability.MULTI_INSTANCE)
    async def test_closing_one_instance_leaves_the_others(
        self, store: RunStore, reopen: Callable[[], RunStore]
    ) -> None:
        """An instance that closes takes nothing from the others, neither their data nor their use."""
        await store.save_run(make_run("a"))
        other = reopen()
        await other.save_run(make_run("b"))
        await other.close()
        await store.save_run(make_run("c"))
        assert await ids(store) == ["c", "b", "a"]
        async with reopen() as third:
            assert await ids(third) == ["c", "b", "a"]
