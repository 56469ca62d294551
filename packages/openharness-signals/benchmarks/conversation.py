"""What a conversation takes in a file, by its turns: bytes, and bytes a turn.

Each turn is a question of 90 characters and an answer of 20 pieces, 180 characters together; each request has all the
messages before it. The last column is what the requests alone take when each of them is written whole.

Run it with ``python conversation.py``; it takes some seconds, and its figures are the same on every machine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from conversation_support import conversation, recorded_bytes

from openharness.core import Signal
from openharness.core.storage import SignalDecoder, encode_entries
from openharness.core.values import MAX_BYTES, dump_json
from openharness.signals import FileSignalStore

TURNS = (10, 25, 50, 100, 150, 200)


def whole_requests(turns: int) -> int:
    """The bytes of all requests of a conversation with their messages in full."""
    blobs: dict[str, bytes] = {}
    decoder = SignalDecoder(blobs, recording_id="", store="")
    size = 0
    for entries in conversation(turns):
        for entry, encoded in zip(entries, encode_entries(entries, max_bytes=MAX_BYTES), strict=True):
            if not isinstance(entry, Signal):
                blobs[entry.digest] = encoded.data  # type: ignore[union-attr]
            elif entry.name == "provider:start":
                size += len(dump_json(decoder.decode(encoded).payload))  # type: ignore[arg-type]
    return size


async def main() -> None:
    """Record conversations and print the table."""
    print("| turns | bytes of the file | bytes a turn | requests written whole |")
    print("|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turns in TURNS:
            size = await recorded_bytes(FileSignalStore(folder), folder, turns)
            print(f"| {turns} | {size:,} | {size / turns:,.0f} | {whole_requests(turns):,} |")


if __name__ == "__main__":
    asyncio.run(main())
