"""Copies between files and folders that are killed again and again, and end as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from openharness.core import Blob, LogEntry, RunRecord, Signal, digest
from openharness.core.copying import copy_recordings, copy_runs, recording_digest
from openharness.run_store_sqlite import SqliteRunStore
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.signals import FileSignalStore

PROGRAM = Path(__file__).parent / "programs" / "copy_stores.py"
KILLS = 40 if os.environ.get("OPENHARNESS_LONG") else 6


def opened(path: Path) -> SqliteSignalStore | FileSignalStore:
    """The store that a path means."""
    return SqliteSignalStore(path) if path.suffix == ".db" else FileSignalStore(path)


def log(number: int) -> list[LogEntry]:
    """A log that repeats a message."""
    message = {"role": "user", "content": f"message {number} " * 20}
    blob = Blob(digest(message), message)
    entries: list[LogEntry] = [blob]
    for seq in range(300 + 40 * number):
        asks = seq % 7 == 0
        payload = {"request": {"messages": [blob.digest], "tools": []}} if asks else {"n": seq, "text": "x" * 50}
        name = "provider:start" if asks else "text:delta"
        entries.append(Signal(f"run/{seq}", name=name, payload=payload, timestamp=seq, seq=seq))
    return entries


async def fill(path: Path) -> dict[str, str]:
    """Fill a store; return the digests of its recordings."""
    made: dict[str, str] = {}
    async with opened(path) as store:
        for number in range(6):
            recording_id = await store.create_recording(
                run_id=f"run-{number}", name=f"f-{number}", metadata={"n": number}
            )
            await store.append(recording_id, log(number))
            await store.add_checkpoint(recording_id, "here", 5)
            if number % 3:
                await store.finalize(recording_id, outcome="completed", duration_ms=number)
            if number % 2:
                await store.publish(recording_id, f"f-{number}")
            recording = await store.load_recording(recording_id)
            assert recording is not None
            made[recording_id] = recording_digest(recording)
    return made


async def copied_and_killed(source: Path, target: Path, *, lines: int, pause: float) -> bool:
    """Copy, and kill the copy a moment after it has told of so many items; tell whether it came to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(source), str(target), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(lines):
        await process.stdout.readline()
    await asyncio.sleep(pause)
    if process.returncode is None:
        process.kill()
    output, _ = await process.communicate()
    return b"done" in output


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", ["one.db other.db", "one.db folder", "folder other.db"])
async def test_a_copy_that_is_killed_is_continued(tmp_path: Path, names: str) -> None:
    """Killed at any moment, as often as one likes, the copy is complete in the end, and equal by digest."""
    source, target = (tmp_path / name for name in names.split())
    wanted = await fill(source)
    if source.suffix == target.suffix:
        async with SqliteRunStore(source) as runs:
            for number in range(500):
                await runs.save_run(RunRecord(f"run-{number}", created_at=number, state={"n": number}))
    chance = random.Random(7)
    for _ in range(KILLS):
        await copied_and_killed(source, target, lines=chance.randrange(1, 5), pause=chance.uniform(0, 0.05))
        # Whatever there is by now is a beginning of what shall be.
        async with opened(target) as store:
            assert {info.id for info in await store.list_recordings()} <= wanted.keys()
    async with opened(source) as one, opened(target) as other:
        assert (await copy_recordings(one, other)).is_complete
        report = await copy_recordings(one, other)
        assert (report.copied, report.skipped, report.failed) == (0, len(wanted), ())
        found = {recording_id: await other.load_recording(recording_id) for recording_id in wanted}
        assert {key: recording_digest(value) for key, value in found.items() if value is not None} == wanted
        assert await other.list_fixtures() == ["f-1", "f-3", "f-5"]
        assert (await other.doctor()).is_healthy
    if source.suffix == target.suffix:
        async with SqliteRunStore(source) as runs, SqliteRunStore(target) as others:
            await copy_runs(runs, others)
            assert await others.list_runs() == await runs.list_runs()
