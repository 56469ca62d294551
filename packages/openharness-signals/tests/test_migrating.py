"""`migrate` rewrites a folder of fixtures, tells what it did, and loses nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from signals_support import HEADER, encoded, fill, load, sample_log, signal
from upcasting_support import THREE, add_currency, older, written

from openharness.core import StoreOpenError
from openharness.core.storage import RecordingSummary
from openharness.signals import FileSignalStore, MigrationReport, migrate
from openharness.signals._file_store import _disk as disk
from openharness.signals._format import LineWriter, _versions, write_header, write_recording

if TYPE_CHECKING:
    from pathlib import Path


async def publish(folder: Path, name: str, payload: Any) -> str:
    """A fixture of one order."""
    store = FileSignalStore(folder)
    recording_id = await fill(store, [signal(0, "order:created", payload), *sample_log()[1:]], name=name)
    await store.finalize(recording_id, outcome="completed", duration_ms=1)
    await store.publish(recording_id, name)
    return recording_id


def contents(folder: Path) -> dict[str, bytes]:
    """Every fixture's bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl")) if path.is_file()}


def statuses(report: MigrationReport) -> dict[str, str]:
    """What became of each file."""
    return {file.path.name: file.status for file in report.files}


async def test_fixtures_of_the_current_form_stay_as_they_are(tmp_path: Path) -> None:
    """What this release wrote is unchanged, to the time of its last change."""
    await publish(tmp_path, "a", {"total": 1})
    before = (tmp_path / "a.jsonl").stat()
    report = await migrate(tmp_path)
    assert statuses(report) == {"a.jsonl": "unchanged"}
    after = (tmp_path / "a.jsonl").stat()
    # Not the time of the last access: it was read.
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert str(report) == f"{tmp_path}: 1 unchanged, 0 rewritten, 0 refused"


async def test_payloads_are_rewritten_and_the_report_counts_them(tmp_path: Path) -> None:
    """Files hold what the upcasters return; a dry run says so before, and a second run changes nothing."""
    one = await publish(tmp_path, "one", {"total": 1})
    await publish(tmp_path, "two", {"total": 1, "currency": "USD"})
    before = contents(tmp_path)
    upcasters = {"order:created": add_currency}
    promised = await migrate(tmp_path, upcasters=upcasters, dry_run=True)
    assert contents(tmp_path) == before
    report = await migrate(tmp_path, upcasters=upcasters)
    assert report.files == promised.files
    assert (promised.dry_run, report.dry_run) == (True, False)
    assert statuses(report) == {"one.jsonl": "rewritten", "two.jsonl": "unchanged"}
    assert report.of("rewritten")[0].upcast == {"order:created": 1}
    assert str(report).splitlines()[0] == "one.jsonl: rewritten (order:created: 1 changed)"
    expected = await load(FileSignalStore(tmp_path, upcasters=upcasters), one)
    assert await load(FileSignalStore(tmp_path), one) == expected
    assert expected.signals[0].payload == {"total": 1, "currency": "EUR"}
    after = contents(tmp_path)
    assert statuses(await migrate(tmp_path, upcasters=upcasters)) == {
        "one.jsonl": "unchanged",
        "two.jsonl": "unchanged",
    }
    assert contents(tmp_path) == after


async def test_a_changed_request_is_pooled_anew(tmp_path: Path) -> None:
    """Messages that an upcaster changed are blobs again, and load as it returned them."""
    recording_id = await publish(tmp_path, "a", {})

    def shout(payload: Any) -> Any:
        for message in payload["request"]["messages"]:
            message["content"] = message["content"].upper()
        return payload

    report = await migrate(tmp_path, upcasters={"provider:start": shout})
    assert report.of("rewritten")[0].upcast == {"provider:start": 1}
    recording = await load(FileSignalStore(tmp_path), recording_id)
    assert recording.signals[1].payload["request"]["messages"] == [{"role": "user", "content": "ANALYSE: CAF\xc9"}]
    assert "ANALYSE" in (tmp_path / "a.jsonl").read_text()
    assert "Analyse" not in (tmp_path / "a.jsonl").read_text()


async def test_line_ends_and_appends_get_the_final_form(tmp_path: Path) -> None:
    """A file with line ends of Windows, and one that holds its appends, become what the store would have written."""
    await publish(tmp_path, "a", {})
    good = contents(tmp_path)["a.jsonl"]
    (tmp_path / "a.jsonl").write_bytes(good.replace(b"\n", b"\r\n"))
    entries = encoded(sample_log())
    writer = LineWriter(HEADER)
    appended = write_header(HEADER) + writer.write_append(entries[:3]) + writer.write_append(entries[3:])
    (tmp_path / "b.jsonl").write_bytes(appended)
    assert statuses(await migrate(tmp_path)) == {"a.jsonl": "rewritten", "b.jsonl": "rewritten"}
    summary = RecordingSummary(signal_count=11, blob_count=1, provider_types=("claude",))
    assert contents(tmp_path) == {"a.jsonl": good, "b.jsonl": write_recording(HEADER, entries, {}, summary)}


