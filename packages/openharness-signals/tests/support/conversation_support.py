"""A conversation as the harness records it: each turn's request has all messages before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core import Signal, SignalSource
from openharness.core.records import signal_id
from openharness.core.storage import MessagePool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openharness.core import LogEntry, SignalStore

RUN_ID = "run-1"
DELTAS = 20
TOOLS = [{"name": f"tool_{number}", "parameters": {"type": "object"}} for number in range(3)]


def conversation(turns: int) -> Iterator[list[LogEntry]]:
    """The appends of a conversation of so many turns: a question, and an answer streamed in pieces."""
    messages: list[Any] = [{"role": "system", "content": "You answer briefly and to the point."}]
    pool = MessagePool()
    seq = 0

    def make(name: str, payload: Any, parent: str | None = None) -> Signal:
        nonlocal seq
        source = SignalSource("talker", "claude", parent, "talker#1")
        signal = Signal(signal_id(RUN_ID, seq), name=name, payload=payload, timestamp=seq, seq=seq, source=source)
        seq += 1
        return signal

    yield [make("harness:start", {"state": {"answer": ""}, "input": None, "seed": 7, "agents": {}})]
    for turn in range(turns):
        call = f"talker#1/{turn}/0"
        messages.append({"role": "user", "content": f"Question {turn:04}: " + "why is that so? " * 5})
        request = {"messages": list(messages), "tools": TOOLS, "model": "large"}
        start = make("provider:start", {"call": call, "attempt": 0, "request": request})
        blobs, pooled = pool.pool(start)
        pieces = [f"piece {number} " for number in range(DELTAS)]
        deltas = [make("text:delta", {"call": call, "text": piece}, start.id) for piece in pieces]
        end = make("provider:end", {"call": call, "stop_reason": "end", "usage": {"input": 10, "output": 20}}, start.id)
        yield [*blobs, pooled, *deltas, end]
        messages.append({"role": "assistant", "content": "".join(pieces)})


async def recorded_bytes(store: SignalStore, folder: Path, turns: int) -> int:
    """Record a conversation, finalize it, and return the size of its file."""
    recording_id = await store.create_recording(run_id=RUN_ID)
    for entries in conversation(turns):
        await store.append(recording_id, entries)
    await store.finalize(recording_id, outcome="completed")
    return (folder / "unpublished" / f"{recording_id}.jsonl").stat().st_size
