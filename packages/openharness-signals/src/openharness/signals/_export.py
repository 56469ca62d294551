"""A run turned into a test: its recording, out of any store, as a fixture file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from openharness.core.errors import InvalidValueError, OpenHarnessError, RecordingNotFoundError
from openharness.core.records import RecordingQuery, check_id
from openharness.core.redaction import refuse_secrets
from openharness.core.storage import EncodedBlob, RecordingSummary
from openharness.core.values import MAX_BYTES, dump_json, to_json
from openharness.signals._file_store import _disk as disk
from openharness.signals._file_store._folder import Folder
from openharness.signals._file_store._log_file import Content, LogFiles, file_content, pooled_entries
from openharness.signals._file_store._names import SUFFIX, file_stem, stem_as_name
from openharness.signals._file_store._publishing import publish
from openharness.signals._file_store._threads import Worker
from openharness.signals._format import Limits
from openharness.signals._header import Header

if TYPE_CHECKING:
    from openharness.core.interfaces import SignalStore
    from openharness.core.records import Recording, RecordingInfo

__all__ = ("FixtureExistsError", "IncompleteRecordingError", "export_recording")

_STORE = "export_recording"


class FixtureExistsError(OpenHarnessError):
    """There is a fixture of this name already, and it holds something else. Nothing was written.

    Attributes:
        name: The fixture's name.
        path: Its file.
    """

    def __init__(self, name: str, *, path: Path) -> None:
        self.name = name
        self.path = path
        super().__init__(
            f"The fixture {name!r} is there already, and {str(path)!r} holds another recording. "
            "Choose another name, or replace it with overwrite=True."
        )


class IncompleteRecordingError(OpenHarnessError):
    """The recording was never finalized: its run goes on, or its process died. Nothing was written.

    Attributes:
        recording_id: The recording.
        run_id: Its run.
        signal_count: How many signals it has so far.
    """

    def __init__(self, recording_id: str, *, run_id: str, signal_count: int) -> None:
        self.recording_id = recording_id
        self.run_id = run_id
        self.signal_count = signal_count
        super().__init__(
            f"The recording {recording_id!r} of run {run_id!r} is incomplete ({signal_count} signals so far): a replay "
            "would stop with RecordingEndedError where it breaks off. Wait for the end of the run or resume it, choose "
            "another recording with recording_id=, or export it as it is with allow_incomplete=True."
        )


async def export_recording(
    store: SignalStore,
    run_id: str,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    recording_id: str | None = None,
    allow_incomplete: bool = False,
    allow_secrets: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a recording of a run as a fixture, which `FileSignalStore` finds in its folder and which replays as it is.

    The store is only read. The file is there whole or not at all, also when the process dies. Exporting the same
    recording again changes nothing.

    Args:
        store: Where the run was recorded.
        run_id: The run. Its newest recording is exported.
        path: The fixture's file, ``tests/fixtures/ducks.jsonl``, or the folder it shall be in.
        name: The fixture's name. By default the one that the file's name spells; with a folder it must be given.
        recording_id: Another recording of the run than its newest.
        allow_incomplete: Export a recording that was never finalized, too.
        allow_secrets: Export it although something in it still looks like a secret.
        overwrite: Replace a fixture of this name that holds something else. What it held stays in the folder,
            unpublished.

    Returns:
        The fixture's file.

    Raises:
        RecordingNotFoundError: The store has no recording of this run, or not this one.
        IncompleteRecordingError: The recording was never finalized.
        SecretFoundError: Something in it still looks like a secret.
        FixtureExistsError: There is a fixture of this name, and it holds something else.
        InvalidValueError: No name can be found for the fixture, or the store would look for it in another file.
        CorruptRecordError: The recording is damaged.
        StoreError: The store cannot be read, or the file cannot be written.
    """
    check_id(run_id, name="run_id")
    folder_path, fixture = _target(path, name)
    info = await _chosen(store, run_id, recording_id)
    if info.outcome == "incomplete" and not allow_incomplete:
        raise IncompleteRecordingError(info.id, run_id=run_id, signal_count=info.signal_count)
    recording = await store.load_recording(info.id)
    if recording is None:  # deleted in this moment
        raise RecordingNotFoundError(info.id, store=repr(store))
    if not allow_secrets:
        _refuse_secrets(recording, fixture)
    export = _Export(folder_path, fixture, _content(recording, fixture))
    worker = Worker(_STORE)

    def work() -> Path:
        with disk.explained(_STORE):
            return export.replace() if overwrite else export.write()

    # To its end, also when the task is cancelled meanwhile: a lock is held.
    return await worker.run(work)


