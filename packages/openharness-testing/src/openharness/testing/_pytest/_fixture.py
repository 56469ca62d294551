"""The object that a test gets: its recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from openharness.core import DriftMode, InvalidValueError, Mode, SignalStore
from openharness.testing._pytest._mode import MODES
from openharness.testing._pytest._names import run_name

if TYPE_CHECKING:
    import pathlib

    from openharness.testing._pytest._store import TestedSignalStore

__all__ = ("RecordingFixture", "RecordingOptions")


class RecordingOptions(TypedDict):
    """The keywords that bind a run to its recording; see `RunOptions`.

    Attributes:
        store: The store of the test's recordings.
        fixture: The name of this run's recording; left out in a ``live`` run, which has none.
        mode: Whether the run is replayed, recorded or neither.
        drift: What a replay does where it differs; left out where neither marker nor option says it.
    """

    store: SignalStore
    fixture: NotRequired[str]
    mode: Mode
    drift: NotRequired[DriftMode]


class RecordingFixture:
    """The recordings of one test: what the fixture ``recording`` of the pytest plugin is.

    ::

        async def test_headline(recording: RecordingFixture) -> None:
            result = await harness.run_reactive(agents=AGENTS, state=Desk("..."), **recording.options())

    The recording is ``recordings/<module>/<test>.jsonl`` beside the test. One that a run makes is published when the
    whole test has passed; a test that fails leaves the one before as it is. A replay of it that fails fails the test, also
    where something catches the error.

    Attributes:
        name: The fixture name of the test's first run.
        mode: The mode of its runs.
        drift: What its replays do where they differ; None for what their harness says.
        folder: The folder of its recordings.
        store: The store of its recordings. What a run publishes there is seen by this test only, until it has passed.
    """

    def __init__(self, name: str, *, mode: Mode, store: TestedSignalStore, drift: DriftMode | None = None) -> None:
        self.name = name
        self.mode: Mode = mode
        self.drift: DriftMode | None = drift
        self.store = store
        self.folder: pathlib.Path = store.folder
        self._runs = 0

    def __repr__(self) -> str:
        """Name the recording and the mode."""
        return f"RecordingFixture({str(self.folder / self.name)!r}, mode={self.mode!r})"

    def options(self, run: str | None = None, *, mode: Mode | None = None) -> RecordingOptions:
        """Return the keywords for the next run of this test: ``harness.run_reactive(..., **recording.options())``.

        The first run is recorded under the name of the test, the second under that name and ``--2``, and so on. Runs
        that begin in no certain order, or that come and go, are better given names.

        Args:
            run: A name for this run, instead of its number.
            mode: The mode of this run, instead of that of the test.

        Raises:
            InvalidValueError: The name is empty, or there is no such mode.
        """
        if run is not None and not run:
            raise InvalidValueError("run", value=run, expected="a name, or left out")
        if mode is not None and mode not in MODES:
            raise InvalidValueError("mode", value=mode, expected=f"one of {', '.join(MODES)}")
        if run is None:
            self._runs += 1
        name = run_name(self.name, self._runs if run is None else run)
        options = RecordingOptions(store=self.store, mode=mode or self.mode)
        if options["mode"] != "live":
            options["fixture"] = name
        self.store.offer(options.get("fixture"), mode=options["mode"])
        if self.drift is not None:
            options["drift"] = self.drift
        return options
