"""The store that a test records to: what it publishes is published once the test has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core import OpenHarnessError, RunStatus
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterable, Mapping

    from openharness.core import JSONValue, Mode, RecordingInfo

__all__ = ("SharedRecordingError", "TestedSignalStore")


class SharedRecordingError(OpenHarnessError):
    """Two tests would record under one name, and the second would overwrite what the first one replays.

    Attributes:
        name: The fixture name.
        tests: The tests.
    """

    def __init__(self, name: str, *, tests: list[str]) -> None:
        self.name = name
        self.tests = tests
        super().__init__(
            f"{len(tests)} tests would record the fixture {name!r}: {', '.join(tests)}. "
            "Each needs a name of its own: give the marker recording(...) to one of them, or leave it away. If they are to "
            "replay the same recording, record it with one of them alone."
        )


class TestedSignalStore(FileSignalStore):
    """Recordings in files, of one test. What the test publishes means something in this test only, until `settle`.

    Args:
        folder: Where they are.
        on_use: Told the name of every fixture that is replayed or recorded.
        sharing: Tells which tests have recordings of the same names.
    """

    # pytest takes classes for tests by their names.
    __test__ = False

    # Whether a run that failed is what a test wants, the test knows.
    publishes_every_end = True

    def __init__(
        self, folder: pathlib.Path, *, on_use: Callable[[str], None], sharing: Callable[[], list[str]]
    ) -> None:
        super().__init__(folder)
        self._on_use = on_use
        self._sharing = sharing
        self._pending: dict[str, str] = {}
        self._stopped: dict[str, str] = {}
        self._recordable: set[str | None] = set()
        self.recorded: set[str] = set()
        """The runs that were recorded as the options of the test say: those that may call a provider."""
        self.was_offered = False
        """Whether the test has asked for the options of a run."""

    def offer(self, name: str | None, *, mode: Mode) -> None:
        """Remember that the test has asked for the options of a run.

        Args:
            name: The name of its recording; None where it has none.
            mode: Its mode.
        """
        self.was_offered = True
        if mode != "replay":
            self._recordable.add(name)

    async def create_recording(
        self,
        *,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, JSONValue] | None = None,
        resumed_from: str | None = None,
    ) -> str:
        """Create an empty recording. See `SignalStore.create_recording`.

        Raises:
            SharedRecordingError: Another test records under this name.
        """
        if name is not None:
            tests = self._sharing()
            if len(tests) > 1:
                raise SharedRecordingError(name, tests=tests)
        recording_id = await super().create_recording(
            run_id=run_id, name=name, tags=tags, metadata=metadata, resumed_from=resumed_from
        )
        # A run that goes on from a recording, or that took this store without the options, was not told to call anybody.
        if resumed_from is None and name in self._recordable:
            self.recorded.add(run_id)
        return recording_id

    async def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the name means in this test, and remember to publish it.

        One whose run did not complete means nothing in this test, so that the next run of the name is a new one; and it is
        published only where no run of the name has completed.
        """
        info = await self.get_recording_info(recording_id)
        completed = info is None or info.outcome == RunStatus.COMPLETED
        (self._pending if completed else self._stopped)[name] = recording_id
        self._on_use(name)

    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return what the name means in this test. See `SignalStore.find_recording`."""
        if name in self._pending:
            # Its own name may be another one: a recording can be published under several.
            return await self.get_recording_info(self._pending[name])
        found = await super().find_recording(name)
        if found is not None:
            self._on_use(name)
        return found

    async def list_fixtures(self) -> list[str]:
        """Return the names that mean something in this test. See `SignalStore.list_fixtures`."""
        return sorted({*await super().list_fixtures(), *self._pending})

    async def delete_recording(self, recording_id: str) -> None:
        """Delete a recording, which then means nothing any more. See `SignalStore.delete_recording`."""
        await super().delete_recording(recording_id)
        self._pending = {name: pending for name, pending in self._pending.items() if pending != recording_id}
        self._stopped = {name: stopped for name, stopped in self._stopped.items() if stopped != recording_id}

    async def settle(self) -> None:
        """Publish what the test published, each recording in one atomic step."""
        # Through a store of its own: the test may have closed this one.
        store = FileSignalStore(self.folder)
        for name, recording_id in self.unsettled.items():
            await store.publish(recording_id, name)
        self._pending.clear()
        self._stopped.clear()

    @property
    def unsettled(self) -> dict[str, str]:
        """What the test published and nobody has settled: recordings by fixture name."""
        return {**self._stopped, **self._pending}
