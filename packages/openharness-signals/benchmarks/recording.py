"""What recording, loading and stepping cost a signal, against the least that could be called the same, in one run.

The rows are those of the goals: S1 encodes and decodes a signal, S3 loads 100,000 of them. The limits they are compared
with are written here by hand: a dict with six members through the JSON codec, and rows of SQLite decoded into signals
without any check. What the store in files does beyond them: a checksum for each line, refusals of what cannot be stored,
and fdatasync.

Run it with ``python recording.py``; figures are CPU time of this process in microseconds a signal, the best of several
rounds, in which what is compared takes turns. A program that shares its cores with others sees them vary; the ratios
vary less.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from openharness.core.records import Recording, RecordingInfo, Signal, SignalSource
from openharness.core.storage import EncodedSignal, encode_entries
from openharness.core.values import MAX_BYTES
from openharness.signals import FileSignalStore, MemorySignalStore, Player
from openharness.signals._format import LineWriter, LogReader, write_header
from openharness.signals._header import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.interfaces import SignalStore

COUNT = int(os.environ.get("SIGNALS", "20000"))
BATCH = 100
ROUNDS = 5
HEADER = Header(id="rec", run_id="run", name=None, created_at=1_700_000_000_000)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def make_signals(count: int) -> list[Signal]:
    """Signals of about 300 bytes of JSON, as in the goals: a payload of four fields, and a full source."""
    return [
        Signal(
            f"run/{seq}",
            name="analysis:complete",
            payload={"agent": "analyzer", "output": "a sentence of a model's answer " * 4, "index": seq, "score": 0.5},
            timestamp=HEADER.created_at + seq,
            seq=seq,
            source=SignalSource("analyzer", "llamacpp", f"run/{max(seq - 1, 0)}", "analyzer#1"),
        )
        for seq in range(count)
    ]


def make_deltas(count: int) -> list[Signal]:
    """Streamed text, a token a signal."""
    source = SignalSource("analyzer", "llamacpp", "run/1", "analyzer#1")
    return [
        Signal(
            f"run/{seq}",
            name="text:delta",
            payload={"call": "analyzer#1/0/0", "text": " token"},
            timestamp=HEADER.created_at + seq,
            seq=seq,
            source=source,
        )
        for seq in range(count)
    ]


# --- The limits, by hand ----------------------------------------------------------------------------------------------


def encode_by_hand(signals: Sequence[Signal]) -> list[bytes]:
    """A dict and the codec."""
    return [
        _encode(
            {
                "id": signal.id,
                "name": signal.name,
                "seq": signal.seq,
                "payload": signal.payload,
                "timestamp": signal.timestamp,
                "source": {
                    "agent": signal.source.agent,
                    "provider": signal.source.provider,
                    "parent": signal.source.parent,
                    "activation": signal.source.activation,
                },
            }
        )
        for signal in signals
    ]


def decode_by_hand(lines: Sequence[bytes]) -> list[Signal]:
    """The codec, type checks, and the constructors."""
    return [_signal(_decode(line)) for line in lines]


def _signal(fields: dict[str, Any]) -> Signal:
    source = fields["source"]
    if not (
        type(fields["id"]) is str
        and type(fields["name"]) is str
        and type(fields["seq"]) is int
        and type(fields["timestamp"]) is int
        and type(source["agent"]) is str
    ):
        raise TypeError(fields)
    return Signal(
        fields["id"],
        name=fields["name"],
        payload=fields["payload"],
        timestamp=fields["timestamp"],
        seq=fields["seq"],
        source=SignalSource(source["agent"], source["provider"], source["parent"], source["activation"]),
    )


def fill_sqlite(path: Path, lines: Sequence[bytes]) -> None:
    """Rows as a store on SQLite would have them."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE signal (seq INTEGER PRIMARY KEY, data BLOB)")
        connection.executemany("INSERT INTO signal VALUES (?, ?)", enumerate(lines))
    connection.close()


def load_sqlite(path: Path) -> list[Signal]:
    """One SELECT, and `decode_by_hand`."""
    connection = sqlite3.connect(path)
    try:
        return [_signal(_decode(data)) for (data,) in connection.execute("SELECT data FROM signal ORDER BY seq")]
    finally:
        connection.close()


# --- Ours -------------------------------------------------------------------------------------------------------------


def in_batches(encode: Callable[[Sequence[Signal]], object], signals: Sequence[Signal]) -> None:
    """Encode as many at a time as an append has; nothing is kept."""
    for start in range(0, len(signals), BATCH):
        encode(signals[start : start + BATCH])


def write_lines(signals: Sequence[Signal]) -> bytes:
    """Encode and write, as an append does, without the file."""
    writer = LineWriter(HEADER)
    return write_header(HEADER) + b"".join(
        writer.write_append(encode_entries(signals[start : start + BATCH], max_bytes=MAX_BYTES))
        for start in range(0, len(signals), BATCH)
    )


def read_lines(data: bytes) -> list[Signal]:
    """Read and decode, as loading does, without the file."""
    reader = LogReader("benchmark")
    entries = reader.feed(data)
    entries += reader.finish()
    return [entry.decode() for entry in entries if isinstance(entry, EncodedSignal)]


