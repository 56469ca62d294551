"""What `FileSignalStore` does beyond the contract: its files, their modes, failures of the disk, and what it reads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import logging
import os
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from signals_support import NOON, RUN_ID, fill, load, names_in, sample_log, signal

from openharness.core import (
    CorruptRecordError,
    InvalidValueError,
    RecordingConflictError,
    RecordingNotFoundError,
    RecordingQuery,
    RunStatus,
    SerializationError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreVersionError,
)
from openharness.core.records import Signal
from openharness.core.storage import _log_header as header_module
from openharness.signals import CorruptLineError, FileSignalStore
from openharness.signals._file_store import _disk as disk
from openharness.signals._file_store import _store
from openharness.signals._format import LogReader
from openharness.signals._format._frame import seal

if TYPE_CHECKING:
    from collections.abc import Callable

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows knows neither modes nor signals")
not_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store keeps its files."""
    return tmp_path / "recordings"


@pytest.fixture
def store(folder: Path) -> FileSignalStore:
    """A store on an empty folder."""
    return FileSignalStore(folder)


def every_name(folder: Path) -> list[str]:
    """The names of all files in a folder and below it."""
    return sorted(path.name for path in folder.rglob("*"))


async def published(store: FileSignalStore, name: str = "my-test", **about: object) -> str:
    """A finalized and published recording of the sample log."""
    recording_id = await fill(store, sample_log(), name=name, **about)
    await store.finalize(recording_id, outcome="completed", duration_ms=11)
    await store.publish(recording_id, name)
    return recording_id


async def test_a_log_that_was_closed_as_running_is_still_read(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores took that outcome once, and what they wrote then is found, read and a fixture as any other."""
    recording_id = await fill(store, sample_log(), name="my-test")
    with monkeypatch.context() as patch:
        patch.setattr(_store, "check_finalize", lambda *given: given)
        await store.finalize(recording_id, outcome=RunStatus.RUNNING, duration_ms=11)
    other = FileSignalStore(folder)
    await other.publish(recording_id, "my-test")
    assert [info.id for info in await other.list_recordings(RecordingQuery(outcome="running"))] == [recording_id]
    recording = await load(other, recording_id)
    assert (recording.info.outcome, recording.info.duration_ms) == ("running", 11)
    assert len(recording.signals) == recording.info.signal_count > 0
    assert (await other.doctor()).findings == ()


# --- Files ------------------------------------------------------------------------------------------------------------


async def test_constructing_and_reading_create_nothing(folder: Path, store: FileSignalStore) -> None:
    """A store on a folder that does not exist answers every question and leaves no trace."""
    assert await store.list_recordings() == []
    assert await store.list_fixtures() == []
    assert await store.find_recording("my-test") is None
    assert await store.load_recording("rec") is None
    await store.delete_recording("rec")
    for change in (
        store.append("rec", [signal(0)]),
        store.finalize("rec", outcome="completed"),
        store.publish("rec", "a"),
    ):
        with pytest.raises(RecordingNotFoundError):
            await change
    assert names_in(folder.parent) == []


async def test_a_fixture_is_one_readable_file(folder: Path, store: FileSignalStore) -> None:
    """A published recording is one file in the folder; nothing else is there that git would see."""
    recording_id = await fill(store, sample_log(), name="my-test")
    assert names_in(folder, "*.jsonl") == []
    assert (folder / "unpublished" / f"{recording_id}.jsonl").is_file()
    await store.finalize(recording_id, outcome="completed", duration_ms=11)
    await store.publish(recording_id, "my-test")
    assert names_in(folder) == ["my-test.jsonl", "unpublished"]
    assert (folder / "unpublished" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert [name for name in names_in(folder / "unpublished") if not name.startswith(".")] == []
    lines = [json.loads(line) for line in (folder / "my-test.jsonl").read_bytes().splitlines()]
    assert lines[0]["format"] == "openharness-recording"
    assert lines[-1]["outcome"] == "completed"


async def test_nothing_is_left_beside_what_is_finalized(folder: Path, store: FileSignalStore) -> None:
    """Neither locks nor temporary files of a recording remain once it is finalized, marked or deleted."""
    for index in range(3):
        recording_id = await fill(store, sample_log())
        await store.finalize(recording_id, outcome="failed")
        if index == 1:
            await store.add_checkpoint(recording_id, "here", 3)
            with pytest.raises(StoreError):
                await store.append(recording_id, [signal(11)])
        if index == 2:
            await store.delete_recording(recording_id)
    left = [name for name in names_in(folder / "unpublished") if not name.endswith(".jsonl")]
    assert left == [".gitignore", ".names.lock"]


async def test_equal_runs_give_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recordings of the same signals with the same ids and times are the same bytes, however they were appended."""
    monkeypatch.setattr(header_module, "new_id", lambda prefix: f"{prefix}_1")
    monkeypatch.setattr(header_module, "now_ms", lambda: NOON)
    contents: list[bytes] = []
    log = sample_log()
    for number, cuts in enumerate([[0, 1, 5, 12], [0, 12], [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]):
        store = FileSignalStore(tmp_path / str(number))
        recording_id = await store.create_recording(run_id=RUN_ID, name="my-test", tags=["b", "a"])
        for start, stop in itertools.pairwise(cuts):
            await store.append(recording_id, log[start:stop])
        for name in ["z", "a"] if number else ["a", "z"]:
            await store.add_checkpoint(recording_id, name, 3)
        await store.finalize(recording_id, outcome="completed", duration_ms=11)
        await store.publish(recording_id, "my-test")
        contents.append((tmp_path / str(number) / "my-test.jsonl").read_bytes())
    assert contents[0] == contents[1] == contents[2]


async def test_a_checkpoint_after_the_end_stands_before_the_footer(folder: Path, store: FileSignalStore) -> None:
    """A published recording takes a checkpoint, and its file has its final form again."""
    recording_id = await published(store)
    await store.add_checkpoint(recording_id, "late", 3)
    await store.add_checkpoint(recording_id, "early", 1)
    lines = [json.loads(line) for line in (folder / "my-test.jsonl").read_bytes().splitlines()]
    assert [line.get("checkpoint") for line in lines[-3:]] == ["early", "late", None]
    assert lines[-1]["checkpoints"] == 2
    found = await store.find_recording("my-test")
    assert found is not None
    assert found.outcome == "completed"


async def test_recording_anew_keeps_the_one_before(folder: Path, store: FileSignalStore) -> None:
    """Of two recordings of one fixture, the last published is the file; the other moves among the unpublished."""
    first, second = await published(store), await published(store)
    assert names_in(folder, "*.jsonl") == ["my-test.jsonl"]
    assert (folder / "unpublished" / f"{first}.jsonl").is_file()
    assert {info.id for info in await store.list_recordings()} == {first, second}
    assert (await load(store, first)).info.outcome == "completed"
    await store.publish(first, "my-test")
    found = await store.find_recording("my-test")
    assert found is not None
    assert found.id == first
    assert (await load(store, second)).signals == (await load(store, first)).signals


async def test_what_cannot_be_read_is_not_destroyed_by_publishing(folder: Path, store: FileSignalStore) -> None:
    """A damaged file under the fixture's name is kept aside when another recording takes its place."""
    await published(store)
    path = folder / "my-test.jsonl"
    path.write_bytes(b"no recording at all")
    with pytest.raises(CorruptRecordError):
        await store.find_recording("my-test")
    second = await published(store)
    third = await published(store)
    path.write_bytes(b"nor this")
    await published(store)
    kept = sorted(path.read_bytes() for path in (folder / "unpublished").glob("*.replaced-*"))
    assert kept == [b"no recording at all", b"nor this"]
    assert (await load(store, second)).info.id == second
    assert third


@posix_only
async def test_unpublished_recordings_are_their_owners_alone(folder: Path, store: FileSignalStore) -> None:
    """Before it is published a recording has mode 0600, then that of any new file, and 0600 again when replaced."""
    before = os.umask(0o022)
    try:
        first = await fill(store, sample_log(), name="my-test")
        private = folder / "unpublished" / f"{first}.jsonl"
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        await store.finalize(first, outcome="completed")
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        await store.publish(first, "my-test")
        assert stat.S_IMODE((folder / "my-test.jsonl").stat().st_mode) == 0o644
        await store.add_checkpoint(first, "here", 0)
        assert stat.S_IMODE((folder / "my-test.jsonl").stat().st_mode) == 0o644
        await published(store)
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "my-test.jsonl").stat().st_mode) == 0o644
    finally:
        os.umask(before)


