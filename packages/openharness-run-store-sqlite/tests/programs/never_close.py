"""Use a store, never close it, and end in one of several ways: ``python never_close.py FILE WAY``.

Prints ``done`` as its last act, from where on the interpreter must end by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sqlite3
import sys
import threading

from openharness.core import RunRecord, StoreClosedError
from openharness.run_store_sqlite import SqliteRunStore

FILE, WAY = sys.argv[1:]
kept: list[object] = []


def say(word: object) -> None:
    """Write a line that the test reads."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def run(run_id: str) -> RunRecord:
    """A small run."""
    return RunRecord(run_id, created_at=1, state={"id": run_id})


async def used() -> SqliteRunStore:
    """A store that has written and read."""
    store = SqliteRunStore(FILE, busy_timeout=600)
    await store.save_run(run("first"))
    assert await store.get_run("first") is not None
    return store


async def local() -> None:
    """The last reference goes with the function."""
    await used()


async def kept_globally() -> None:
    """A global keeps it."""
    kept.append(await used())


async def in_a_cycle() -> None:
    """Only the garbage collector could find it."""
    gc.disable()
    holder: list[object] = [await used()]
    holder.append(holder)


async def exception() -> None:
    """An exception leaves main while a global keeps the store."""
    kept.append(await used())
    say("done")
    raise SystemExit(0)


async def pending() -> None:
    """Saves and reads are under way when main returns."""
    store = await used()
    kept.append(store)
    kept.extend(asyncio.ensure_future(store.save_run(run(f"r{number}"))) for number in range(200))
    kept.extend(asyncio.ensure_future(store.list_runs()) for _ in range(20))
    await asyncio.sleep(0)


async def opening() -> None:
    """The file is being opened when main returns."""
    store = SqliteRunStore(FILE)
    kept.append(store)
    kept.append(asyncio.ensure_future(store.save_run(run("first"))))
    await asyncio.sleep(0)


async def locked() -> None:
    """A save waits for a lock that somebody else never gives up."""
    store = await used()
    kept.append(store)
    other = sqlite3.connect(FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kept.append(other)
    kept.append(asyncio.ensure_future(store.save_run(run("late"))))
    await asyncio.sleep(0.1)


def forked() -> None:
    """A child inherits an open store: it is refused there, and parent and child both end."""
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(used())
    kept.extend((store, loop))
    child = os.fork()
    if child == 0:
        in_the_child()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    # Parent and child share what wakes the loop, and the child has closed it: that is asyncio's, not the store's.
    loop.close()
    assert asyncio.run(again(store)) is not None


def in_the_child() -> None:
    """What the forked child does in an event loop of its own."""

    async def use() -> None:
        store = kept[0]
        assert isinstance(store, SqliteRunStore)
        for use in (store.save_run(run("child")), store.get_run("first"), store.list_runs()):
            with contextlib.suppress(StoreClosedError):
                await use
                sys.exit("a forked child could use its parent's store")
        await store.close()
        async with SqliteRunStore(FILE) as own:
            await own.save_run(run("child"))

    asyncio.run(use())


def loop_closed() -> None:
    """An event loop is closed while a save is under way, without its tasks having been cancelled."""
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(used())
    kept.append(store)
    saving = loop.create_task(store.save_run(run("late")))
    kept.append(saving)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    # The store can be used in another loop, and is not stuck behind what was lost with the first one.
    assert asyncio.run(again(store)) is not None


async def again(store: SqliteRunStore) -> RunRecord | None:
    """Use it in the running loop."""
    await store.save_run(run("again"))
    return await store.get_run("first")


def daemon_thread() -> None:
    """The event loop runs, for ever, in a daemon thread."""
    ready = threading.Event()

    async def main() -> None:
        kept.append(await used())
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    ready.wait()


def working_thread() -> None:
    """The main thread ends long before an event loop in a thread that Python waits for."""
    ready = threading.Event()

    async def main() -> None:
        store = await used()
        kept.append(store)
        ready.set()
        for number in range(20):
            await asyncio.sleep(0.02)
            await store.save_run(run(f"r{number}"))
        assert await store.count_runs() == 21
        say("done")

    threading.Thread(target=lambda: asyncio.run(main())).start()
    # From its end on, Python starts no more threads, and a store needs two.
    ready.wait()


for way in (local, kept_globally, in_a_cycle, exception, pending, opening, locked):
    if way.__name__ == WAY:
        asyncio.run(way())
        say("done")
for plain in (loop_closed, daemon_thread, forked):
    if plain.__name__ == WAY:
        plain()
        say("done")
if WAY == "working_thread":
    working_thread()
