"""Work for stores of either kind, with a history of it, and what a store then holds as the values of a history.

What is saved follows from its name and its version alone, so that half of it is noticed.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from openharness.core import Blob, RunQuery, RunRecord, RunStatus, Signal, SignalSource, digest
from openharness.core.records import signal_id

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from histories import History, Thing

    from openharness.core import LogEntry, RunStore, SignalStore

__all__ = ("BATCH", "append_entries", "found_runs", "found_signals", "make_run", "record", "save_and_delete")

BATCH = 3
"""How many signals an append has."""
_IDS = 4
_DAMAGED = "damaged"


def make_run(run_id: str, version: int, size: int) -> RunRecord:
    """Return a version of a run; everything in it follows from the arguments."""
    return RunRecord(
        run_id,
        created_at=sum(run_id.encode()),
        state={"version": version, "size": size, "text": f"{run_id} {version} " * (size // (len(run_id) + 4))},
        metadata={"task": run_id.rpartition("-")[0], "version": version},
        status=RunStatus.COMPLETED if version % 2 else RunStatus.RUNNING,
    )


def _old_run(task: str, number: int) -> RunRecord:
    # So old, however many there are, that it is pruned and nothing else with it.
    state = {"version": 0, "size": 0, "text": ""}
    return RunRecord(
        f"old-{task}-{number}",
        created_at=-1_000_000_000 + number,
        state=state,
        metadata={"task": f"old-{task}", "version": 0},
        status=RunStatus.CANCELLED,
    )


async def save_and_delete(
    store: RunStore,
    history: History,
    task: str,
    *,
    seed: int,
    turns: Iterable[int],
    prunes: bool = False,
    largest: int = 6_000,
) -> None:
    """Save, save again, delete, prune, and read runs that only this task knows.

    Args:
        store: The store.
        history: Gets what is done.
        task: The name of the task; no other one has it.
        seed: Decides what is done.
        turns: One number, other than those before, for each thing that is done.
        prunes: Whether runs are also pruned; one task only may.
        largest: How large a state is at most, about, in bytes.
    """
    chance = random.Random(seed)
    version = 0
    olds: list[str] = []
    for turn in turns:
        run_id = f"{task}-{chance.randrange(_IDS)}"
        what = chance.random()
        if what < 0.1:
            with history.changing({("run", run_id): None}):
                await store.delete_run(run_id)
        elif prunes and what < 0.3:
            old = _old_run(task, turn)
            with history.changing({("run", old.id): 0}):
                await store.save_run(old)
            olds.append(old.id)
            if len(olds) == 3:
                with history.changing({("run", old_id): None for old_id in olds}):
                    await store.prune_runs(older_than=0, status=RunStatus.CANCELLED)
                olds.clear()
        else:
            version += 1
            run = make_run(run_id, version, chance.randrange(20, largest))
            with history.changing({("run", run_id): version}):
                await store.save_run(run)
            if what > 0.9:
                assert await store.get_run(run_id) == run, "what was acknowledged is not read"
        await asyncio.sleep(0)


async def found_runs(store: RunStore) -> dict[Thing, Hashable]:
    """Return what a run store holds, by the things of a history."""
    found: dict[Thing, Hashable] = {}
    runs = await store.list_runs()
    for run in runs:
        found["run", run.id] = _run_value(run)
    if await store.count_runs() != len(runs):
        found["count", "runs"] = _DAMAGED
    # The index of metadata tells the same.
    for task in {str((run.metadata or {}).get("task")) for run in runs}:
        listed = await store.list_runs(RunQuery(metadata={"task": task}, include_state=False))
        if {run.id for run in listed} != {run.id for run in runs if (run.metadata or {}).get("task") == task}:
            found["index", task] = _DAMAGED
    return found


def _run_value(run: RunRecord) -> Hashable:
    if run.id.startswith("old-"):
        task, _, number = run.id.removeprefix("old-").rpartition("-")
        return 0 if run == _old_run(task, int(number)) else _DAMAGED
    state: Any = run.state
    if not isinstance(state, dict) or run != make_run(run.id, state["version"], state["size"]):
        return _DAMAGED
    version: int = state["version"]
    return version


def append_entries(run_id: str, start: int) -> list[LogEntry]:
    """Return the entries of an append: a message, a request that has it, and more signals."""
    message: Any = {"role": "user", "content": f"{run_id} {start} " * 20}
    blob = Blob(digest(message), message)
    request = {"messages": [blob.digest], "tools": [], "model": None}
    signals = [
        Signal(
            signal_id(run_id, seq),
            name="text:delta" if seq > start else "provider:start",
            payload={"text": f"{seq} " * (30 + seq % 7 * 200)} if seq > start else {"request": request},
            timestamp=seq,
            seq=seq,
            source=SignalSource("talker", "claude", None, "talker#1"),
        )
        for seq in range(start, start + BATCH)
    ]
    return [blob, *signals]


def _is_right(run_id: str, signals: list[Signal]) -> bool:
    if len(signals) % BATCH:
        return False
    for start in range(0, len(signals), BATCH):
        blob, request, *others = append_entries(run_id, start)
        found, *rest = signals[start : start + BATCH]
        assert isinstance(blob, Blob)
        assert isinstance(request, Signal)
        payload: Any = found.payload
        if rest != others or payload["request"]["messages"] != [blob.data]:
            return False
        if (found.id, found.seq, found.name, found.source) != (request.id, request.seq, request.name, request.source):
            return False
    return True


async def record(store: SignalStore, history: History, task: str, *, seed: int, turns: Iterable[int]) -> None:
    """Record one run after the other: append, name places, finalize, publish, delete.

    Args:
        store: The store.
        history: Gets what is done.
        task: The name of the task; no other one has it.
        seed: Decides what is done.
        turns: One number, other than those before, for each run that is recorded.
    """
    chance = random.Random(seed)
    for number in turns:
        run_id = f"{task}-{number}"
        with history.changing({("signals", run_id): 0, ("outcome", run_id): "incomplete"}):
            recording = await store.create_recording(run_id=run_id, name=task, tags=["faults"], metadata={"task": task})
        count = 0
        for _ in range(chance.randrange(1, 12)):
            with history.changing({("signals", run_id): count + BATCH}):
                await store.append(recording, append_entries(run_id, count))
            count += BATCH
            if chance.random() < 0.2:
                last = count - 1
                with history.changing({("checkpoint", run_id, f"at-{last}"): last}):
                    await store.add_checkpoint(recording, f"at-{last}", last)
            await asyncio.sleep(0)
        fate = chance.random()
        if fate < 0.2:
            gone = [thing for thing in history.changes if thing[1] == run_id and thing[0] != "fixture"]
            with history.changing(dict.fromkeys(gone)):
                await store.delete_recording(recording)
        elif fate < 0.9:
            with history.changing({("outcome", run_id): "completed"}):
                await store.finalize(recording, outcome="completed", duration_ms=count)
            with history.changing({("fixture", task): run_id}):
                await store.publish(recording, task)


async def found_signals(store: SignalStore) -> dict[Thing, Hashable]:
    """Return what a signal store holds, by the things of a history."""
    found: dict[Thing, Hashable] = {}
    for info in await store.list_recordings():
        recording = await store.load_recording(info.id)
        if recording is None or recording.info != info or ("signals", info.run_id) in found:
            found["info", info.run_id] = _DAMAGED
            continue
        signals = list(recording.signals)
        found["signals", info.run_id] = len(signals) if _is_right(info.run_id, signals) else _DAMAGED
        found["outcome", info.run_id] = str(info.outcome)
        for checkpoint in recording.checkpoints:
            found["checkpoint", info.run_id, checkpoint.name] = checkpoint.seq
    for name in await store.list_fixtures():
        info_of_name = await store.find_recording(name)
        found["fixture", name] = None if info_of_name is None else info_of_name.run_id
    return found
