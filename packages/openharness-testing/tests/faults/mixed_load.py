"""One of several processes that do everything at once to the same stores, for a while.

    python mixed_load.py RUN_STORE_URL SIGNAL_STORE_URL SHARED NAME TASKS SECONDS RESULT [forgetful]

Tasks save, delete and prune runs, record runs, page through all runs, read recordings of others while those append, follow
them, and append to the recording SHARED, to which every process appends. What was acknowledged goes to the file RESULT.
Prints ``ready`` and begins when it gets a line. ``forgetful`` is the control: one save in five is acknowledged and
not done.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import pickle
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from histories import History
from loads import make_run, record, save_and_delete

from openharness.core import (
    RecordingConflictError,
    RecordingNotFoundError,
    RecordingQuery,
    RunQuery,
    RunStore,
    Signal,
    SignalStore,
)
from openharness.core.plugins import open_run_store, open_signal_store
from openharness.core.records import signal_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core import RunRecord

__all__ = ("STABLE", "Result", "shared_signal", "stable_run")

STABLE = 20
"""How many runs each process saves first, which nobody changes."""
_PAGE = 25


@attrs.define
class Result:
    """What a process did.

    Attributes:
        changes: The changes of its history.
        shared: What it appended to the shared recording: the seq, when it began, when it was acknowledged.
        counts: How often it did what.
    """

    changes: dict[Any, Any] = attrs.field(factory=dict[Any, Any])
    shared: list[tuple[int, float, float]] = attrs.field(factory=list[tuple[int, float, float]])
    counts: dict[str, int] = attrs.field(factory=dict[str, int])

    def count(self, what: str) -> None:
        """Count one more."""
        self.counts[what] = self.counts.get(what, 0) + 1


def stable_run(name: str, number: int) -> RunRecord:
    """A run that is saved once by the process of this name."""
    return make_run(f"stable-{name}-{number}", 0, 100)


def shared_signal(seq: int, name: str) -> Signal:
    """A signal of the shared recording, appended by the process of this name."""
    return Signal(signal_id("shared", seq), name="shared:signal", payload={"by": name}, timestamp=seq, seq=seq)


@attrs.frozen
class Load:
    """The work of one process.

    Attributes:
        runs: The run store.
        signals: The signal store.
        shared: The recording that every process appends to.
        name: The name of the process.
        until: When it ends, by `time.monotonic`.
        history: What it does.
        result: What it did otherwise.
    """

    runs: RunStore
    signals: SignalStore
    shared: str
    name: str
    until: float
    history: History
    result: Result

    def turns(self) -> Iterator[int]:
        """Count until the time is over."""
        return itertools.takewhile(lambda _: time.monotonic() < self.until, itertools.count())

    async def page(self) -> None:
        """Page through all runs: in order, none twice, and each there that was there before and stays."""
        stable = {stable_run(self.name, number).id for number in range(STABLE)}
        for _ in self.turns():
            last: tuple[int, bytes] | None = None
            found: set[str] = set()
            query = RunQuery(limit=_PAGE, include_state=False)
            while page := await self.runs.list_runs(query):
                for run in page:
                    position = run.created_at, run.id.encode()
                    assert last is None or position < last, "a page is out of order"
                    last = position
                    found.add(run.id)
                query = query.next_page(page[-1])
            assert stable <= found, f"a page lacks {stable - found}"
            self.result.count("pages")

    async def read(self, seed: int) -> None:
        """Read recordings while others append to them: the signals from the first on, none left out."""
        chance = random.Random(seed)
        for turn in self.turns():
            infos = await self.signals.list_recordings(RecordingQuery(limit=8))
            info = chance.choice(infos)
            with contextlib.suppress(RecordingNotFoundError):
                seqs = [signal.seq async for signal in self.signals.iter_signals(info.id)]
                assert seqs == list(range(len(seqs))), "an iteration left something out"
                assert len(seqs) >= info.signal_count, "a recording became shorter"
            self.result.count("reads")
            if turn % 4 == 0:
                await self.follow(info.id)

    async def follow(self, recording_id: str) -> None:
        """Follow a recording for a moment."""
        seqs: list[int] = []
        with contextlib.suppress(TimeoutError, RecordingNotFoundError):
            async with asyncio.timeout(0.3), contextlib.aclosing(self.signals.follow(recording_id)) as signals:
                async for signal in signals:
                    # One by one: what came before the time was over counts.
                    seqs.append(signal.seq)  # noqa: PERF401
        assert seqs == list(range(len(seqs))), "who followed missed something"
        self.result.count("follows")

    async def share(self) -> None:
        """Append to the shared recording wherever it ends; who comes too late tries again."""
        for _ in self.turns():
            info = await self.signals.get_recording_info(self.shared)
            assert info is not None
            begun = time.monotonic()
            try:
                await self.signals.append(self.shared, [shared_signal(info.signal_count, self.name)])
            except RecordingConflictError:
                self.result.count("conflicts")
            else:
                self.result.shared.append((info.signal_count, begun, time.monotonic()))
            await asyncio.sleep(0)

    async def work(self, tasks: int) -> None:
        """Do everything at once."""
        stable = [stable_run(self.name, number) for number in range(STABLE)]
        with self.history.changing({("run", run.id): 0 for run in stable}):
            await asyncio.gather(*map(self.runs.save_run, stable))
        seed = sum(self.name.encode())
        first = self.name.endswith("0")
        await asyncio.gather(
            *(
                save_and_delete(
                    self.runs,
                    self.history,
                    f"{self.name}-saver{number}",
                    seed=seed + number,
                    turns=self.turns(),
                    prunes=first and number == 0,
                )
                for number in range(tasks)
            ),
            *(
                record(
                    self.signals, self.history, f"{self.name}-recorder{number}", seed=seed + number, turns=self.turns()
                )
                for number in range(max(1, tasks // 2))
            ),
            self.page(),
            self.read(seed),
            self.read(seed + 1),
            self.share(),
        )


def plant_forgetfulness(runs: RunStore) -> None:
    """Make a run store acknowledge one save in five that it does not do."""
    honest = runs.save_run
    numbers = itertools.count(1)

    async def save_run(run: RunRecord) -> None:
        if next(numbers) % 5:
            await honest(run)

    runs.save_run = save_run  # type: ignore[method-assign]


async def main(urls: tuple[str, str], shared: str, name: str, *, tasks: int, seconds: float, forgets: bool) -> Result:
    """Work, and return what was done."""
    result = Result()
    history = History(time.monotonic)
    async with open_run_store(urls[0]) as runs, open_signal_store(urls[1]) as signals:
        if forgets:
            plant_forgetfulness(runs)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await Load(runs, signals, shared, name, time.monotonic() + seconds, history, result).work(tasks)
    result.changes = dict(history.changes)
    return result


if __name__ == "__main__":
    run_url, signal_url, shared, name, tasks, seconds, path, *words = sys.argv[1:]
    done = main(
        (run_url, signal_url), shared, name, tasks=int(tasks), seconds=float(seconds), forgets=words == ["forgetful"]
    )
    # As an instance of the module that others import.
    sys.modules["mixed_load"] = sys.modules["__main__"]
    Result.__module__ = "mixed_load"
    Path(path).write_bytes(pickle.dumps(asyncio.run(done)))
