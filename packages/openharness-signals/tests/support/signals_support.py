"""Logs to write and to read, and a recorded run, for the tests of this package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import strategies as st

from openharness.core import Recording, Signal, SignalSource, create_harness
from openharness.core.records import Blob, signal_id
from openharness.core.storage import EncodedEntry, MessagePool, encode_entries
from openharness.core.values import MAX_BYTES
from openharness.signals import MemorySignalStore
from openharness.signals._header import Header
from openharness.testing import ScriptedProvider
from openharness.testing.strategies import log_entries, texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from openharness.core import LogEntry
    from openharness.core.interfaces import SignalStore

LONG = bool(os.environ.get("OPENHARNESS_LONG"))
"""Whether tests run in their long form."""
EXAMPLES = 2_000 if LONG else 40
RUN_ID = "run-1"
NOON = 1_767_268_800_000
HEADER = Header(id="rec-1", run_id=RUN_ID, name="my-test", created_at=NOON, tags=("a",), metadata=b'{"k":[1,2.0]}')


def signal(seq: int, name: str = "analysis:complete", payload: object = None, **source: Any) -> Signal:
    """A signal of `RUN_ID`, a millisecond after the one before it."""
    return Signal(
        signal_id(RUN_ID, seq), name=name, payload=payload, timestamp=NOON + seq, seq=seq, source=SignalSource(**source)
    )


def delta(seq: int, text: str, *, call: str = "analyzer#1/0/0", name: str = "text:delta", parent: int = 1) -> Signal:
    """A piece of streamed text."""
    return signal(
        seq,
        name,
        {"call": call, "text": text},
        agent="analyzer",
        provider="claude",
        parent=signal_id(RUN_ID, parent),
        activation="analyzer#1",
    )


def sample_log() -> list[LogEntry]:
    """A short log with all that the format knows: references, deltas, foreign ids, characters that need care."""
    request = {
        "call": "analyzer#1/0/0",
        "attempt": 0,
        "request": {"messages": [{"role": "user", "content": "Analyse: caf\xe9"}], "tools": [], "system": None},
    }
    blobs, start = MessagePool().pool(
        signal(1, "provider:start", request, agent="analyzer", provider="claude", activation="analyzer#1")
    )
    return [
        signal(0, "harness:start", {"state": {"z": 1, "a": [1.0, -0.0, None]}, "input": None, "seed": 7, "agents": {}}),
        *blobs,
        start,
        delta(2, "The "),
        delta(3, "d\xe9j\xe0 "),
        delta(4, "vu\0\ud83d"),
        delta(5, "aside", call="writer#1/0/0"),
        delta(6, "hm", name="thinking:delta"),
        delta(7, "so", name="thinking:delta"),
        attrs.evolve(signal(8, "approval:given", True), id="injected/1"),
        signal(9, "analysis:complete", {"agent": "analyzer", "output": "The d\xe9j\xe0 vu"}, parent="elsewhere/3"),
        attrs.evolve(signal(10, "harness:end", {"status": "completed"}), timestamp=NOON - 5),
    ]


def encoded(entries: Sequence[LogEntry]) -> list[EncodedEntry]:
    """Entries in the form in which stores keep them."""
    return encode_entries(entries, max_bytes=MAX_BYTES)


@st.composite
def logs(draw: st.DrawFn) -> list[LogEntry]:
    """Logs of every kind, with streams of deltas among the rest."""
    entries: list[LogEntry] = []
    seq = 0
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            known = [entry for entry in entries if isinstance(entry, Blob)]
            entries += draw(log_entries(run_id=RUN_ID, start=seq, known=known))
        else:
            name = draw(st.sampled_from(["text:delta", "thinking:delta"]))
            for text in draw(st.lists(texts(), max_size=6)):
                call = draw(st.sampled_from(["analyzer#1/0/0", "analyzer#1/0/0", "writer#1/0/0"]))
                piece = delta(sum(isinstance(entry, Signal) for entry in entries), text, call=call, name=name)
                entries.append(attrs.evolve(piece, timestamp=NOON + draw(st.integers(-3, 1_000))))
        seq = sum(isinstance(entry, Signal) for entry in entries)
    seen: set[str] = set()
    # A store writes each blob once.
    return [
        entry
        for entry in entries
        if not isinstance(entry, Blob) or not (entry.digest in seen or seen.add(entry.digest))
    ]


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    """The names of what is in a folder, sorted; of nothing, where there is no such folder."""
    return sorted(path.name for path in folder.glob(pattern))


def published_file(folder: Path, name: str, data: bytes) -> None:
    """Put a file where a store finds it as a fixture."""
    (folder / "unpublished").mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(data)


async def fill(store: SignalStore, entries: Sequence[LogEntry], **about: Any) -> str:
    """Create a recording of `RUN_ID` with these entries and return its id."""
    recording_id = await store.create_recording(run_id=RUN_ID, **about)
    await store.append(recording_id, entries)
    return recording_id


async def load(store: SignalStore, recording_id: str) -> Recording:
    """Load a recording that is there."""
    recording = await store.load_recording(recording_id)
    assert recording is not None
    return recording


@attrs.define
class Article:
    """The state of `recorded_run`."""

    title: str = ""
    text: str = ""
    notes: list[str] = attrs.Factory(list[str])


async def recorded_run(store: SignalStore | None = None, *, agents: int = 3) -> Recording:
    """A run of agents at the same time, in a chain, with reducers and streamed text, as the harness records it."""
    store = store or MemorySignalStore()
    harness = create_harness(Article)

    def note(state: Article, signal: Signal) -> None:
        state.notes.append(signal.name)

    team = {
        f"analyst{number}": harness.agent(
            prompt="Analyse {{ state.title }}", activate_on="harness:start", emits=f"analysis{number}:complete"
        )
        for number in range(agents)
    }
    team["writer"] = harness.agent(prompt="Write.", activate_on="analysis0:complete", updates="text")
    provider = ScriptedProvider(lambda _: ["one ", 0.0, "two ", 0.0, "three"])
    result = await harness.run_reactive(
        agents=team,
        state=Article(title="Signals"),
        provider=provider,
        reducers={"*:complete": note},
        fixture="article",
        mode="record",
        store=store,
    )
    assert result.recording_id is not None
    return await load(store, result.recording_id)