async def append_all(store: SignalStore, signals: Sequence[Signal]) -> str:
    """Append in batches, each durable before the next."""
    recording_id = await store.create_recording(run_id="run")
    for start in range(0, len(signals), BATCH):
        await store.append(recording_id, signals[start : start + BATCH])
    return recording_id


def best(work: Callable[[], object], count: int = COUNT) -> float:
    """CPU microseconds a signal, the best of several rounds."""
    times: list[float] = []
    for _ in range(ROUNDS):
        gc.collect()
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times) / count * 1e6


def compare(*works: tuple[str, Callable[[], object], str]) -> None:
    """Measure several things in turn within each round, and print each against the first."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(2 * ROUNDS):
        for found, (_, work, _) in zip(times, works, strict=True):
            gc.collect()
            begin = time.process_time()
            work()
            found.append((time.process_time() - begin) / COUNT * 1e6)
    limit = min(times[0])
    for found, (name, _, goal) in zip(times, works, strict=True):
        row(name, min(found), None if found is times[0] else limit, goal)


def row(name: str, cost: float, limit: float | None = None, goal: str = "") -> None:
    """Print a line of the table."""
    ratio = "" if limit is None else f"{cost / limit:6.2f}x"
    print(f"{name:58} {cost:8.2f} us  {ratio:8} {goal}")


def main() -> None:
    """Measure everything and print the table."""
    signals, deltas = make_signals(COUNT), make_deltas(COUNT)
    by_hand = encode_by_hand(signals)
    ours = write_lines(signals)
    print(f"{COUNT:,} signals of {len(by_hand[0])} bytes of JSON; a line of ours has {len(ours) // COUNT} bytes\n")

    compare(
        (f"encode by hand: dict + codec, {BATCH} at a time", lambda: in_batches(encode_by_hand, signals), ""),
        (
            "S1 encode: check, and the payload as JSON text",
            lambda: in_batches(partial(encode_entries, max_bytes=MAX_BYTES), signals),
            "(goal <= 1.7x, which has no checks)",
        ),
        ("   and write it as lines of the file format, with checksums", lambda: write_lines(signals), ""),
        ("   deltas", lambda: write_lines(deltas), ""),
    )
    lines = write_lines(deltas)
    compare(
        ("decode by hand: codec + constructors + checks", lambda: decode_by_hand(by_hand), ""),
        ("S1 read lines and decode", lambda: read_lines(ours), "(goal <= 1.2x, which has no checksum)"),
        ("   deltas", lambda: read_lines(lines), ""),
    )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        fill_sqlite(path / "limit.db", by_hand)
        store = FileSignalStore(path / "recordings")
        growing, ended = (asyncio.run(append_all(store, signals)) for _ in range(2))
        asyncio.run(store.finalize(ended, outcome="completed"))
        compare(
            # In a thread, as every store must: the memory of a thread that ends is given back, and asked for again.
            (
                "load rows of SQLite in a thread, decoded by hand",
                lambda: asyncio.run(_loaded_rows(path / "limit.db")),
                "",
            ),
            ("S3 load_recording, never finalized", lambda: asyncio.run(_loaded(store, growing)), ""),
            ("S3 load_recording", lambda: asyncio.run(_loaded(store, ended)), "(goal <= 1.3x)"),
        )

        limit = best(lambda: encode_by_hand(signals))
        row(f"append, {BATCH} at a time, durable", best(lambda: asyncio.run(append_all(store, signals))), limit)
        row(f"append deltas, {BATCH} at a time, durable", best(lambda: asyncio.run(append_all(store, deltas))), limit)
        row("append to MemorySignalStore", best(lambda: asyncio.run(append_all(MemorySignalStore(), signals))), limit)
        row("finalize", best(lambda: asyncio.run(_finalized(path / "finalized", signals))), limit, "(with the appends)")

    step_through(min(COUNT, 20_000))


# These return nothing: `asyncio.run` makes texts of what its task returned, however long.


async def _loaded(store: SignalStore, recording_id: str) -> None:
    assert await store.load_recording(recording_id) is not None


async def _loaded_rows(path: Path) -> None:
    assert await asyncio.to_thread(load_sqlite, path)


async def _finalized(folder: Path, signals: Sequence[Signal]) -> None:
    store = FileSignalStore(folder)
    await store.finalize(await append_all(store, signals), outcome="completed")


def step_through(count: int) -> None:
    """What a step forward and a step back cost, against playing from the beginning each time."""
    signals = [
        Signal(
            "run/0",
            name="harness:start",
            payload={"state": {"n": 0}, "input": None, "seed": 0, "agents": {}},
            timestamp=0,
            seq=0,
        ),
        *(
            Signal(
                f"run/{seq}",
                name="state:n:changed",
                payload={"path": ["n"], "operation": "set", "value": seq},
                timestamp=seq,
                seq=seq,
            )
            for seq in range(1, count)
        ),
    ]
    player = Player(Recording(info=RecordingInfo(id="rec", run_id="run", created_at=0), signals=signals))

    def forward() -> None:
        player.rewind()
        while player.step() is not None:
            assert player.state

    def back() -> None:
        while player.back() is not None:
            assert player.state

    def both() -> None:
        forward()
        back()

    limit = best(forward, count)
    row("Player: step, and look at the state", limit)
    row(
        "Player: step there and back",
        best(both, 2 * count),
        limit,
        "(from the beginning each time: 10,000 times as much)",
    )


if __name__ == "__main__":
    main()
