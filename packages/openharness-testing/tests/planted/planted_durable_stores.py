"""Bugs that only a second instance or another process can notice, planted in the example of a third-party store."""

# ruff: noqa: D101, D102 - the name of a class says what its bug is

from __future__ import annotations

import asyncio
import json
import pathlib
import threading
import time
from typing import TYPE_CHECKING

import attrs
from acme_openharness_run_store_json import JsonRunStore
from planting import Garden

from openharness.core.storage import decode_run
from openharness.testing._run_store._concurrency import InstanceTests
from openharness.testing._run_store._damage import DamageTests
from openharness.testing._run_store._lifecycle import LifecycleTests
from openharness.testing._run_store._other_processes import ProcessTests
from openharness.testing._run_store._records import RecordTests

if TYPE_CHECKING:
    from openharness.core import RunQuery, RunRecord

garden = Garden()


@garden.plant(RecordTests)
class ForgottenWhenClosed(JsonRunStore):
    async def close(self) -> None:
        await super().close()
        for file in self._folder.path.glob("*.json"):
            file.unlink()


@garden.plant(LifecycleTests)
class ClosingDropsWhatIsQueued(JsonRunStore):
    """It acknowledges a save when it is queued, and a close leaves the queue."""

    def __init__(self, folder: str | pathlib.Path, *, max_bytes: int) -> None:
        super().__init__(folder, max_bytes=max_bytes)
        self.queued = 0

    async def save_run(self, run: RunRecord) -> None:
        self.queued += 1
        if self.queued % 5:
            await super().save_run(run)


@garden.plant(LifecycleTests)
class ConstructingMakesFiles(JsonRunStore):
    def __init__(self, folder: str | pathlib.Path, *, max_bytes: int) -> None:
        super().__init__(folder, max_bytes=max_bytes)
        for file in pathlib.Path(folder).glob("*.json"):
            file.unlink()


@garden.plant(InstanceTests)
class InstancesDoNotSeeEachOther(JsonRunStore):
    """It reads each record once."""

    def __init__(self, folder: str | pathlib.Path, *, max_bytes: int) -> None:
        super().__init__(folder, max_bytes=max_bytes)
        self.cache: dict[str, RunRecord | None] = {}

    async def save_run(self, run: RunRecord) -> None:
        await super().save_run(run)
        self.cache[run.id] = await super().get_run(run.id)

    async def get_run(self, run_id: str) -> RunRecord | None:
        if run_id not in self.cache:
            self.cache[run_id] = await super().get_run(run_id)
        return self.cache[run_id]


class _OneFile(JsonRunStore):
    """All runs in one file, read and rewritten by every save: fine for one instance, and no more."""

    async def save_run(self, run: RunRecord) -> None:
        await super().save_run(run)
        await self._do(lambda: self._rewrite(run.id))

    def _rewrite(self, run_id: str) -> None:
        index = self._folder.path / "index"
        known = json.loads(index.read_text()) if index.exists() else []
        time.sleep(0.0005)
        index.write_text(json.dumps([*known, run_id]))

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        index = self._folder.path / "index"
        known = json.loads(index.read_text() or "[]") if index.exists() else []
        return [run for run in await super().list_runs(query) if run.id in known]


@garden.plant(InstanceTests)
class UpdatesOfTwoInstancesAreLost(_OneFile):
    pass


@garden.plant(ProcessTests)
class UpdatesOfTwoProcessesAreLost(_OneFile):
    pass


@garden.plant(ProcessTests)
class AcknowledgedBeforeWritten(JsonRunStore):
    """It acknowledges a save when it is queued, and writes it a moment later."""

    async def save_run(self, run: RunRecord) -> None:
        self._encode_later(run)
        await asyncio.sleep(0)

    def _encode_later(self, run: RunRecord) -> None:
        def write() -> None:
            time.sleep(0.02)
            asyncio.run(JsonRunStore(self._folder.path).save_run(run))

        self._thread.submit(write)


@garden.plant(ProcessTests)
class ThreadKeepsTheProcess(JsonRunStore):
    """A thread of its own waits until the store is closed, and nobody may close it."""

    def __init__(self, folder: str | pathlib.Path, *, max_bytes: int) -> None:
        super().__init__(folder, max_bytes=max_bytes)
        self.stopped = threading.Event()
        self.waits = False

    async def save_run(self, run: RunRecord) -> None:
        if not self.waits:
            self.waits = True
            threading.Thread(target=self.stopped.wait).start()
        await super().save_run(run)

    async def close(self) -> None:
        self.stopped.set()
        await super().close()


@garden.plant(DamageTests)
class DamageUnnoticed(JsonRunStore):
    def _decode(self, row: object, *, include_state: bool = True) -> RunRecord:
        return decode_run(attrs.asdict(row, recurse=False)["run"], include_state=include_state)  # type: ignore[call-overload]