def _target(path: str | os.PathLike[str], name: str | None) -> tuple[Path, str]:
    """The folder and the fixture's name."""
    # Now, because a program that changes its current folder means the one it had here.
    given = Path(path).absolute()
    is_file = given.name.endswith(SUFFIX)
    if name is None:
        spelt = stem_as_name(given.name.removesuffix(SUFFIX)) if is_file else None
        if spelt is None:
            expected = (
                f"a file whose name spells a fixture's (lower-case letters, digits, '-', '_' and '.', then {SUFFIX!r}); "
                "for any other fixture give the folder, and the name as name="
            )
            raise InvalidValueError("path", value=os.fspath(path), expected=expected)
        return given.parent, spelt
    check_id(name, name="name")
    if not is_file:
        return given, name
    if given.name != file_stem(name) + SUFFIX:
        expected = (
            f"the folder alone, or the file in which FileSignalStore looks for {name!r}: {file_stem(name)}{SUFFIX}"
        )
        raise InvalidValueError("path", value=os.fspath(path), expected=expected)
    return given.parent, name


async def _chosen(store: SignalStore, run_id: str, recording_id: str | None) -> RecordingInfo:
    known = await store.list_recordings(RecordingQuery(run_id=run_id))
    if recording_id is None and known:
        return known[0]
    for info in known:
        if info.id == recording_id:
            return info
    raise RecordingNotFoundError(recording_id, run_id=run_id, store=repr(store))


def _refuse_secrets(recording: Recording, fixture: str) -> None:
    info = recording.info
    start: object = recording.signals[0].payload if recording.signals else None
    parts: list[tuple[int | None, str, Any]] = [(None, "tags", list(info.tags))]
    parts.append((None, "metadata", None if info.metadata is None else dict(info.metadata)))
    parts += [(signal.seq, "payload", signal.payload) for signal in recording.signals]
    refuse_secrets(
        parts,
        what=f"The recording {info.id!r} was not exported as {fixture!r}.",
        redacted=not isinstance(start, dict) or cast("dict[str, Any]", start).get("redaction") != "off",
    )


def _content(recording: Recording, fixture: str) -> Content:
    """All that the file is to hold: what the recording holds, under the fixture's name."""
    encoded = pooled_entries(recording.signals, max_bytes=MAX_BYTES)
    info = recording.info
    providers = {signal.source.provider for signal in recording.signals}
    return Content(
        header=Header(
            id=info.id,
            run_id=info.run_id,
            name=fixture,
            created_at=info.created_at,
            tags=info.tags,
            metadata=None if info.metadata is None else dump_json(to_json(info.metadata, path="metadata")),
            resumed_from=info.resumed_from,
        ),
        entries=encoded,
        checkpoints={checkpoint.name: checkpoint.seq for checkpoint in recording.checkpoints},
        summary=RecordingSummary(
            outcome=info.outcome,
            duration_ms=info.duration_ms,
            signal_count=len(recording.signals),
            blob_count=sum(isinstance(entry, EncodedBlob) for entry in encoded),
            checkpoint_count=len(recording.checkpoints),
            provider_types=tuple(sorted(provider for provider in providers if provider is not None)),
        ),
    )


class _Export:
    """One fixture to be written. Its methods do I/O.

    Args:
        folder: Where the fixture shall be.
        name: Its name.
        content: What it shall hold.
    """

    def __init__(self, folder: Path, name: str, content: Content) -> None:
        limits = Limits(max_bytes=MAX_BYTES)
        self._folder = Folder(folder, limits=limits, store=_STORE)
        self._logs = LogFiles(self._folder, limits=limits, store=_STORE)
        self._name = name
        self._content = content
        self._recording_id = content.header.id
        self._data = file_content(content)
        self._target = self._folder.fixture_path(name)

    def write(self) -> Path:
        """Write the fixture where there is none, and return its file."""
        with self._folder.lock(self._recording_id) as over, self._folder.lock_names():
            over()
            if not self._is_there():
                if self._target.exists():
                    raise FixtureExistsError(self._name, path=self._target)
                self._create(self._target)
        return self._target

    def replace(self) -> Path:
        """Write the fixture in place of what has its name, and return its file."""
        private = self._folder.private_path(self._recording_id)
        with self._folder.lock(self._recording_id) as over, self._folder.lock_names():
            # The last is an earlier export of the same recording, which has gone on since.
            is_free = not self._target.exists() or self._target in self._folder.paths(self._recording_id)
            if is_free or self._is_there():
                over()
                self._create(self._target)
                return self._target
            if not private.is_file() or self._is_behind():
                self._create(private, mode=disk.PRIVATE)
        # Keeps what had the name.
        publish(self._folder, self._logs, self._recording_id, self._name, store=_STORE)
        return self._target

    def _is_behind(self) -> bool:
        """Whether the folder has the recording from a time at which it was not as long as it is now."""
        there = self._logs.read(self._recording_id)
        if there is None:
            return True
        summary = self._content.summary
        return there.summary.signal_count < summary.signal_count or (
            there.summary.outcome == "incomplete" != summary.outcome
        )

    def _is_there(self) -> bool:
        """Whether the fixture holds just this already; git may have changed how its lines end."""
        try:
            return self._target.read_bytes().replace(b"\r\n", b"\n") == self._data
        except FileNotFoundError:
            return False

    def _create(self, path: Path, *, mode: int | None = None) -> None:
        if mode is None:
            mode = disk.ordinary_mode(self._folder.private, f".{file_stem(self._recording_id)}.mode")
        temporary = self._folder.temporary_path(self._recording_id)
        disk.create_file(path, self._data, temporary=temporary, mode=mode)
