"""What recording and loading cost a signal, against the least that could be called the same, all in one process.

The rows are those of the goals. S2: record 100 signals a transaction, against a prototype that sends ready-made rows to
the thread of aiosqlite, one hop and one transaction a hundred, with nothing checked, no name to find a signal by, and no
checksum. S3: load them, against rows of SQLite decoded into signals by hand.

Run it with ``python recording.py``; figures are processor time of this process in microseconds a signal, medians of rounds
in which each takes its turn. ``SIGNALS`` says how many, ``ROUNDS`` how often.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
import msgspec

from openharness.core.records import Signal, SignalSource
from openharness.core.storage import encode_entries
from openharness.core.values import MAX_BYTES
from openharness.signal_store_sqlite import SqliteSignalStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

COUNT = int(os.environ.get("SIGNALS", "20000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
BATCH = 100

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def make_signals(count: int) -> list[Signal]:
    """Signals of about 300 bytes of JSON, as in the goals: a payload of four fields, and a full source."""
    return [
        Signal(
            f"run/{seq}",
            name="analysis:complete",
            payload={"agent": "analyzer", "output": "a sentence of a model's answer " * 4, "index": seq, "score": 0.5},
            timestamp=1_700_000_000_000 + seq,
            seq=seq,
            source=SignalSource("analyzer", "llamacpp", f"run/{max(seq - 1, 0)}", "analyzer#1"),
        )
        for seq in range(count)
    ]


def by_hand(signal: Signal) -> bytes:
    """A dict and the codec."""
    source = signal.source
    return _encode(
        {
            "id": signal.id,
            "name": signal.name,
            "seq": signal.seq,
            "payload": signal.payload,
            "timestamp": signal.timestamp,
            "source": {
                "agent": source.agent,
                "provider": source.provider,
                "parent": source.parent,
                "activation": source.activation,
            },
        }
    )


def from_hand(data: bytes) -> Signal:
    """The codec, and the constructors."""
    fields: dict[str, Any] = _decode(data)
    source = fields["source"]
    return Signal(
        fields["id"],
        name=fields["name"],
        payload=fields["payload"],
        timestamp=fields["timestamp"],
        seq=fields["seq"],
        source=SignalSource(source["agent"], source["provider"], source["parent"], source["activation"]),
    )


async def prototype(path: Path, signals: Sequence[Signal]) -> None:
    """One hop a hundred signals."""

    def insert(rows: list[tuple[int, str, bytes]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO signal VALUES (1, ?, ?, ?)", rows)
        connection.execute("COMMIT")

    def connect() -> sqlite3.Connection:
        nonlocal connection
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        return connection

    connection: sqlite3.Connection
    database: Any = aiosqlite.Connection(connect, 64)
    async with database:
        for statement in (
            "PRAGMA journal_mode = wal",
            "PRAGMA synchronous = NORMAL",
            "CREATE TABLE signal (run INTEGER, seq INTEGER, name TEXT, data BLOB, PRIMARY KEY (run, seq)) WITHOUT ROWID",
        ):
            await (await database.execute(statement)).close()
        for start in range(0, len(signals), BATCH):
            rows = [(signal.seq, signal.name, by_hand(signal)) for signal in signals[start : start + BATCH]]
            await database._execute(insert, rows)  # noqa: SLF001 - as the store does


async def ours(path: Path, signals: Sequence[Signal], durability: Any = "process") -> None:
    """The store as its users call it."""
    async with SqliteSignalStore(path, durability=durability) as store:
        recording_id = await store.create_recording(run_id="run")
        for start in range(0, len(signals), BATCH):
            await store.append(recording_id, signals[start : start + BATCH])


async def load_ours(path: Path) -> int:
    """The store as its users call it."""
    async with SqliteSignalStore(path) as store:
        (info,) = await store.list_recordings()
        recording = await store.load_recording(info.id)
        assert recording is not None
        return len(recording.signals)


async def iterate_ours(path: Path) -> int:
    """The same, a page at a time."""
    async with SqliteSignalStore(path) as store:
        (info,) = await store.list_recordings()
        return len([None async for _ in store.iter_signals(info.id)])


async def load_by_hand(path: Path) -> int:
    """One SELECT."""
    connection = sqlite3.connect(path)
    try:
        return len([from_hand(data) for (data,) in connection.execute("SELECT data FROM signal ORDER BY seq")])
    finally:
        connection.close()


def cost(work: Callable[[], Awaitable[object]]) -> float:
    """Processor time in microseconds a signal."""
    gc.collect()

    async def run() -> float:
        begun = time.process_time()
        await work()
        return time.process_time() - begun

    return asyncio.run(run()) * 1e6 / COUNT


def main() -> None:
    """Measure, and print a table."""
    signals = make_signals(COUNT)
    figures: dict[str, list[float]] = {}

    async def encode() -> None:
        for start in range(0, COUNT, BATCH):
            encode_entries(signals[start : start + BATCH], max_bytes=MAX_BYTES)

    def measure(one: Path, two: Path, three: Path) -> None:
        for name, work in (
            ("S2 prototype, aiosqlite, one hop a hundred", lambda: prototype(one, signals)),
            ("S2 SqliteSignalStore, durability='process'", lambda: ours(two, signals)),
            ("S2 SqliteSignalStore, durability='full'", lambda: ours(three, signals, "full")),
            ("   of which: encode_entries", encode),
            ("S3 rows of SQLite, by hand", lambda: load_by_hand(one)),
            ("S3 SqliteSignalStore.load_recording", lambda: load_ours(two)),
            ("   SqliteSignalStore.iter_signals", lambda: iterate_ours(two)),
        ):
            figures.setdefault(name, []).append(cost(work))

    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            measure(*(Path(folder, f"{name}-{number}.db") for name in ("prototype", "ours", "full")))
    base = 1.0
    for name, samples in figures.items():
        middle = statistics.median(samples)
        if "prototype" in name or "by hand" in name:
            base = middle
        print(f"{name:45} {middle:6.2f} us ({min(samples):.2f}-{max(samples):.2f})  {middle / base:5.2f} x")


if __name__ == "__main__":
    main()
