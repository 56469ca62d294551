"""What other processes do with a run store; each is a function that `openharness.testing._kit._processes` starts."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from openharness.testing._run_store._samples import make_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore

__all__ = ("LEFT_OPEN", "leave_open", "save_for_ever", "save_many")


def _say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 - the test reads it


def save_many(reopen: Callable[[], RunStore], worker: int, tasks: int, turns: int) -> None:
    """Save from many tasks at once, and close; begins when it is told to, so that several do so at the same time."""

    async def work(store: RunStore, task: int) -> None:
        for turn in range(turns):
            run_id = f"r-{worker}-{task}-{turn}"
            await store.save_run(make_run(run_id, state=[worker, task, turn]))
            await store.save_run(make_run("shared", state=[worker, task, turn]))
            _say(run_id)

    async def main() -> None:
        async with reopen() as store, asyncio.TaskGroup() as group:
            for task in range(tasks):
                group.create_task(work(store, task))

    _say("ready")
    sys.stdin.readline()
    asyncio.run(main())


def save_for_ever(reopen: Callable[[], RunStore], attempt: int) -> None:
    """Save without end, and name each run once its save returned."""

    async def work(store: RunStore, task: int) -> None:
        turn = 0
        while True:
            run_id = f"r-{attempt}-{task}-{turn}"
            await store.save_run(make_run(run_id, state={"text": run_id * 20}))
            _say(run_id)
            turn += 1
            # A store that never waits must not keep the other tasks from their turn.
            await asyncio.sleep(0)

    async def main() -> None:
        store = reopen()
        await asyncio.gather(*(work(store, task) for task in range(4)))

    asyncio.run(main())


async def _used(reopen: Callable[[], RunStore]) -> RunStore:
    store = reopen()
    await store.save_run(make_run("left-open"))
    _say("saved")
    return store


_kept: list[object] = []


def _dropped(reopen: Callable[[], RunStore]) -> None:
    async def main() -> None:
        await _used(reopen)

    asyncio.run(main())


def _global(reopen: Callable[[], RunStore]) -> None:
    async def main() -> None:
        _kept.append(await _used(reopen))

    asyncio.run(main())


def _cycle(reopen: Callable[[], RunStore]) -> None:
    async def main() -> None:
        holder: list[object] = [await _used(reopen)]
        holder.append(holder)

    asyncio.run(main())


def _exception(reopen: Callable[[], RunStore]) -> None:
    async def main() -> None:
        _kept.append(await _used(reopen))
        raise KeyboardInterrupt

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        _say("interrupted")


def _pending(reopen: Callable[[], RunStore]) -> None:
    async def main() -> None:
        store = await _used(reopen)
        _kept.append([asyncio.ensure_future(store.save_run(make_run(f"r{number}"))) for number in range(50)])
        await asyncio.sleep(0)

    asyncio.run(main())


LEFT_OPEN: Final = {
    "dropped": _dropped,
    "global": _global,
    "cycle": _cycle,
    "exception": _exception,
    "pending": _pending,
}
"""The ways to leave a store open, by name."""


def leave_open(reopen: Callable[[], RunStore], way: str) -> None:
    """Use a store and never close it."""
    LEFT_OPEN[way](reopen)
