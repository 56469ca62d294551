"""What other processes do with a signal store; each is a function that `openharness.testing._kit._processes` starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from openharness.testing._signal_store._samples import make_blob, make_request, make_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import SignalStore

__all__ = ("LEFT_OPEN", "leave_open", "record_for_ever", "record_many")


def _say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 - the test reads it


def record_many(reopen: Callable[[], SignalStore], worker: int, tasks: int, count: int) -> None:
    """Write several recordings at once, finalize and publish them, and close."""

    async def work(store: SignalStore, task: int) -> None:
        run_id = f"run-{worker}-{task}"
        recording_id = await store.create_recording(run_id=run_id, name="shared")
        for seq in range(count):
            await store.append(recording_id, make_signals(1, start=seq, run_id=run_id))
        await store.finalize(recording_id, outcome="completed", duration_ms=worker)
        await store.publish(recording_id, "shared")
        _say(f"{recording_id} {run_id}")

    async def main() -> None:
        async with reopen() as store, asyncio.TaskGroup() as group:
            for task in range(tasks):
                group.create_task(work(store, task))

    asyncio.run(main())


def record_for_ever(reopen: Callable[[], SignalStore], recording_id: str) -> None:
    """Append without end, and tell each seq once its append returned."""

    async def main() -> None:
        store = reopen()
        seq = 0
        while True:
            blob = make_blob(f"message {seq} " * 10)
            await store.append(recording_id, [*make_signals(2, start=seq), blob, make_request(seq + 2, [blob])])
            seq += 3
            _say(str(seq))
            await asyncio.sleep(0)

    asyncio.run(main())


async def _used(reopen: Callable[[], SignalStore]) -> SignalStore:
    store = reopen()
    recording_id = await store.create_recording(run_id="left-open")
    await store.append(recording_id, make_signals(3))
    return store


_kept: list[object] = []


def _dropped(reopen: Callable[[], SignalStore]) -> None:
    async def main() -> None:
        await _used(reopen)

    asyncio.run(main())


def _global(reopen: Callable[[], SignalStore]) -> None:
    async def main() -> None:
        _kept.append(await _used(reopen))

    asyncio.run(main())


def _exception(reopen: Callable[[], SignalStore]) -> None:
    async def main() -> None:
        _kept.append(await _used(reopen))
        raise KeyboardInterrupt

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        _say("interrupted")


LEFT_OPEN: Final = {"dropped": _dropped, "global": _global, "exception": _exception}
"""The ways to leave a store open, by name."""


def leave_open(reopen: Callable[[], SignalStore], way: str) -> None:
    """Use a store and never close it."""
    LEFT_OPEN[way](reopen)
