"""Other processes: that record too, that are killed, that never close."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from openharness.testing._kit import _processes
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import as_stored, load, make_blob, make_request, make_signals, record
from openharness.testing._signal_store._scenarios import LEFT_OPEN, leave_open, record_for_ever, record_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import LogEntry, SignalStore

__all__ = ("ProcessTests",)


class ProcessTests(SignalStoreCase):
    """What a process acknowledged is there for the next one."""

    @requires(Ability.DURABLE)
    @pytest.mark.parametrize("way", list(LEFT_OPEN))
    async def test_a_store_that_is_never_closed(
        self, store: SignalStore, reopen: Callable[[], SignalStore], way: str
    ) -> None:
        """A process that leaves its store open ends all the same, and what it recorded is there."""
        await record(store)
        await store.close()
        async with _processes.start(leave_open, reopen, way) as process:
            await _processes.finish(process, seconds=self.startup, what="A process that never closed its store")
        async with reopen() as again:
            left = [info for info in await again.list_recordings() if info.run_id == "left-open"]
            assert_same(list((await load(again, left[0].id)).signals), make_signals(3), what="signals")

    @requires(Ability.DURABLE)
    async def test_a_killed_process_loses_no_acknowledged_signal(
        self, store: SignalStore, reopen: Callable[[], SignalStore]
    ) -> None:
        """After a kill, the recording loads as incomplete, has all that was acknowledged, and can be continued."""
        made = [await record(store) for _ in range(3)]
        await store.close()
        for recording_id, count in zip(made, (1, 5, 30), strict=True):
            acknowledged = 0
            async with _processes.start(record_for_ever, reopen, recording_id) as process:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.startup):
                        async for line in _processes.lines(process):
                            acknowledged = int(line)
                            if acknowledged >= 3 * count:
                                # Lines that it had printed come after it was killed.
                                with contextlib.suppress(ProcessLookupError):
                                    process.kill()
                assert acknowledged >= 3 * count, "the process recorded nothing"
            async with reopen() as again:
                recording = await load(again, recording_id)
                assert recording.info.outcome == "incomplete"
                assert len(recording.signals) >= acknowledged, "acknowledged signals are lost"
                assert len(recording.signals) % 3 == 0, "half an append"
                assert_same(list(recording.signals), as_stored(_log(len(recording.signals))), what="signals")
                await again.append(recording_id, make_signals(1, start=len(recording.signals)))
                await again.finalize(recording_id, outcome="interrupted")

    @requires(Ability.DURABLE, Ability.MULTI_PROCESS)
    async def test_processes_record_at_once(self, store: SignalStore, reopen: Callable[[], SignalStore]) -> None:
        """Several processes that record, finalize and publish: nothing is lost, one publication stays."""
        workers, tasks, count = 3, 4, 4
        async with contextlib.AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(_processes.start(record_many, reopen, worker, tasks, count))
                for worker in range(workers)
            ]
            mine = await record(store, *make_signals(5))
            outputs = await asyncio.gather(
                *(
                    _processes.finish(process, seconds=2 * self.startup, what="A recording process")
                    for process in processes
                )
            )
        made = dict(line.split() for output in outputs for line in output.splitlines())
        assert len(made) == workers * tasks
        assert {info.id for info in await store.list_recordings()} == {*made, mine}
        for recording_id, run_id in made.items():
            recording = await load(store, recording_id)
            assert_same(list(recording.signals), make_signals(count, run_id=run_id), what="signals")
            assert recording.info.outcome == "completed"
        found = await store.find_recording("shared")
        assert found is not None
        assert found.id in made


def _log(count: int) -> list[LogEntry]:
    """What `record_for_ever` has appended when it stopped after so many signals."""
    entries: list[LogEntry] = []
    for seq in range(0, count, 3):
        blob = make_blob(f"message {seq} " * 10)
        entries += [*make_signals(2, start=seq), blob, make_request(seq + 2, [blob])]
    return entries
