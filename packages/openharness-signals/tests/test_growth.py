"""What a recording takes grows with what was said, and not with how often it was sent."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from conversation_support import conversation, recorded_bytes

from openharness.core import Signal
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_conversation_of_200_turns_grows_linearly(tmp_path: Path) -> None:
    """Each turn adds the same number of bytes to the file, from the tenth to the two hundredth."""
    sizes = [await recorded_bytes(FileSignalStore(tmp_path), tmp_path, turns) for turns in range(10, 201, 38)]
    slopes = [(after - before) / 38 for before, after in pairwise(sizes)]
    # Numbers get longer by a digit here and there: calls, seqs and times.
    assert max(slopes) < 1.03 * min(slopes)
    assert sizes[-1] < 25 * sizes[0]


async def test_a_long_conversation_loads_as_it_was(tmp_path: Path) -> None:
    """After 60 turns every request has all of its messages again."""
    store = FileSignalStore(tmp_path)
    recording_id = await store.create_recording(run_id="run-1")
    for entries in conversation(60):
        await store.append(recording_id, entries)
    recording = await store.load_recording(recording_id)
    assert recording is not None
    requests = [signal.payload["request"] for signal in recording.signals if signal.name == "provider:start"]
    assert [len(request["messages"]) for request in requests] == [2 * turn + 2 for turn in range(60)]
    for before, after in pairwise(requests):
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert after["tools"] == before["tools"]
    assert all(isinstance(signal, Signal) for signal in recording.signals)
