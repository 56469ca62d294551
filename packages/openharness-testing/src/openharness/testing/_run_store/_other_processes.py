"""Other processes: that write too, that are killed, that never close."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from openharness.testing._kit import _processes
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import ids, make_run
from openharness.testing._run_store._scenarios import LEFT_OPEN, leave_open, save_for_ever, save_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore

__all__ = ("ProcessTests",)


class ProcessTests(RunStoreCase):
    """What a process acknowledged is there for the next one."""

    @requires(Ability.DURABLE)
    @pytest.mark.parametrize("way", list(LEFT_OPEN))
    async def test_a_store_that_is_never_closed(
        self, store: RunStore, reopen: Callable[[], RunStore], way: str
    ) -> None:
        """A process that leaves its store open ends all the same, and what it saved is there."""
        await store.save_run(make_run("first"))
        await store.close()
        async with _processes.start(leave_open, reopen, way) as process:
            await _processes.finish(process, seconds=self.startup, what="A process that never closed its store")
        async with reopen() as again:
            assert {"first", "left-open"} <= set(await ids(again))

    @requires(Ability.DURABLE)
    async def test_a_killed_process_loses_no_acknowledged_save(
        self, store: RunStore, reopen: Callable[[], RunStore]
    ) -> None:
        """After a kill, every save that returned is there whole, and the store opens and works."""
        await store.save_run(make_run("first"))
        await store.close()
        acknowledged = {"first"}
        for attempt, count in enumerate((1, 7, 40)):
            async with _processes.start(save_for_ever, reopen, attempt) as process:
                seen = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.startup):
                        async for line in _processes.lines(process):
                            acknowledged.add(line)
                            seen += 1
                            if seen >= count:
                                # Lines that it had printed come after it was killed.
                                with contextlib.suppress(ProcessLookupError):
                                    process.kill()
                assert seen >= count, "the process saved nothing"
            async with reopen() as again:
                runs = {run.id: run async for run in again.iter_runs()}
                assert acknowledged <= set(runs), "acknowledged saves are lost"
                for run_id, run in runs.items():
                    wanted = make_run("first") if run_id == "first" else make_run(run_id, state={"text": run_id * 20})
                    assert_same(run, wanted, what="run")
                await again.save_run(make_run("first"))

    @requires(Ability.DURABLE, Ability.MULTI_PROCESS)
    async def test_processes_write_at_once(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """Several processes with many tasks each: nothing is lost, and nobody sees a lock."""
        workers, tasks, turns = 3, 8, 3
        async with contextlib.AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(_processes.start(save_many, reopen, worker, tasks, turns))
                for worker in range(workers)
            ]
            await _processes.begin_together(processes, seconds=2 * self.startup)
            mine = [f"mine-{number}" for number in range(20)]
            for run_id in mine:
                await self.soon(store.save_run(make_run(run_id)), "saving while other processes save")
            outputs = await asyncio.gather(
                *(
                    _processes.finish(process, seconds=2 * self.startup, what="A writing process")
                    for process in processes
                )
            )
        acknowledged = {line for output in outputs for line in output.split()}
        assert len(acknowledged) == workers * tasks * turns
        runs = {run.id: run for run in await store.list_runs()}
        assert set(runs) == {*acknowledged, *mine, "shared"}
        for run_id in acknowledged:
            _, worker, task, turn = run_id.split("-")
            assert_same(runs[run_id], make_run(run_id, state=[int(worker), int(task), int(turn)]), what="run")
