"""Recordings that another process appends to while the file is examined: before each statement, one after the other."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import types
from typing import TYPE_CHECKING, Any

from openharness.core import Blob, digest
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.sqlite import _doctor as doctor_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from openharness.core import Signal


async def test_a_recording_that_is_appended_to_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., list[Signal]]
) -> None:
    """At whichever statement others append, record, publish and delete, the file is found as it is: whole."""
    blob: Any = ["text"]
    for number in range(1, 1_000):
        path = tmp_path / f"{number}.db"
        async with SqliteSignalStore(path) as store:
            gone, last = [await store.create_recording(run_id="run") for _ in range(2)]
            for recording_id in (gone, last):
                await store.append(recording_id, make(3))
                await store.publish(recording_id, "fixture")

        async def act(path: Path = path, gone: str = gone, last: str = last) -> None:
            async with SqliteSignalStore(path) as other:
                await other.append(last, [Blob(digest(blob), blob), *make(2, start=3)])
                await other.add_checkpoint(last, "here", 4)
                await other.finalize(last, outcome="completed")
                await other.delete_recording(gone)
                await other.append(await other.create_recording(run_id="run"), make(2))

        statements = 0

        class Counting(sqlite3.Connection):
            """Counts what is executed, with the connection that examines."""

            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                nonlocal statements
                statements += 1
                if statements == number:  # noqa: B023 - used within this turn of the loop
                    # The thread of an examination has no event loop.
                    asyncio.run(act())
                return super().execute(*arguments)

        # Only for the examination.
        connect = functools.partial(sqlite3.connect, factory=Counting)
        stand_in = types.SimpleNamespace(**{**vars(sqlite3), "connect": connect})
        with monkeypatch.context() as patch:
            patch.setattr(doctor_module, "sqlite3", stand_in)
            async with SqliteSignalStore(path) as store:
                report = await store.doctor()
        assert report.of("error") == (), f"before statement {number}"
        assert report.facts["signals"] == 2
        if statements < number:
            break
    assert number > 10, "nothing came in between"
