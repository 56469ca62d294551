"""Damaged files: what was appended comes back, or an error; never anything else."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

import pytest

from openharness.core import RecordingInfo, Signal, StoreError
from openharness.signal_store_sqlite import SqliteSignalStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
COUNTS = {"bit flips": 10_000, "random blocks": 1_000, "truncations": 1_000}

Recorded = dict[str, tuple[RecordingInfo, list[Signal]]]


async def create(path: Path, make: Callable[..., list[Signal]]) -> Recorded:
    """Record a few runs, and return what is to be found."""
    recorded: Recorded = {}
    async with SqliteSignalStore(path) as store:
        for number in range(6):
            recording_id = await store.create_recording(run_id="run", tags=[f"t{number % 2}"], metadata={"n": number})
            await store.append(recording_id, make(10, payload={"text": f"the text of {number} " * 6}))
            await store.finalize(recording_id, outcome="completed", duration_ms=number)
            recording = await store.load_recording(recording_id)
            assert recording is not None
            recorded[recording_id] = recording.info, list(recording.signals)
    return recorded


async def probe(path: Path, recorded: Recorded) -> tuple[int, int, int]:
    """Read everything in several ways. Return how many answers were errors, hid something, or were wrong."""
    errors = hidden = wrong = 0
    store = SqliteSignalStore(path)
    for recording_id, (info, signals) in recorded.items():
        try:
            recording = await store.load_recording(recording_id)
            hidden += recording is None
            wrong += recording is not None and (recording.info != info or list(recording.signals) != signals)
        except StoreError:
            errors += 1
        try:
            some = [signal async for signal in store.iter_signals(recording_id, patterns=["text:*"], start=3)]
            hidden += len(some) < len(signals) - 3
            wrong += any(signal not in signals for signal in some)
        except StoreError:
            errors += 1
    try:
        listed = {info.id: info for info in await store.list_recordings()}
        hidden += len(listed) < len(recorded)
        wrong += any(one not in recorded or info != recorded[one][0] for one, info in listed.items())
    except StoreError:
        errors += 1
    await store.close()
    return errors, hidden, wrong


def damaged(whole: bytes, kind: str, chance: random.Random) -> bytes:
    """Return the bytes of a file with damage."""
    data = bytearray(whole)
    if kind == "bit flips":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "random blocks":
        start = chance.randrange(len(data) // 512) * 512
        data[start : start + 512] = chance.randbytes(512)
    else:
        del data[chance.randrange(1, len(data)) :]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.timeout(7_200 if LONG else 240)
@pytest.mark.parametrize("kind", COUNTS)
def test_a_damaged_file_gives_no_wrong_answer(
    path: Path, make: Callable[..., list[Signal]], kind: str, record_property: Callable[[str, object], None]
) -> None:
    """Whatever is changed in the file, each answer is what was appended, or a StoreError; nothing else is raised."""
    recorded = asyncio.run(create(path, make))
    whole = path.read_bytes()
    assert asyncio.run(probe(path, recorded)) == (0, 0, 0)
    chance = random.Random(7)
    noticed = unnoticed = 0
    count = COUNTS[kind] if LONG else 60
    for number in range(count):
        for companion in path.parent.iterdir():
            companion.unlink()
        path.write_bytes(damaged(whole, kind, chance))
        errors, hidden, wrong = asyncio.run(probe(path, recorded))
        assert wrong == 0, number
        noticed += errors > 0
        unnoticed += errors == 0 and hidden > 0
    record_property(kind, count)
    record_property("noticed", noticed)
    record_property("wrong", 0)
    record_property("hidden by an index", unnoticed)
    assert noticed > 0
    # SQLite keeps no checksums of its indexes, so damage there can hide signals from who asks for some names only. It is
    # rare, and the short form is too short to tell how rare.
    if LONG:
        assert unnoticed <= noticed / 10