async def test_the_folder_of_a_store_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder it meant when the store was made."""
    monkeypatch.chdir(tmp_path)
    store = FileSignalStore("recordings")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await published(store)
    assert (tmp_path / "recordings" / "my-test.jsonl").is_file()
    assert store.folder == tmp_path / "recordings"


@pytest.mark.parametrize(
    "url, path",
    [
        ("file:tests/fixtures", "tests/fixtures"),
        ("file:/var/recordings", "/var/recordings"),
        ("file:///var/recordings", "/var/recordings"),
        ("file://localhost/var/recordings", "/var/recordings"),
        ("file:with%20space", "with space"),
        ("file:.", "."),
    ],
)
def test_urls_of_folders(url: str, path: str) -> None:
    """A file URL names the folder, relative or absolute, and percent signs quote."""
    assert FileSignalStore.from_url(url).folder == Path(path).absolute()


@pytest.mark.parametrize("url", ["file:", "file://host/x", "memory:", "tests/fixtures", "file:x?a=1", "file:x#y", ""])
def test_what_is_no_url_of_a_folder(url: str) -> None:
    """Anything else is refused, with what a URL must look like."""
    with pytest.raises(InvalidValueError, match="path of a folder"):
        FileSignalStore.from_url(url)


def test_an_empty_path_is_refused() -> None:
    """An empty path is an error, and not the current folder."""
    with pytest.raises(InvalidValueError):
        FileSignalStore("")


# --- Reading ----------------------------------------------------------------------------------------------------------


async def test_listing_reads_headers_and_footers_only(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finalized recordings list without a line of theirs being parsed but the first and the last."""
    long = [signal(seq, payload="x" * 1_000) for seq in range(1_000)]
    expected = []
    for name in ("a", "b"):
        recording_id = await fill(store, long, name=name)
        await store.finalize(recording_id, outcome="completed", duration_ms=5)
        await store.publish(recording_id, name)
        expected.append((await load(store, recording_id)).info)

    def refuse(self: LogReader, data: bytes) -> None:
        raise AssertionError("a file was read through")

    monkeypatch.setattr(LogReader, "feed", refuse)
    assert await FileSignalStore(folder).list_recordings() == expected[::-1]
    assert expected[0].signal_count == 1_000


