"""Runs that another process saves and deletes while they are pruned: before each trip to the file, one after the other."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from openharness.core import RunRecord, RunStatus
from openharness.run_store_sqlite import SqliteRunStore
from openharness.sqlite import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    import pytest


class Meanwhile:
    """Lets somebody else do something, with a store of their own, right before the trip with this number.

    Args:
        number: The number of the trip to the thread of a connection.
        act: What is done.
    """

    def __init__(self, number: int, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._number, self._act = number, act
        self._calls = 0
        self.is_done = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Be called by all connections."""
        honest: Callable[..., Any] = Channel._in_turn

        def in_turn(channel: Channel, *arguments: Any) -> Any:
            if not self.is_done:
                self._calls += 1
                if self._calls == self._number:
                    self.is_done = True
                    # The threads of connections have no event loop.
                    other = threading.Thread(target=asyncio.run, args=(self._act(),))
                    other.start()
                    other.join()
            return honest(channel, *arguments)

        patch.setattr(Channel, "_in_turn", in_turn)


async def fill(store: SqliteRunStore, count: int) -> None:
    """Save failed runs."""
    for number in range(count):
        await store.save_run(RunRecord(f"r{number}", created_at=number, status=RunStatus.FAILED, state=number))


async def goes_on(path: Path) -> None:
    """Save the oldest run as one that goes on, as who resumes it does."""
    async with SqliteRunStore(path) as store:
        await store.save_run(RunRecord("r0", created_at=0, status=RunStatus.RUNNING, state="resumed"))


async def test_a_run_that_goes_on_is_not_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a run is saved as one that goes on, that is kept, and the number is of those that were deleted."""
    counts: list[int] = []
    for number in range(1, 100):
        path = tmp_path / f"{number}.db"
        async with SqliteRunStore(path) as store:
            await fill(store, 4)
            meanwhile = Meanwhile(number, lambda path=path: goes_on(path))
            with monkeypatch.context() as patch:
                meanwhile.install(patch)
                counts.append(await store.prune_runs(older_than=3, keep_last=1))
            left = {run.id: run.state for run in await store.list_runs()}
        if not meanwhile.is_done:
            break
        assert left == {"r0": "resumed", "r3": 3}
    assert counts == [2] * (number - 1) + [3]
    assert number > 2, "nothing came in between"


async def test_two_that_prune_count_no_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever somebody else prunes the same runs, the two numbers are that of the runs that are gone."""
    for number in range(1, 100):
        path = tmp_path / f"{number}.db"
        theirs: list[int] = []

        async def prune(path: Path = path, theirs: list[int] = theirs) -> None:
            async with SqliteRunStore(path) as other:
                theirs.append(await other.prune_runs(keep_last=1))

        async with SqliteRunStore(path) as store:
            await fill(store, 4)
            meanwhile = Meanwhile(number, prune)
            with monkeypatch.context() as patch:
                meanwhile.install(patch)
                ours = await store.prune_runs(keep_last=1)
            assert [run.id for run in await store.list_runs()] == ["r3"]
        assert ours + sum(theirs) == 3
        if not meanwhile.is_done:
            break
    assert number > 2, "nothing came in between"


async def test_what_would_be_pruned_is_counted_at_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever runs come and go, the number is that of before or of after."""
    for number in range(1, 100):
        path = tmp_path / f"{number}.db"

        async def change(path: Path = path) -> None:
            async with SqliteRunStore(path) as other:
                for young in ("r2", "r3", "r4"):
                    await other.delete_run(young)
                await other.save_run(RunRecord("older", created_at=0, status=RunStatus.FAILED, state=None))

        async with SqliteRunStore(path) as store:
            await fill(store, 5)
            meanwhile = Meanwhile(number, change)
            with monkeypatch.context() as patch:
                meanwhile.install(patch)
                # Before: 3 are behind and 1 is old. After: 1 is behind, and 2 are old.
                assert await store.prune_runs(older_than=1, keep_last=2, dry_run=True) == 1
        if not meanwhile.is_done:
            break
    assert number > 1, "nothing came in between"
