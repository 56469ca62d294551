"""The runs of the golden files: what each release of the format recorded, and what replays it.

``python golden_runs.py FOLDER`` records them into an empty folder, with what each file must load as beside it. That is
done once for each version of the format; the files of a version that was released are never written again.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from conversation_support import conversation
from signals_support import RUN_ID, sample_log

from openharness.core import AgentError, ProviderError, create_harness
from openharness.core.values import to_json
from openharness.signals import FileSignalStore
from openharness.testing import ScriptedProvider

if TYPE_CHECKING:
    from openharness.core import Recording, Signal

NUMBERS = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -0.0, 1e300, 5e-324, 1e16, 123456789.125]
TEXTS = [
    "caf\xe9",
    "e\u0301",
    "\u65e5\u672c\u8a9e",
    "\U0001f600",
    "\ud83d",
    "\udc00 \ud83d",
    "a\0b",
    "\u2028\u2029",
    "\x7f\x85",
]


@attrs.define
class Desk:
    """The state of the golden runs."""

    facts: str = ""
    verdict: str = ""
    seen: list[str] = attrs.Factory(list[str])
    values: list[Any] = attrs.Factory(lambda: [*NUMBERS, *TEXTS, {"z": 1, "a": {"\ud83d": None}}, True, None, [], {}])


def definition(name: str) -> tuple[Any, dict[str, Any]]:
    """The harness of a golden file and what its run is given, each time anew."""
    harness = create_harness(Desk)

    def note(state: Desk, signal: Signal) -> None:
        state.seen.append(f"{signal.name} {signal.seq}")

    agents = {
        "reader": harness.agent(
            prompt="List the facts: {{ input }}", activate_on="harness:start", updates="facts", emits="facts:done"
        ),
        "judge": harness.agent(
            system="Be \xfcbergenau.", prompt="Judge: {{ state.facts }}", activate_on="facts:done", updates="verdict"
        ),
    }
    reducers: dict[str, Any] = {"*:done": note}
    if name == "interactive":
        # A signal from outside.
        agents["clerk"] = harness.agent(
            prompt="Note {{ signal.payload.by }}.", activate_on="desk:visited", emits="desk:noted"
        )
        reducers["desk:*"] = note
    return harness, {"agents": agents, "state": Desk(), "input": "A film. \u65e5\u672c", "reducers": reducers}


REPLAYED = ("completed", "failed", "incomplete", "interactive", "resumed", "forked")
"""The golden files that hold runs of `definition`."""

ANSWERS = [["It is ", 0.0, "l\xf6ng", 0.0, " \ud83d."], ["Skip ", "it."]]


async def record(folder: Path) -> None:
    """Record every golden file of the current version into a folder."""
    store = FileSignalStore(folder)
    harness, options = definition("completed")
    done = await harness.run_reactive(
        mode="record",
        fixture="completed",
        provider=ScriptedProvider(ANSWERS),
        store=store,
        tags=["golden", "\xe9"],
        metadata={"n": 1, "f": 1.5, "o": {"b": [], "a": None}},
        **options,
    )
    await store.add_checkpoint(done.recording_id, "the facts", 3)
    await store.add_checkpoint(done.recording_id, "f\xfcr sp\xe4ter", 3)

    failing = ScriptedProvider([ANSWERS[0], ProviderError("no more credit", kind="quota", data={"left": 0})])
    try:
        await harness.run_reactive(store=store, provider=failing, **definition("failed")[1])
    except AgentError as error:
        failed = error.recording_id
    assert failed is not None
    await store.publish(failed, "failed")

    more = {key: value for key, value in definition("resumed")[1].items() if key in ("agents", "reducers")}
    resumed = await harness.resume(failed, provider=ScriptedProvider([ANSWERS[1]]), store=store, **more)
    await store.publish(resumed.recording_id, "resumed")

    known = next(signal for signal in done.signals if signal.name == "facts:done")
    forked = await harness.fork(
        done.recording_id, at=known.seq, provider=ScriptedProvider(["Watch it."]), store=store, **more
    )
    await store.publish(forked.recording_id, "forked")

    harness, options = definition("interactive")
    provider = ScriptedProvider(lambda request: ["Noted."] if "Note" in request.messages[-1].content else ["Short."])
    async with harness.start(mode="record", fixture="interactive", provider=provider, store=store, **options) as run:
        await run.emit("desk:visited", {"by": "Kim \ud83d", "at": 2**60})
        await run.emit("desk:visited", {"by": "J\xfcrgen", "at": 1.25})
        await run.finish()
        await run.result()

    await incomplete(store, folder)
    long = await store.create_recording(run_id=RUN_ID, name="long-conversation")
    for entries in conversation(9):
        await store.append(long, entries)
    await store.finalize(long, outcome="timed_out", duration_ms=2**40)
    await store.publish(long, "long-conversation")

    every = await store.create_recording(
        run_id=RUN_ID, name="Every Kind \u2026", tags=["a", "a", ""], resumed_from="rec-0"
    )
    await store.append(every, sample_log())
    await store.add_checkpoint(every, "here", 3)
    await store.finalize(every, outcome="cancelled")
    await store.publish(every, "Another Name / \u65e5\u672c")


async def incomplete(store: FileSignalStore, folder: Path) -> None:
    """A recording whose process died: its file ends in the middle of a line."""
    info = await store.find_recording("completed")
    assert info is not None
    recording = await store.load_recording(info.id)
    assert recording is not None
    copy = await store.create_recording(run_id=recording.info.run_id, name="incomplete")
    from openharness.core.storage import MessagePool

    pool = MessagePool()
    for signal in recording.signals[: len(recording.signals) // 2]:
        blobs, pooled = pool.pool(signal)
        await store.append(copy, [*blobs, pooled])
    await store.publish(copy, "incomplete")
    with (folder / "incomplete.jsonl").open("ab") as file:
        file.write(b'{"name":"cut o')


def plain(recording: Recording) -> Any:
    """All that a loaded recording says, as plain JSON."""
    return to_json(attrs.asdict(recording))


async def expectations(folder: Path) -> dict[str, Any]:
    """What each fixture of a folder loads as, by its name."""
    store = FileSignalStore(folder)
    loaded: dict[str, Any] = {}
    for name in await store.list_fixtures():
        info = await store.find_recording(name)
        assert info is not None
        recording = await store.load_recording(info.id)
        assert recording is not None
        loaded[name] = plain(recording)
    return loaded


def main(target: Path) -> None:
    """Record all golden files, and write what they load as."""
    assert not target.exists() or not list(target.iterdir()), "golden files are never written again"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(record(folder))
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.jsonl")):
            shutil.copyfile(path, target / path.name)
        text = json.dumps(asyncio.run(expectations(folder)), indent=0)
        (target / "expected.json").write_bytes(text.encode("ascii") + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