async def test_older_versions_become_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of version 1 are files of version 3 afterwards, and hold what they held when they were loaded."""
    monkeypatch.setattr(_versions, "_RELEASED", THREE)
    (tmp_path / "my-test.jsonl").write_bytes(older(written(finalized=True)))
    before = await load(FileSignalStore(tmp_path), "rec-1")
    report = await migrate(tmp_path)
    assert str(report).splitlines()[0] == "my-test.jsonl: rewritten (version 1 to 3)"
    assert b'"version":3' in contents(tmp_path)["my-test.jsonl"].splitlines()[0]
    assert await load(FileSignalStore(tmp_path), "rec-1") == before
    assert statuses(await migrate(tmp_path)) == {"my-test.jsonl": "unchanged"}


async def test_what_would_lose_something_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Damage, newer versions, fragments, unknown members, links and folders: named, left alone, and no others suffer."""
    await publish(tmp_path, "good", {"total": 1})
    good = contents(tmp_path)["good.jsonl"]
    lines = good.splitlines(keepends=True)
    (tmp_path / "damaged.jsonl").write_bytes(good.replace(b"total", b"totel"))
    (tmp_path / "newer.jsonl").write_bytes(good.replace(b'"version":1', b'"version":2'))
    (tmp_path / "cut.jsonl").write_bytes(good[: len(b"".join(lines[:3])) + 20])
    (tmp_path / "later.jsonl").write_bytes(with_member(lines[0]) + b"".join(lines[1:]))
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "good.jsonl")
    before = contents(tmp_path)
    report = await migrate(tmp_path, upcasters={"order:created": add_currency})
    assert {name for name, status in statuses(report).items() if status == "refused"} == {
        "damaged.jsonl",
        "newer.jsonl",
        "cut.jsonl",
        "later.jsonl",
        "empty.jsonl",
        "folder.jsonl",
        "link.jsonl",
    }
    reasons = {file.path.name: file.reason or "" for file in report.files}
    assert "does not match its checksum" in reasons["damaged.jsonl"]
    assert "format version 2" in reasons["newer.jsonl"]
    assert "20 bytes at its end" in reasons["cut.jsonl"]
    assert "line 1 has members that this release does not know: colour" in reasons["later.jsonl"]
    assert "folder" in reasons["folder.jsonl"]
    assert "symbolic link" in reasons["link.jsonl"]
    after = contents(tmp_path)
    rewritten = after.pop("good.jsonl")
    assert rewritten != before.pop("good.jsonl")
    # The link shows what it leads to.
    assert after.pop("link.jsonl") == rewritten
    before.pop("link.jsonl")
    assert after == before
    assert str(report).endswith("0 unchanged, 1 rewritten, 7 refused")


def with_member(line: bytes) -> bytes:
    """A header with a member of a later release."""
    from zlib import crc32

    text = line.rstrip()[:-18] + b',"colour":"red"'
    return b'%b,"crc":"%08x"}\n' % (text, crc32(text))


async def test_an_upcaster_that_changes_its_own_result_is_refused(tmp_path: Path) -> None:
    """It would change the files again each time, and payloads that are of today already."""
    await publish(tmp_path, "a", {"total": 1})
    before = contents(tmp_path)
    report = await migrate(tmp_path, upcasters={"order:created": lambda payload: {"total": payload["total"] + 1}})
    assert "changes its own result" in (report.files[0].reason or "")
    failing = await migrate(tmp_path, upcasters={"order:created": lambda payload: payload["nothing"]})
    assert "KeyError" in (failing.files[0].reason or "")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("step", ["write_all", "replace", "sync_folder"])
async def test_a_disk_that_fails_loses_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whichever step fails, the file is the old one or the new one, whole, and the report says why."""
    await publish(tmp_path, "a", {"total": 1})
    before = contents(tmp_path)
    upcasters = {"order:created": add_currency}

    honest = disk.sync_folder

    def fail(*about: Any) -> None:
        if step == "sync_folder" and contents(tmp_path) == before:
            # Before anything is written, the folders themselves are brought to the disk.
            honest(*about)
            return
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, step, fail)
        report = await migrate(tmp_path, upcasters=upcasters)
    assert statuses(report) == {"a.jsonl": "refused"}
    assert "No space left" in (report.files[0].reason or "")
    assert (contents(tmp_path) == before) == (step != "sync_folder")
    await migrate(tmp_path, upcasters=upcasters)
    assert statuses(await migrate(tmp_path, upcasters=upcasters)) == {"a.jsonl": "unchanged"}


async def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    """A fixture that others may read can still be read by them."""
    await publish(tmp_path, "a", {"total": 1})
    os.chmod(tmp_path / "a.jsonl", 0o640)  # noqa: PTH101
    await migrate(tmp_path, upcasters={"order:created": add_currency})
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o640


async def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """No folder, or a file, is an error; an empty folder is an empty report."""
    with pytest.raises(StoreOpenError, match="there is no folder"):
        await migrate(tmp_path / "nothing")
    assert (await migrate(tmp_path)).files == ()
    assert attrs.asdict(await migrate(tmp_path))["dry_run"] is False
