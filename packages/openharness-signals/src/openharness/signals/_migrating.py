"""A folder of fixtures rewritten: in the current version of the format, with payloads in the form of today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from openharness.core.errors import OpenHarnessError, StoreOpenError
from openharness.core.storage import EncodedBlob, EncodedSignal, SignalDecoder
from openharness.core.values import MAX_BYTES, dump_json
from openharness.signals._file_store import _disk as disk
from openharness.signals._file_store._folder import Folder
from openharness.signals._file_store._log_file import Content, LogFiles, file_content, pooled_entries
from openharness.signals._file_store._names import SUFFIX
from openharness.signals._file_store._threads import Worker
from openharness.signals._format import MAX_ENTRIES, MAX_RECORDING_BYTES, Limits, LogReader, released, unknown_members
from openharness.signals._upcasting import SignalUpcasters, Upcasting

if TYPE_CHECKING:
    import os

    from openharness.core.records import Signal

__all__ = ("MigratedFile", "MigrationReport", "MigrationStatus", "migrate")

_STORE = "migrate"

MigrationStatus: TypeAlias = Literal["unchanged", "rewritten", "refused"]
"""What became of a file, or what would."""


@attrs.frozen(kw_only=True)
class MigratedFile:
    """What `migrate` did with one file.

    Attributes:
        path: The file.
        status: ``"unchanged"``: it is in the current form already. ``"rewritten"``: it is now (in a dry run: it would
            be). ``"refused"``: it is as it was, for the reason given: damage, a newer version, no right to write.
        version: The version of the format it was found in; None where that could not be read.
        upcast: How many payloads the upcasters changed, by the name of the signal.
        reason: Why it was refused; None otherwise.
    """

    path: Path
    status: MigrationStatus
    version: int | None = None
    upcast: Mapping[str, int] = attrs.field(factory=dict[str, int])
    reason: str | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        if self.reason is not None:
            return f"{self.path.name}: refused: {self.reason}"
        facts: list[str] = []
        if self.status == "rewritten" and self.version != released().current:
            facts.append(f"version {self.version} to {released().current}")
        facts += [f"{name}: {count} changed" for name, count in self.upcast.items()]
        return f"{self.path.name}: {self.status}" + (f" ({', '.join(facts)})" if facts else "")


@attrs.frozen(kw_only=True)
class MigrationReport:
    """What `migrate` did with a folder; its text has a line for each file that is not as it was, and a count.

    Attributes:
        folder: The folder.
        dry_run: Whether nothing was written.
        files: Every fixture, by the name of its file.
    """

    folder: Path
    dry_run: bool
    files: tuple[MigratedFile, ...]

    def of(self, status: MigrationStatus) -> tuple[MigratedFile, ...]:
        """Return the files of which this became."""
        return tuple(file for file in self.files if file.status == status)

    def __str__(self) -> str:
        """Say what changed."""
        counts = ", ".join(f"{len(self.of(status))} {status}" for status in ("unchanged", "rewritten", "refused"))
        lines = [str(file) for file in self.files if file.status != "unchanged"]
        return "\n".join([*lines, f"{self.folder}: {counts}{' (dry run)' if self.dry_run else ''}"])


async def migrate(
    folder: str | os.PathLike[str],
    *,
    upcasters: SignalUpcasters | None = None,
    dry_run: bool = False,
    max_bytes: int = MAX_BYTES,
    max_recording_bytes: int = MAX_RECORDING_BYTES,
    max_entries: int = MAX_ENTRIES,
) -> MigrationReport:
    """Rewrite the fixtures of a folder in the current version of the format, and in the final form of a recording.

    Each file is replaced in one step or stays as it is, and what is written is read again and compared before. A file
    that cannot be rewritten without losing something is refused and left alone; the others go on. Doing it again
    changes nothing. Only the fixtures are rewritten, not what is in ``unpublished``, where runs may be going on.

    Args:
        folder: The folder, as `FileSignalStore` takes it.
        upcasters: Functions that bring payloads to the form of today, as `FileSignalStore` takes them; their result is
            what the files then hold. A function that changes its own result is refused.
        dry_run: Report what would be done, and write nothing.
        max_bytes: As in `FileSignalStore`.
        max_recording_bytes: As in `FileSignalStore`.
        max_entries: As in `FileSignalStore`.

    Returns:
        What became of each file.

    Raises:
        StoreOpenError: There is no such folder.
        InvalidValueError: The upcasters are none.
    """
    # Now, because a program that changes its current folder means the one it had here.
    migration = _Migration(
        Path(folder).absolute(),  # noqa: ASYNC240 - asks for no file
        upcast=Upcasting(upcasters, store=_STORE),
        dry_run=dry_run,
        limits=Limits(max_bytes=max_bytes, max_recording_bytes=max_recording_bytes, max_entries=max_entries),
    )

    def work() -> MigrationReport:
        with disk.explained(_STORE):
            return migration.run()

    # To its end, also when the task is cancelled meanwhile: a lock is held.
    return await Worker(_STORE).run(work)


class _Refused(Exception):  # noqa: N818 - becomes a reason; never leaves this module
    """The file cannot be rewritten. The argument is the reason."""


class _Migration:
    """The rewriting of one folder. Its methods do I/O."""

    def __init__(self, path: Path, *, upcast: Upcasting, dry_run: bool, limits: Limits) -> None:
        self._path = path
        self._upcast = upcast
        self._dry_run = dry_run
        self._limits = limits
        self._folder = Folder(path, limits=limits, store=_STORE)
        self._logs = LogFiles(self._folder, limits=limits, store=_STORE)

    def run(self) -> MigrationReport:
        if not self._path.is_dir():
            raise StoreOpenError(f"there is no folder {str(self._path)!r}.", store=_STORE)
        paths = sorted(path for path in self._path.iterdir() if path.name.endswith(SUFFIX))
        return MigrationReport(
            folder=self._path, dry_run=self._dry_run, files=tuple(self._migrated(path) for path in paths)
        )

    def _migrated(self, path: Path) -> MigratedFile:
        version: int | None = None
        upcast: Counter[str] = Counter()
        try:
            data, content = self._read(path)
            version = content.header.version
            new = file_content(self._upcasted(content, upcast))
            if new == data:
                return MigratedFile(path=path, status="unchanged", version=version)
            self._check(path, data, content, new)
            if not self._dry_run:
                self._replace(path, content.header.id, data, new)
        except (_Refused, OpenHarnessError, OSError) as error:
            return MigratedFile(path=path, status="refused", version=version, reason=str(error))
        return MigratedFile(path=path, status="rewritten", version=version, upcast=dict(upcast))

    def _read(self, path: Path) -> tuple[bytes, Content]:
        if path.is_symlink():
            raise _Refused("it is a symbolic link; migrate the folder it leads to")
        data = self._logs.read_bytes(path)
        return data, self._logs.content_of(path, data)

    def _upcasted(self, content: Content, count: Counter[str]) -> Content:
        """The content with its payloads in the form of today; itself where that changes none."""
        if not self._upcast:
            return content
        recording_id = content.header.id
        decoder = SignalDecoder(
            {entry.digest: entry.data for entry in content.entries if isinstance(entry, EncodedBlob)},
            recording_id=recording_id,
            store=_STORE,
        )
        signals: list[Signal] = []
        for entry in content.entries:
            if isinstance(entry, EncodedSignal):
                before = decoder.decode(entry)
                after = self._upcast(before, recording_id=recording_id)
                signals.append(after)
                if _differ(before, after):
                    count[entry.name] += 1
                    if _differ(after, self._upcast(after, recording_id=recording_id)):
                        raise _Refused(
                            f"the upcaster for {entry.name!r} changes its own result (signal {entry.seq}): it must "
                            "return a payload that is in the form of today as it is"
                        )
        if not count:
            return content
        entries = pooled_entries(signals, max_bytes=self._limits.max_bytes)
        summary = attrs.evolve(content.summary, blob_count=sum(isinstance(entry, EncodedBlob) for entry in entries))
        return attrs.evolve(content, entries=entries, summary=summary)

    def _check(self, path: Path, data: bytes, content: Content, new: bytes) -> None:
        """Make sure that rewriting loses nothing."""
        if content.torn:
            raise _Refused(
                f"it was cut off; the {len(content.torn)} bytes at its end would be lost. Record it anew, or remove them"
            )
        if len(new) > self._limits.max_recording_bytes:
            raise _Refused(f"it would take more than {self._limits.max_recording_bytes:,} bytes")
        if content.header.version == released().current:
            for number, line in enumerate(data.splitlines(), 1):
                if unknown := unknown_members(line):
                    raise _Refused(f"line {number} has members that this release does not know: {', '.join(unknown)}")
        reader = LogReader(path.name, limits=self._limits, store=_STORE)
        entries = reader.feed(new) + reader.finish()
        again = Content(reader.header or content.header, entries, reader.checkpoints, reader.summary)
        if file_content(again) != new or again.header != content.header or again.checkpoints != content.checkpoints:
            raise _Refused("what would be written does not read as it should; this is a defect of this release")

    def _replace(self, path: Path, recording_id: str, data: bytes, new: bytes) -> None:
        with self._folder.lock(recording_id) as over, self._folder.lock_names():
            if self._logs.read_bytes(path) != data:
                raise _Refused("it was changed in this moment; migrate again")
            temporary = self._folder.temporary_path(recording_id)
            disk.create_file(path, new, temporary=temporary, mode=path.stat().st_mode & 0o777)
            over()


def _differ(one: Signal, other: Signal) -> bool:
    # As text: equal values of other types, as 1 and 1.0 are, are a change.
    return one is not other and dump_json(one.payload) != dump_json(other.payload)
