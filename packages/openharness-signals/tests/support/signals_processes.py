"""What other processes do to a store, as a program: ``python signals_processes.py WHAT FOLDER RECORDING_ID``."""

from __future__ import annotations

import asyncio
import os
import sys

from openharness.core import Signal
from openharness.core.records import signal_id
from openharness.signals import FileSignalStore

# Nothing but the store is imported: most of the time of a test goes into starting processes.
RUN_ID = "run-1"
BATCH = 3
PAYLOAD = "x" * 2_000
"""Large enough for an append to take several pages, in which a killed process can leave it."""


def batch(start: int) -> list[Signal]:
    """The signals of one append."""
    return [
        Signal(
            signal_id(RUN_ID, seq),
            name="a:b",
            payload={"n": seq, "text": PAYLOAD},
            timestamp=1_700_000_000_000 + seq,
            seq=seq,
        )
        for seq in range(start, start + BATCH)
    ]


def _say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


async def append_for_ever(store: FileSignalStore, recording_id: str) -> None:
    """Append, and say how many signals there are once that is durable."""
    start = len([signal async for signal in store.iter_signals(recording_id)])
    while True:
        await store.append(recording_id, batch(start))
        start += BATCH
        _say(start)


async def acknowledge_first(store: FileSignalStore, recording_id: str) -> None:
    """The planted bug: say that it is durable, and append afterwards."""
    start = len([signal async for signal in store.iter_signals(recording_id)])
    while True:
        start += BATCH
        _say(start)
        await store.append(recording_id, batch(start - BATCH))


async def finish_for_ever(store: FileSignalStore, recording_id: str) -> None:
    """Record, finalize and publish one after the other, and say each id with what has been acknowledged of it."""
    del recording_id
    while True:
        made = await store.create_recording(run_id=RUN_ID, name="shared")
        await store.append(made, batch(0))
        _say(f"{made} appended")
        await store.finalize(made, outcome="completed", duration_ms=1)
        _say(f"{made} finalized")
        await store.publish(made, "shared")
        _say(f"{made} published")


async def leave_open(store: FileSignalStore, recording_id: str) -> None:
    """Begin things and do not wait for them, nor close anything."""
    await store.append(recording_id, batch(0))
    task = asyncio.ensure_future(store.load_recording(recording_id))
    await asyncio.sleep(0)
    signals = store.iter_signals(recording_id)
    await anext(signals)
    globals()["kept"] = (store, task, signals)


if __name__ == "__main__":
    what, folder, recording_id = sys.argv[1:]
    asyncio.run(globals()[what](FileSignalStore(folder), recording_id))
