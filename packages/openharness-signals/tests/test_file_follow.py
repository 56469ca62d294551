"""A file is followed whatever happens to it: appends that come to nothing, other names, a final form."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from openharness.core import Signal
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from pathlib import Path


def make(count: int, *, start: int = 0, payload: object = "text") -> list[Signal]:
    """Signals that follow each other."""
    return [
        Signal(f"run/{seq}", name="a:b", payload=payload, timestamp=seq, seq=seq) for seq in range(start, start + count)
    ]


async def following(store: FileSignalStore, recording_id: str, seqs: list[int]) -> None:
    """Note every signal that comes."""
    async for signal in store.follow(recording_id):
        seqs.append(signal.seq)  # noqa: PERF401 - they are looked at while it goes on


async def until(seqs: list[int], count: int) -> None:
    """Wait until so many have come."""
    async with asyncio.timeout(50):
        while len(seqs) < count:  # noqa: ASYNC110 - another store cannot tell
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("size", ["shorter", "as long", "longer"])
async def test_a_line_that_was_cut_off_and_replaced(tmp_path: Path, size: str) -> None:
    """What a dead process left at the end, already read, is forgotten when another one writes in its place."""
    async with FileSignalStore(tmp_path) as store, FileSignalStore(tmp_path) as other:
        recording_id = await store.create_recording(run_id="run")
        await store.append(recording_id, make(2))
        seqs: list[int] = []
        task = asyncio.ensure_future(following(store, recording_id, seqs))
        await until(seqs, 2)
        (path,) = (tmp_path / "unpublished").glob("*.jsonl")
        whole = path.read_bytes()
        await other.append(recording_id, make(1, start=2))
        await until(seqs, 3)
        line = path.read_bytes()[len(whole) :]
        length = {"shorter": 5, "as long": len(line), "longer": len(line) + 40}[size]
        with path.open("ab") as file:
            file.write(b'{"name":"a:b"'.ljust(length, b"x")[:length])
        await asyncio.sleep(0.15)
        await other.append(recording_id, make(1, start=3))
        await until(seqs, 4)
        await other.finalize(recording_id, outcome="completed")
        await asyncio.wait_for(task, 50)
        assert seqs == [0, 1, 2, 3]


async def test_a_recording_that_is_published_while_it_is_followed(tmp_path: Path) -> None:
    """Another name and another file do not disturb who follows."""
    async with FileSignalStore(tmp_path) as store, FileSignalStore(tmp_path) as other:
        recording_id = await store.create_recording(run_id="run")
        seqs: list[int] = []
        task = asyncio.ensure_future(following(store, recording_id, seqs))
        for seq in range(0, 9, 3):
            await other.append(recording_id, make(3, start=seq))
            await until(seqs, seq + 3)
            await other.publish(recording_id, f"name-{seq}")
        await other.finalize(recording_id, outcome="completed")
        await asyncio.wait_for(task, 50)
        assert seqs == list(range(9))


async def test_what_is_waited_for_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Following N signals that come one by one reads the file once in all, and its final form once more."""
    from openharness.signals._file_store import _disk

    honest, sizes = _disk.read_at, []

    def counted(descriptor: int, offset: int, size: int) -> bytes:
        data = honest(descriptor, offset, size)
        sizes.append(len(data))
        return data

    async with FileSignalStore(tmp_path) as store:
        recording_id = await store.create_recording(run_id="run")
        seqs: list[int] = []
        task = asyncio.ensure_future(following(store, recording_id, seqs))
        await store.append(recording_id, make(1, payload="x" * 5000))
        await until(seqs, 1)
        monkeypatch.setattr(_disk, "read_at", counted)
        for seq in range(1, 40):
            await store.append(recording_id, make(1, start=seq, payload="x" * 5000))
            await until(seqs, seq + 1)
        monkeypatch.undo()
        await store.finalize(recording_id, outcome="completed")
        await asyncio.wait_for(task, 50)
    assert seqs == list(range(40))
    assert sum(sizes) < 3 * 40 * 5100