async def test_listing_leaves_out_what_it_cannot_read(
    folder: Path, store: FileSignalStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Foreign, damaged and newer files are named in the log, and the others list."""
    good = await published(store)
    header = (folder / "my-test.jsonl").read_bytes().splitlines()[0]
    (folder / "foreign.jsonl").write_text('{"hello": 1}\n')
    (folder / "newer.jsonl").write_bytes(header.replace(b'"version":1', b'"version":2') + b"\n")
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "folder.jsonl").mkdir()
    (folder / "notes.txt").write_text("not ours")
    with caplog.at_level(logging.WARNING, "openharness.signals"):
        assert [info.id for info in await store.list_recordings()] == [good]
    assert {Path(str(record.args[0])).name for record in caplog.records if record.args} == {
        "foreign.jsonl",
        "newer.jsonl",
        "empty.jsonl",
        "folder.jsonl",
    }
    assert await store.list_fixtures() == ["my-test"]


async def test_a_newer_fixture_is_refused_and_left_as_it_is(folder: Path, store: FileSignalStore) -> None:
    """Asking for a fixture of a later version is an error with both versions, and not "no such fixture"."""
    await published(store)
    path = folder / "my-test.jsonl"
    newer = path.read_bytes().replace(b'"version":1', b'"version":2')
    path.write_bytes(newer)
    with pytest.raises(StoreVersionError):
        await store.find_recording("my-test")
    assert path.read_bytes() == newer


async def test_a_recording_that_a_newer_release_has_rewritten_is_left_as_it_is(
    folder: Path, store: FileSignalStore
) -> None:
    """A store that was appending to a recording notices the version that its file has got meanwhile, and adds nothing."""
    recording_id = await fill(store, sample_log()[:2])
    (path,) = (folder / "unpublished").glob("*.jsonl")
    newer = path.read_bytes().replace(b'"version":1', b'"version":2')
    # As every file is rewritten: beside the old one, which it then replaces.
    path.with_name("new").write_bytes(newer)
    path.with_name("new").replace(path)
    for work in (
        store.append(recording_id, sample_log()[2:]),
        store.add_checkpoint(recording_id, "here", 1),
        store.finalize(recording_id, outcome="completed"),
        store.load_recording(recording_id),
        store.get_recording_info(recording_id),
    ):
        with pytest.raises(StoreVersionError) as caught:
            await work
        assert (caught.value.found, caught.value.supported) == (2, 1)
    assert path.read_bytes() == newer


async def test_damage_within_a_recording_is_listed_and_not_loaded(folder: Path, store: FileSignalStore) -> None:
    """A flipped bit in the middle: the recording lists, loading it names the line, and it can be deleted."""
    for finalize in (True, False):
        recording_id = await fill(store, sample_log())
        if finalize:
            await store.finalize(recording_id, outcome="completed")
        path = folder / "unpublished" / f"{recording_id}.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        lines[4] = lines[4].replace(b"The", b"Tha")
        path.write_bytes(b"".join(lines))
        assert recording_id in {info.id for info in await store.list_recordings()}
        with pytest.raises(CorruptLineError) as caught:
            await store.load_recording(recording_id)
        assert (caught.value.line, caught.value.record_id) == (5, recording_id)
        with pytest.raises(CorruptLineError):
            await anext(store.iter_signals(recording_id))
        with pytest.raises(CorruptLineError):
            await FileSignalStore(folder).append(recording_id, [signal(11)])
        await store.delete_recording(recording_id)
        assert await store.list_recordings() == []


async def test_a_blob_that_is_missing_is_damage(folder: Path, store: FileSignalStore) -> None:
    """A reference that leads nowhere is an error that names the digest."""
    recording_id = await fill(store, sample_log())
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b'"blob"' not in line))
    with pytest.raises(CorruptRecordError, match="sha256:"):
        await store.load_recording(recording_id)


async def test_signals_refer_only_to_blobs_that_are_there(store: FileSignalStore) -> None:
    """An append whose request refers to a blob nobody wrote is refused, and nothing of it is there."""
    request = next(entry for entry in sample_log() if isinstance(entry, Signal) and entry.name == "provider:start")
    recording_id = await fill(store, [])
    with pytest.raises(SerializationError, match="no blob of this digest"):
        await store.append(recording_id, [signal(0), request])
    assert (await load(store, recording_id)).signals == []


async def test_reading_goes_on_while_the_file_is_replaced(store: FileSignalStore) -> None:
    """A reader that is in the middle when a recording is finalized, published and marked gets every signal once."""
    many = [signal(seq, payload="x" * 1_000) for seq in range(2_000)]
    recording_id = await fill(store, many, name="my-test")
    found: list[Signal] = []
    async for each in store.iter_signals(recording_id):
        found.append(each)
        if each.seq == 10:
            await store.append(recording_id, [signal(2_000)])
        if each.seq == 300:
            await store.finalize(recording_id, outcome="completed")
        if each.seq == 900:
            await store.publish(recording_id, "my-test")
        if each.seq == 1_500:
            await store.add_checkpoint(recording_id, "here", 3)
    assert found[:2_000] == many


async def test_a_recording_deleted_under_a_reader(store: FileSignalStore) -> None:
    """A reader whose recording is deleted gets an error, and no end that looks like the end of the log."""
    recording_id = await fill(store, [signal(seq, payload="x" * 1_000) for seq in range(2_000)])
    signals = store.iter_signals(recording_id)
    assert (await anext(signals)).seq == 0
    await store.delete_recording(recording_id)
    with pytest.raises(RecordingNotFoundError):
        assert len([each async for each in signals]) < 0


async def test_files_beyond_the_limit_are_not_read(folder: Path, store: FileSignalStore) -> None:
    """A file larger than the store allows is refused before it fills the memory, and cannot be made either."""
    recording_id = await fill(store, [signal(0, payload="x" * 5_000)])
    small = FileSignalStore(folder, max_recording_bytes=4_000)
    with pytest.raises(StoreFullError, match="max_recording_bytes"):
        await small.load_recording(recording_id)
    other = await fill(small, [signal(0)])
    with pytest.raises(StoreFullError, match="max_recording_bytes"):
        await small.append(other, [signal(1, payload="x" * 5_000)])
    await small.append(other, [signal(1)])
    assert len((await load(small, other)).signals) == 2


async def test_tags_that_fill_a_header_are_refused(folder: Path) -> None:
    """A header that no reader would take is not written."""
    store = FileSignalStore(folder, max_bytes=10)
    with pytest.raises(SerializationError, match="tags"):
        await store.create_recording(run_id="run", tags=["x" * 4_000_000])
    assert names_in(folder.parent) == []


# --- Appending --------------------------------------------------------------------------------------------------------


async def test_a_torn_tail_is_repaired_and_kept_aside(
    folder: Path, store: FileSignalStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The next append begins after the last whole one, and what was cut off stays in a file beside the recording."""
    recording_id = await fill(store, [signal(0)])
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"name":"a')
    again = FileSignalStore(folder)
    assert (await load(again, recording_id)).signals == [signal(0)]
    with caplog.at_level(logging.WARNING, "openharness.signals"):
        await again.append(recording_id, [signal(1)])
    assert "10 bytes" in caplog.text
    assert path.read_bytes().startswith(whole)
    assert (await load(again, recording_id)).signals == [signal(0), signal(1)]
    assert (folder / "unpublished" / f"{recording_id}.torn").read_bytes() == b'{"name":"a\n'
    await again.finalize(recording_id, outcome="completed")
    assert (await load(FileSignalStore(folder), recording_id)).info.signal_count == 2
    await again.delete_recording(recording_id)
    assert not (folder / "unpublished" / f"{recording_id}.torn").exists()


async def test_an_append_of_which_the_disk_kept_parts_is_repaired(folder: Path, store: FileSignalStore) -> None:
    """After a power loss that left zeros in the last append, what was acknowledged loads and the recording goes on."""
    recording_id = await fill(store, [signal(0)])
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    acknowledged = path.stat().st_size
    await store.append(recording_id, [signal(seq, payload="x" * 2_000) for seq in (1, 2, 3)])
    content = bytearray(path.read_bytes())
    content[acknowledged + 1_000 : acknowledged + 1_512] = bytes(512)
    path.write_bytes(content)
    again = FileSignalStore(folder)
    assert (await load(again, recording_id)).signals == [signal(0)]
    assert [one async for one in again.iter_signals(recording_id)] == [signal(0)]
    await again.append(recording_id, [signal(1)])
    assert (await load(FileSignalStore(folder), recording_id)).signals == [signal(0), signal(1)]


@pytest.mark.parametrize("size", [1, 3])
async def test_zeros_that_may_hide_acknowledged_signals_are_told_of(
    folder: Path, store: FileSignalStore, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    """Where zeros took the last append but one, whoever reads is warned, the doctor tells, and nothing is thrown away."""
    recording_id = await fill(store, [signal(0)])
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    ends = [path.stat().st_size]
    for start in (1, 1 + size):
        await store.append(recording_id, [signal(seq) for seq in range(start, start + size)])
        ends.append(path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[ends[0] : ends[1]] = bytes(ends[1] - ends[0])
    path.write_bytes(content)
    again = FileSignalStore(folder)
    for _ in range(2):
        caplog.clear()
        assert (await load(again, recording_id)).signals == [signal(0)]
        assert "up to its signal 0" in caplog.text
    caplog.clear()
    assert [one async for one in again.iter_signals(recording_id)] == [signal(0)]
    assert "up to its signal 0" in caplog.text
    (finding,) = (await again.doctor()).findings
    assert (finding.code, finding.record_id) == ("doubtful-end", recording_id)
    await again.finalize(recording_id, outcome="completed")
    assert (folder / "unpublished" / f"{recording_id}.torn").read_bytes() == bytes(content[ends[0] :]) + b"\n"
    assert (await again.doctor()).findings == ()


async def test_what_was_cut_off_stays_when_the_recording_is_finalized(folder: Path, store: FileSignalStore) -> None:
    """Finalizing writes the file anew; what had been cut off is set aside as it is before an append."""
    recording_id = await fill(store, [signal(0)])
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    path.write_bytes(path.read_bytes() + b'{"name":"a')
    await FileSignalStore(folder).finalize(recording_id, outcome="completed")
    assert (folder / "unpublished" / f"{recording_id}.torn").read_bytes() == b'{"name":"a\n'


async def test_the_doctor_finds_files_that_no_listing_has(folder: Path, store: FileSignalStore) -> None:
    """A file whose header is damaged is in no listing, and an error in the report; one that is newer is a warning."""
    await fill(store, [signal(0)])
    (folder / "broken.jsonl").write_bytes(b"{}\n")
    (folder / "newer.jsonl").write_bytes(seal(b'{"format":"openharness-recording","version":99'))
    report = await store.doctor()
    assert [(finding.severity, finding.code) for finding in report.findings] == [
        ("error", "unreadable-file"),
        ("warning", "newer-version"),
    ]
    assert not report.is_healthy
    assert report.facts["recordings"] == 1


@pytest.mark.parametrize("place", ["other.jsonl", "unpublished"])
async def test_the_doctor_finds_damage_in_the_copy_that_nobody_reads(
    folder: Path, store: FileSignalStore, place: str
) -> None:
    """Of a recording in two files one is read; the report tells that the other is damaged, and which it is."""
    recording_id = await fill(store, sample_log())
    await store.finalize(recording_id, outcome="completed")
    await store.publish(recording_id, "one")
    content = (folder / "one.jsonl").read_bytes()
    copy = folder / place if place.endswith(".jsonl") else folder / place / f"{recording_id}.jsonl"
    copy.write_bytes(content)
    assert (await store.doctor()).findings == ()
    copy.write_bytes(content.replace(b'"payload":', b'"paxload":', 1))
    (finding,) = (await FileSignalStore(folder).doctor()).findings
    assert (finding.severity, finding.code, finding.record_id) == ("error", "damaged-copy", recording_id)
    assert str(copy) in finding.message
    assert (await load(store, recording_id)).info.outcome == "completed"


async def test_pruning_deletes_what_is_old_and_unpublished(folder: Path, store: FileSignalStore) -> None:
    """What is published or incomplete stays, and what a recording that stays was resumed from; nothing else is touched."""
    made: dict[str, str] = {}
    for name in ("published", "old", "continued", "open", "torn", "new"):
        made[name] = await fill(store, [signal(0)])
        await asyncio.sleep(0.002)
    later = await store.create_recording(run_id="run-1", resumed_from=made["continued"])
    with (folder / "unpublished" / f"{made['torn']}.jsonl").open("ab") as file:
        file.write(b'{"name":"a')
    for name in ("published", "old", "continued", "torn", "new"):
        await store.finalize(made[name], outcome="completed")
    await store.publish(made["published"], "fixture")
    before = every_name(folder)
    assert f"{made['torn']}.torn" in before
    for wrong in ({}, {"keep_last": -1}, {"older_than": "yesterday"}, {"keep_last": 0, "outcome": "other"}):
        with pytest.raises(InvalidValueError):
            await store.prune_unpublished(**wrong)  # type: ignore[arg-type]
    assert await store.prune_unpublished(keep_last=1, dry_run=True) == 2
    assert every_name(folder) == before
    assert await store.prune_unpublished(keep_last=1) == 2
    left = {made[name] for name in ("published", "continued", "open", "new")} | {later}
    assert {info.id for info in await store.list_recordings()} == left
    assert f"{made['torn']}.torn" not in every_name(folder)
    assert await store.prune_unpublished(older_than=1) == 0
    assert await store.prune_unpublished(keep_last=0, outcome=["incomplete", "completed"]) == 4
    assert [info.id for info in await store.list_recordings()] == [made["published"]]
    assert await store.list_fixtures() == ["fixture"]


async def test_what_is_published_in_the_moment_of_pruning_stays(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording that another process gives a name after it was chosen is not deleted."""
    recording_id = await fill(store, [signal(0)])
    await store.finalize(recording_id, outcome="completed")
    other = FileSignalStore(folder)
    honest = _store.delete_unpublished

    def delete_later(*about: Any) -> bool:
        asyncio.run(other.publish(recording_id, "fixture"))
        return honest(*about)

    monkeypatch.setattr(_store, "delete_unpublished", delete_later)
    assert await store.prune_unpublished(keep_last=0) == 0
    found = await store.find_recording("fixture")
    assert found is not None
    assert found.id == recording_id


async def test_folders_that_another_process_made_just_now_are_durable(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the folders are there does not mean that they stay: a new recording brings each of them to the disk, once."""
    (folder / "unpublished").mkdir(parents=True)
    synced: list[Path] = []
    honest = disk.sync_folder

    def sync_folder(path: Path) -> None:
        synced.append(path)
        honest(path)

    monkeypatch.setattr(disk, "sync_folder", sync_folder)
    await store.create_recording(run_id=RUN_ID)
    assert {folder, folder.parent, folder.parent.parent} <= set(synced)
    synced.clear()
    await store.create_recording(run_id=RUN_ID)
    assert set(synced) == {folder / "unpublished"}


async def test_a_last_line_without_its_end_counts(folder: Path, store: FileSignalStore) -> None:
    """An editor that drops the last line feed loses nothing: the line counts, and the next begins below it."""
    recording_id = await fill(store, [signal(0)])
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    await FileSignalStore(folder).append(recording_id, [signal(1)])
    await store.append(recording_id, [signal(2)])
    assert (await load(store, recording_id)).signals == [signal(0), signal(1), signal(2)]


async def test_the_recording_can_be_cut_at_every_byte(folder: Path, store: FileSignalStore) -> None:
    """Cut anywhere behind its header, a published recording loads a good prefix."""
    recording_id = await published(store)
    expected = (await load(store, recording_id)).signals
    path = folder / "my-test.jsonl"
    data = path.read_bytes()
    for size in range(data.index(b"\n"), len(data), 7):
        path.write_bytes(data[:size])
        recording = await load(store, recording_id)
        assert recording.signals == expected[: len(recording.signals)]
        assert recording.info.outcome == ("completed" if size >= len(data) - 1 else "incomplete")


async def test_two_stores_on_one_recording(folder: Path, store: FileSignalStore) -> None:
    """A second writer with other content gets a conflict; with the same content it agrees; after it the first knows."""
    recording_id = await fill(store, [signal(0)])
    other = FileSignalStore(folder)
    await other.append(recording_id, [signal(0), signal(1)])
    with pytest.raises(RecordingConflictError) as caught:
        await store.append(recording_id, [signal(1, payload="mine")])
    assert (caught.value.recording_id, caught.value.seq) == (recording_id, 1)
    await store.append(recording_id, [signal(1), signal(2)])
    await other.append(recording_id, [signal(3)])
    assert (await load(store, recording_id)).signals == [signal(seq) for seq in range(4)]


async def test_appends_keep_the_order_in_which_they_were_begun(store: FileSignalStore) -> None:
    """Appends of one recording that are begun at once are written in that order."""
    recording_id = await fill(store, [])
    await asyncio.gather(*(store.append(recording_id, [signal(seq)]) for seq in range(50)))
    assert (await load(store, recording_id)).signals == [signal(seq) for seq in range(50)]


async def test_an_append_goes_on_while_its_file_is_published(store: FileSignalStore) -> None:
    """A recording may be published before it is finalized, and takes what follows under its new name."""
    recording_id = await fill(store, [signal(0)], name="my-test")
    await store.publish(recording_id, "my-test")
    await store.append(recording_id, [signal(1)])
    await store.publish(recording_id, "second")
    await store.append(recording_id, [signal(2)])
    await store.finalize(recording_id, outcome="completed")
    for name in ("my-test", "second"):
        found = await store.find_recording(name)
        assert found is not None
        assert (found.id, found.signal_count, found.outcome) == (recording_id, 3, "completed")


@posix_only
async def test_the_event_loop_is_never_blocked(store: FileSignalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits for the disk does so in a thread."""
    here = threading.get_ident()
    opened: list[int] = []

    watching = True

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        # There is no way to take it off again.
        if (
            watching
            and event in {"open", "os.rename", "os.remove", "os.scandir", "os.mkdir", "os.link"}
            and "recordings" in str(arguments)
        ):
            opened.append(threading.get_ident())

    sys.addaudithook(audit)
    recording_id = await published(store)
    await published(store)
    await load(store, recording_id)
    assert [found.seq async for found in store.iter_signals(recording_id)] == list(range(11))
    await store.list_recordings(RecordingQuery(run_id=RUN_ID))
    await store.list_fixtures()
    await store.delete_recording(recording_id)
    await store.close()
    watching = False
    assert len(opened) > 10
    assert here not in opened


async def test_use_from_two_event_loops(folder: Path) -> None:
    """One store serves several event loops in several threads at a time."""
    store = FileSignalStore(folder)
    recording_ids: list[str] = []

    async def work(number: int) -> None:
        recording_id = await fill(store, [signal(0)], name=f"f{number}")
        await asyncio.gather(*(store.append(recording_id, [signal(seq)]) for seq in range(1, 10)))
        await store.finalize(recording_id, outcome="completed")
        await store.publish(recording_id, "shared")
        recording_ids.append(recording_id)

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(number)) for number in range(4)))
    for recording_id in recording_ids:
        assert len((await load(store, recording_id)).signals) == 10
    found = await store.find_recording("shared")
    assert found is not None
    assert {info.id for info in await store.list_recordings()} == set(recording_ids)


async def test_closing_waits_for_what_was_begun(store: FileSignalStore) -> None:
    """What had begun is done when `close` returns, what had not is refused, and closing again is no error."""
    recording_id = await fill(store, [])
    appends = [asyncio.ensure_future(store.append(recording_id, [signal(seq)])) for seq in range(3)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {type(None), StoreClosedError}
    done = outcomes.count(None)
    again = FileSignalStore(store.folder)
    assert (await load(again, recording_id)).signals == [signal(seq) for seq in range(done)]
    with pytest.raises(StoreClosedError):
        await store.list_recordings()


async def test_readers_and_publishers_at_once(folder: Path) -> None:
    """While recordings take a name from each other, whoever lists, finds or loads sees whole recordings and no error."""
    stores = [FileSignalStore(folder) for _ in range(3)]
    made: list[str] = []
    done = False

    async def publish(store: FileSignalStore, number: int) -> None:
        for index in range(6):
            recording_id = await fill(store, [signal(0)], name="shared")
            made.append(recording_id)
            if index % 2:
                await store.publish(recording_id, "shared")
            await store.append(recording_id, [signal(1)])
            await store.finalize(recording_id, outcome="completed", duration_ms=number)
            await store.publish(recording_id, "shared")
            await store.add_checkpoint(recording_id, "here", 1)

    async def read(store: FileSignalStore) -> int:
        rounds = 0
        while not done or rounds == 0:
            rounds += 1
            known = list(made)
            listed = {info.id for info in await store.list_recordings()}
            assert listed >= set(known), "a recording was missing for a moment"
            found = await store.find_recording("shared")
            for recording_id in [*known[-3:], *([found.id] if found else [])]:
                assert [each.seq for each in (await load(store, recording_id)).signals] in ([], [0], [0, 1])
                assert [each.seq async for each in store.iter_signals(recording_id)] in ([], [0], [0, 1])
        return rounds

    readers = [asyncio.ensure_future(read(FileSignalStore(folder))) for _ in range(2)]
    await asyncio.gather(*(publish(store, number) for number, store in enumerate(stores)))
    done = True
    assert all(await asyncio.gather(*readers))
    assert len(await stores[0].list_recordings()) == len(made) == 18
    assert names_in(folder, "*.jsonl") == ["shared.jsonl"]
    found = await stores[0].find_recording("shared")
    assert found is not None
    assert (found.outcome, found.signal_count) == ("completed", 2)


async def test_a_payload_that_is_no_text_is_damage(folder: Path, store: FileSignalStore) -> None:
    """Bytes that are no UTF-8, under a right checksum, are an error that names the signal."""
    recording_id = await fill(store, [signal(0, payload="text")])
    path = folder / "unpublished" / f"{recording_id}.jsonl"
    header, line = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + seal(line[:-19].replace(b"text", b"te\xfft")))
    with pytest.raises(CorruptRecordError, match="signal 0"):
        await store.load_recording(recording_id)


# --- Failures of the disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, expected",
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EFBIG, StoreFullError),
        (errno.EROFS, StoreReadOnlyError),
        (errno.EACCES, StoreReadOnlyError),
        (errno.EIO, StoreError),
    ],
    ids=errno.errorcode.get,
)
@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_a_failing_disk_leaves_nothing_half_done(
    store: FileSignalStore, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[StoreError], operation: str
) -> None:
    """When writing or syncing fails, the append raises what it means, nothing of it is there, and the next succeeds."""
    recording_id = await fill(store, [signal(0)])

    def fail(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    real_write = os.write

    def fail_halfway(descriptor: int, data: memoryview) -> int:
        if len(data) < 50:
            raise OSError(code, os.strerror(code))
        return real_write(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        if operation == "write":
            patch.setattr(os, "write", fail_halfway)
        else:
            patch.setattr(disk, "_sync", fail)
        with pytest.raises(expected) as caught:
            await store.append(recording_id, [signal(1, payload="x" * 500)])
        assert type(caught.value) is expected
    assert (await load(store, recording_id)).signals == [signal(0)]
    await store.append(recording_id, [signal(1)])
    assert (await load(store, recording_id)).signals == [signal(0), signal(1)]


def _failing_at(number: int, names: list[str], patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Make the n-th of the calls of the operating system that change something fail; return how many there were."""
    calls = 0

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def counted(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        patch.setattr(os, name, counted)

    for name in names:
        wrap(name)
    return lambda: calls


async def _act(step: str, store: FileSignalStore, recording_id: str) -> None:
    match step:
        case "append":
            await store.append(recording_id, sample_log()[-1:])
        case "checkpoint" | "mark":
            await store.add_checkpoint(recording_id, "here", 3)
        case "finalize":
            await store.finalize(recording_id, outcome="failed", duration_ms=1)
        case "publish":
            await store.publish(recording_id, "other")
        case "replace":
            await store.publish(recording_id, "my-test")
        case _:
            await store.delete_recording(recording_id)


@posix_only
@pytest.mark.parametrize(
    "step, least",
    [("append", 1), ("checkpoint", 1), ("finalize", 5), ("mark", 5), ("publish", 5), ("replace", 7), ("delete", 5)],
)
async def test_the_nth_call_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, least: int) -> None:
    """Whichever call of the system fails, nothing acknowledged is lost, and doing it again succeeds."""
    for number in range(1, 100):
        store = FileSignalStore(tmp_path / f"{number}")
        first = await published(store)
        recording_id = await fill(store, sample_log()[:-1], name="my-test")
        if step in {"mark", "publish", "replace", "delete"}:
            await store.append(recording_id, sample_log()[-1:])
            await store.finalize(recording_id, outcome="failed", duration_ms=1)
        with monkeypatch.context() as patch:
            count = _failing_at(number, ["write", "fsync", "replace", "link", "ftruncate", "unlink", "mkdir"], patch)
            with contextlib.suppress(StoreError):
                await _act(step, store, recording_id)
        assert (await load(store, first)).info.outcome == "completed"
        assert await store.find_recording("my-test") is not None
        if step != "delete":
            assert (await load(store, recording_id)).signals[:10] == (await load(store, first)).signals[:10]
        await _act(step, store, recording_id)
        again = FileSignalStore(tmp_path / f"{number}")
        assert (await again.load_recording(recording_id) is None) == (step == "delete")
        if count() < number:
            break
    assert number > least, "too little was made to fail"


def _set_mode(folder: Path, mode: int) -> None:
    for path in (folder, folder / "unpublished"):
        path.chmod(mode)


@posix_only
@not_root
async def test_a_read_only_folder_can_be_read(folder: Path, store: FileSignalStore) -> None:
    """Fixtures in a folder that may only be read load and list; recording there is an error that says so."""
    recording_id = await published(store)
    _set_mode(folder, 0o500)
    try:
        again = FileSignalStore(folder)
        assert (await load(again, recording_id)).info.outcome == "completed"
        assert await again.list_fixtures() == ["my-test"]
        with pytest.raises(StoreReadOnlyError):
            await again.create_recording(run_id="run")
    finally:
        _set_mode(folder, 0o700)


async def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    """A store whose folder is a file says so at the first use."""
    path = tmp_path / "file"
    path.write_text("not a folder")
    with pytest.raises(StoreError):
        await FileSignalStore(path).create_recording(run_id="run")
    with pytest.raises(StoreOpenError):
        await FileSignalStore(path).list_recordings()


@posix_only
async def test_a_lock_that_is_never_given_back(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording that another process holds on to is an error after a time, and no hang."""
    recording_id = await fill(store, [signal(0)])
    monkeypatch.setattr(disk, "LOCK_TIMEOUT", 0.1)
    with disk.locked(folder / "unpublished" / f".{recording_id}.lock"), pytest.raises(StoreBusyError, match="locked"):
        await store.append(recording_id, [signal(1)])
    await store.append(recording_id, [signal(1)])


async def test_where_files_cannot_be_replaced_the_footer_is_appended(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows replaces no file that somebody reads; the recording is finalized all the same."""
    recording_id = await fill(store, sample_log())

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "in use", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "replace", refuse)
        await store.finalize(recording_id, outcome="completed", duration_ms=11)
    recording = await load(FileSignalStore(folder), recording_id)
    assert (recording.info.outcome, recording.info.signal_count) == ("completed", 11)
    assert names_in(folder / "unpublished", "*.tmp") == []


async def test_where_files_have_one_name_only_they_are_copied(
    folder: Path, store: FileSignalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without second names, publishing keeps the recording before as a copy."""
    first = await published(store)

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    second = await published(store)
    assert {info.id for info in await store.list_recordings()} == {first, second}
    await store.publish(second, "another")
    await store.add_checkpoint(second, "here", 3)
    assert (folder / "another.jsonl").read_bytes() == (folder / "my-test.jsonl").read_bytes()


async def test_signals_with_fields_of_other_types_are_refused(store: FileSignalStore) -> None:
    """What is no signal is refused with the name of the field, before anything is written."""
    recording_id = await fill(store, [])
    for change in ({"seq": True}, {"seq": -1}, {"timestamp": 1.5}, {"timestamp": 2**63}, {"name": 7}):
        with pytest.raises(InvalidValueError, match="signal"):
            await store.append(recording_id, [attrs.evolve(signal(0), **change)])
    with pytest.raises(SerializationError, match="name and source"):
        await store.append(recording_id, [signal(0, name="x" * 70_000)])
    with pytest.raises(InvalidValueError, match="tags"):
        await store.create_recording(run_id="run", tags=[1])  # type: ignore[list-item]
    with pytest.raises(InvalidValueError, match="metadata"):
        await store.create_recording(run_id="run", metadata=[1])  # type: ignore[arg-type]
    with pytest.raises(SerializationError, match="NUL"):
        await store.create_recording(run_id="run", metadata={"a": [{"b": "\0"}]})


async def test_halves_of_characters_survive(folder: Path, store: FileSignalStore) -> None:
    """Lone surrogates in names and sources round-trip, and two halves become one character everywhere."""
    odd = signal(0, name="a:\ud83d", agent="x\ude00")
    recording_id = await fill(store, [odd, signal(1, agent="\ud83d\ude00")])
    found = (await load(FileSignalStore(folder), recording_id)).signals
    assert found == [odd, signal(1, agent="\U0001f600")]


async def test_a_fixture_is_deleted_and_its_copy_is_not(store: FileSignalStore, folder: Path) -> None:
    """Deleting what one name means leaves the file of another name, although it holds the same recording."""
    recording_id = await fill(store, sample_log())
    await store.publish(recording_id, "one")
    (folder / "other.jsonl").write_bytes((folder / "one.jsonl").read_bytes())

    await store.delete_fixture("one")
    await store.delete_fixture("nothing")

    assert await store.list_fixtures() == ["other"]
    assert await store.find_recording("one") is None
    assert (await load(store, recording_id)).info.id == recording_id
    await store.delete_fixture("other")
    assert await store.load_recording(recording_id) is None


@pytest.mark.parametrize("behind", ["a", "z", None], ids=["before", "after", "unpublished"])
async def test_of_two_files_of_a_recording_the_longer_one_counts(
    store: FileSignalStore, folder: Path, behind: str | None
) -> None:
    """A recording is read where it goes furthest: a fixture does not load what another file holds from an earlier time."""
    recording_id = await fill(store, sample_log())
    await store.finalize(recording_id, outcome="completed")
    await store.publish(recording_id, "m")
    lines = (folder / "m.jsonl").read_bytes().splitlines(keepends=True)
    other = folder / f"{behind}.jsonl" if behind else folder / "unpublished" / f"{recording_id}.jsonl"
    other.write_bytes(b"".join(lines[:3]))

    again = FileSignalStore(folder)

    found = await again.find_recording("m")
    assert found is not None
    assert (await load(again, recording_id)).info == found
    assert found.outcome == "completed"
    assert [one.seq async for one in again.iter_signals(recording_id)] == list(range(found.signal_count))
    assert [info.outcome for info in await again.list_recordings()] == ["completed"]


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder, and of those in it."""
    return list(folder.rglob(pattern))


async def test_a_failed_append_behind_a_line_without_its_end_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an editor has left no line end, and the disk takes nothing, nothing is written and nothing is added."""
    store = FileSignalStore(tmp_path)
    recording_id = await store.create_recording(run_id="run")
    await store.append(recording_id, [Signal("run/0", name="a", payload=0, timestamp=0, seq=0)])
    (path,) = files_in(tmp_path, "*.jsonl")
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    before = path.read_bytes()
    store = FileSignalStore(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    more = [Signal("run/1", name="a", payload=1, timestamp=0, seq=1)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreFullError):
            await store.append(recording_id, more)
    assert path.read_bytes() == before
    await store.append(recording_id, more)
    assert [signal.seq async for signal in store.iter_signals(recording_id)] == [0, 1]
    assert not files_in(tmp_path, "*.torn")
