"""Runs that are resumed while their own process still goes on with them, and ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from openharness.core import (
    Completed,
    InvalidValueError,
    OpenHarnessError,
    Provider,
    ProviderOutput,
    create_harness,
)
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from openharness.core import ProviderEvent, ProviderRequest, RecordingInfo, RunContext, Signal


@attrs.define
class Report:
    """The state of the runs here."""

    outline: str = ""
    text: str = ""


class Writer(Provider):
    """Notes which calls were made."""

    type = "writer"

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer."""
        self.calls.append(context.call)
        yield Completed(ProviderOutput(content="text"))


harness = create_harness(Report)
AGENTS = {
    "outliner": harness.agent(prompt="o", activate_on="harness:start", emits="outline:done", updates="outline"),
    "author": harness.agent(prompt="a", activate_on="outline:done", emits="text2:done", updates="text"),
}


class Overtaken(FileSignalStore):
    """A store that is read right after the process of a run has ended it.

    Args:
        folder: The folder.
        number: The number of the read before which that happens.
        recording_id: The recording of the run.
        rest: What is appended to it.
    """

    def __init__(self, folder: Path, number: int, recording_id: str, rest: list[Signal]) -> None:
        super().__init__(folder)
        self._number, self._recording_id, self._rest = number, recording_id, rest
        self._reads = 0

    @property
    def is_done(self) -> bool:
        """Whether the run has ended."""
        return self._reads >= self._number

    async def _read(self) -> None:
        self._reads += 1
        if self._reads == self._number:
            other = FileSignalStore(self.folder)
            await other.append(self._recording_id, self._rest)
            await other.finalize(self._recording_id, outcome="completed")

    async def load_recording(self, recording_id: str) -> Any:
        """Stand for that of the store."""
        await self._read()
        return await super().load_recording(recording_id)

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        """Stand for that of the store."""
        await self._read()
        return await super().get_recording_info(recording_id)

    async def list_recordings(self, query: Any = None) -> list[RecordingInfo]:
        """Stand for that of the store."""
        await self._read()
        return await super().list_recordings(query)

    async def iter_signals(self, recording_id: str, **options: Any) -> AsyncIterator[Signal]:
        """Stand for that of the store."""
        await self._read()
        async for signal in super().iter_signals(recording_id, **options):
            yield signal


async def test_a_run_that_ends_while_it_is_resumed_is_not_run_again(tmp_path: Path) -> None:
    """Before whichever read a run ends, whoever resumes it is refused: nobody is called, and no other recording is left."""
    whole = FileSignalStore(tmp_path / "whole")
    result = await harness.run_reactive(agents=AGENTS, state=Report(), provider=Writer(), store=whole)
    recording = await whole.load_recording(str(result.recording_id))
    assert recording is not None
    signals = list(recording.signals)
    cut = next(signal.seq for signal in signals if signal.name == "outline:done") + 1
    refused: set[type[OpenHarnessError]] = set()
    for number in range(1, 100):
        folder = tmp_path / f"{number}"
        writer = FileSignalStore(folder)
        recording_id = await writer.create_recording(run_id=recording.info.run_id)
        await writer.append(recording_id, signals[:cut])
        store, provider = Overtaken(folder, number, recording_id, signals[cut:]), Writer()
        try:
            await harness.resume(recording_id, agents=AGENTS, provider=provider, store=store)
        except OpenHarnessError as error:
            refused.add(type(error))
        if not store.is_done:
            assert provider.calls == ["author#1/0/0"]
            break
        assert provider.calls == []
        assert [info.id for info in await writer.list_recordings()] == [recording_id]
        kept = await writer.load_recording(recording_id)
        assert kept is not None
        assert list(kept.signals) == signals
    assert InvalidValueError in refused
    assert number > 2, "nothing came in between"
