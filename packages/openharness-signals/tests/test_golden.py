"""Golden files: what any release recorded loads as it did then, and replays, on every Python and every platform."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from golden_runs import REPLAYED, definition, expectations
from signals_support import LONG, load

from openharness.core import AgentError, CorruptRecordError, RecordingEndedError, StoreVersionError
from openharness.core.values import dump_json
from openharness.signals import FileSignalStore, migrate
from openharness.signals._format import LogReader

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
FILES = [path for version in VERSIONS for path in sorted(version.glob("*.jsonl"))]


def copied(version: Path, folder: Path) -> Path:
    """The golden files of a version where a test may write."""
    return Path(shutil.copytree(version, folder / version.name))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
async def test_golden_files_load_as_they_did(tmp_path: Path, version: Path, line_end: bytes) -> None:
    """Every file of every released version loads as what was written down then, also with line ends of Windows."""
    folder = copied(version, tmp_path)
    for path in folder.glob("*.jsonl"):
        path.write_bytes(path.read_bytes().replace(b"\n", line_end))
    expected = json.loads((version / "expected.json").read_bytes())
    found = await expectations(folder)
    assert list(found) == list(expected)
    for name, recording in found.items():
        # As text: equal values of other types, as 1 and 1.0 are, are not the same.
        assert dump_json(recording) == dump_json(expected[name]), name


def test_every_kind_of_line_is_among_the_golden_files() -> None:
    """Header, signals, deltas, blobs, lists of blobs, checkpoints, appends of several lines, footers, and a fragment."""
    for version in VERSIONS:
        text = b"".join(path.read_bytes() for path in version.glob("*.jsonl"))
        for part in (
            b'"format"',
            b'"payload"',
            b'"texts"',
            b'"blob"',
            b'"list:sha256',
            b'"checkpoint"',
            b'"more":true',
            b'"outcome"',
        ):
            assert part in text, part
        for outcome in (b"completed", b"failed", b"timed_out", b"cancelled"):
            assert b'"outcome":"%b"' % outcome in text
        assert any(not path.read_bytes().endswith(b"}\n") for path in version.glob("*.jsonl"))
        assert b'"published_as"' in text
        assert b'"resumed_from"' in text
        assert b"\\ud83d" in text


def test_git_leaves_golden_files_as_they_are() -> None:
    """They are in the repository with line feeds, whatever system they are checked out on."""
    for path in FILES:
        assert b"\r" not in path.read_bytes(), path


async def replay(folder: Path, name: str) -> Any:
    """Replay a golden file with the definition it was recorded with; return the state at its end, and its error."""
    harness, options = definition(name)
    store = FileSignalStore(folder)
    try:
        result = await harness.run_reactive(mode="replay", fixture=name, store=store, **options)
    except RecordingEndedError as error:
        return error.state, error
    except AgentError as error:
        return None, error
    assert result.replayed
    return result.state, None


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", REPLAYED)
async def test_golden_files_replay(tmp_path: Path, version: Path, name: str) -> None:
    """A run of any release ends in a replay as it ended then: in its state, in its error, or where its file ends."""
    state, error = await replay(copied(version, tmp_path), name)
    wrong = {"failed": AgentError, "incomplete": RecordingEndedError}.get(name)
    assert type(error) is (wrong or type(None))
    if name == "failed":
        assert str(error) == "Agent 'judge' failed in judge#1 (provider): no more credit"
    elif name == "incomplete":
        assert not state.verdict
    else:
        assert state.facts
        assert state.verdict


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
async def test_golden_files_migrate(tmp_path: Path, version: Path) -> None:
    """Migrating them changes nothing that is loaded, and refuses the one that was cut off."""
    folder = copied(version, tmp_path)
    before = await expectations(folder)
    report = await migrate(folder)
    assert [file.path.name for file in report.of("refused")] == ["incomplete.jsonl"]
    if version == VERSIONS[-1]:
        assert not report.of("rewritten")
    assert dump_json(await expectations(folder)) == dump_json(before)


def outcome_of(data: bytes) -> Any:
    """What a file reads as, or None where it is refused."""
    reader = LogReader("file")
    try:
        entries = reader.feed(data) + reader.finish()
    except (CorruptRecordError, StoreVersionError):
        return None
    return reader.header, entries, reader.checkpoints, reader.summary


@pytest.mark.timeout(1800 if LONG else 240)
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem[:20]}")
def test_golden_files_cut_at_every_byte(path: Path) -> None:
    """Cut anywhere behind its header, a file reads as a prefix of what it held. Long files by samples in the short form."""
    data = path.read_bytes()
    _, entries, checkpoints, _ = outcome_of(data)
    header_end = data.index(b"\n")
    step = 1 if LONG or len(data) < 2_000 else len(data) // 300
    last = 0
    for size in range(header_end, len(data), step):
        found = outcome_of(data[:size])
        assert found is not None, size
        assert found[1] == entries[: len(found[1])]
        assert found[2].items() <= checkpoints.items()
        assert len(found[1]) >= last
        last = len(found[1])


@pytest.mark.timeout(1800 if LONG else 240)
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem[:20]}")
def test_golden_files_with_a_flipped_bit(path: Path, record_property: Callable[[str, object], None]) -> None:
    """Any flipped bit is a named error or changes nothing, but in the fragment of a file that was cut off."""
    data = path.read_bytes()
    good = outcome_of(data)
    bits = range(len(data) * 8) if LONG else range(0, len(data) * 8, max(1, len(data) * 8 // 500) | 1)
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert outcome_of(bytes(damaged)) in (None, good), bit
    record_property("bit flips", len(bits))


ENVIRONMENTS = {
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    | {"PYTHONHASHSEED": "0", "TZ": "Pacific/Kiritimati"},
    "Turkish locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}
    | {"PYTHONHASHSEED": "12345", "TZ": "Asia/Kathmandu"},
}


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_golden_files_in_other_environments(tmp_path: Path, environment: dict[str, str]) -> None:
    """They load, replay and are written the same whatever the hash seed, the locale and the time zone are."""
    folder = copied(VERSIONS[-1], tmp_path)
    command = [sys.executable, "-W", "error", __file__, str(folder)]
    paths = os.pathsep.join(str(path) for path in (Path(__file__).parent / "support", *sys.path) if str(path))
    # Encoding warnings are for programs; what is read and written here is bytes.
    result = subprocess.run(  # noqa: S603
        command, env={**os.environ, "PYTHONPATH": paths, **environment}, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    assert result.stdout.split() == [b"loaded", *(name.encode() for name in REPLAYED), b"written"]


async def _elsewhere(folder: Path) -> None:
    """What a process in another environment does."""
    if os.environ.get("LC_ALL", "").startswith("tr"):
        import contextlib
        import locale

        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, "")
    expected = json.loads((folder / "expected.json").read_bytes())
    assert dump_json(await expectations(folder)) == dump_json(expected)
    print("loaded")  # noqa: T201
    for name in REPLAYED:
        await replay(folder, name)
        print(name)  # noqa: T201
    store = FileSignalStore(folder)
    info = await store.find_recording("completed")
    assert info is not None
    recording = await load(store, info.id)
    before = (folder / "completed.jsonl").read_bytes()
    await store.add_checkpoint(info.id, "one more", 0)
    assert (folder / "completed.jsonl").read_bytes() != before
    assert (await load(store, info.id)).signals == recording.signals
    report = await migrate(folder)
    assert not report.of("rewritten")
    print("written")  # noqa: T201


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    asyncio.run(_elsewhere(Path(sys.argv[1])))
