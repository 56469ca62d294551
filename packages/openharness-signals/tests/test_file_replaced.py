"""Files that are given to another recording while `FileSignalStore` reads them or writes to them."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import pytest
from signals_support import fill, load, signal

from openharness.core import RecordingNotFoundError, StoreOpenError
from openharness.signals import FileSignalStore, migrate
from openharness.signals._file_store import _disk as disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOG = [signal(seq, payload={"n": seq}) for seq in range(11)]
not_on_windows = pytest.mark.skipif(os.name == "nt", reason="Windows replaces no file that somebody reads")
CALLS = ("open", "stat", "fstat", "lseek", "read")


class Exchange:
    """Publishes another recording in the place of the one that is published, as another process would, at some call.

    Args:
        folder: The folder of the recordings.
        before: The id of the recording that is published.
        after: The id of the one that takes its place.
    """

    def __init__(self, folder: Path, before: str, after: str) -> None:
        private = folder / "unpublished"
        self._fixture = folder / "my-test.jsonl"
        self._before, self._after = private / f"{before}.jsonl", private / f"{after}.jsonl"
        self.is_done = False

    def now(self) -> None:
        """Do it, once."""
        if not self.is_done:
            self.is_done = True
            os.link(self._fixture, self._before)
            self._after.replace(self._fixture)


class Append:
    """Appends to a file as another process would: not while somebody has locked the recording.

    Args:
        path: The file.
        data: What is appended.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data = path, data
        self._lock = disk.locked
        self._is_locked = False
        self.is_done = False

    @contextlib.contextmanager
    def locked(self, *arguments: Any, **options: Any) -> Iterator[None]:
        """Stand for `_disk.locked`."""
        with self._lock(*arguments, **options):
            self._is_locked = True
            yield
        self._is_locked = False

    def now(self) -> None:
        """Do it, unless it is locked."""
        if not self._is_locked:
            self.is_done = True
            with self._path.open("ab") as file:
                file.write(self._data)


def before_call(number: int, patch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have something done right before the call of the system with this number."""
    calls = 0

    def wrap(name: str) -> None:
        real: Callable[..., Any] = getattr(os, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                act()
            return real(*arguments, **options)

        patch.setattr(os, name, counted)

    for name in CALLS:
        wrap(name)


async def _find(store: FileSignalStore, one: str, other: str) -> None:
    found = await store.find_recording("my-test")
    assert found is not None
    assert (found.id, found.signal_count) in {(one, 3), (other, 11)}


async def _list(store: FileSignalStore, one: str, other: str) -> None:
    assert {info.id: info.signal_count for info in await store.list_recordings()} == {one: 3, other: 11}


async def _load(store: FileSignalStore, one: str, other: str) -> None:
    assert list((await load(store, one)).signals) == LOG[:3]
    assert len((await load(store, other)).signals) == 11


async def _iterate(store: FileSignalStore, one: str, other: str) -> None:
    assert [found async for found in store.iter_signals(one)] == LOG[:3]
    assert len([found async for found in store.iter_signals(other)]) == 11


async def _append(store: FileSignalStore, one: str, other: str) -> None:
    await store.append(one, LOG[3:4])
    assert list((await load(store, one)).signals) == LOG[:4]
    assert len((await load(store, other)).signals) == 11


@not_on_windows
@pytest.mark.parametrize("act", [_find, _list, _load, _iterate, _append])
async def test_what_is_told_is_of_one_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[FileSignalStore, str, str], Any]
) -> None:
    """At whichever call of the system a fixture comes to mean another recording, nothing of the two is mixed."""
    for number in range(1, 1_000):
        folder = tmp_path / f"{number}"
        writer = FileSignalStore(folder)
        one, other = [await fill(writer, LOG[:count], name="my-test") for count in (3, 11)]
        await writer.publish(one, "my-test")
        exchange = Exchange(folder, one, other)
        # One that has looked at the files before, and one that has not.
        for store in (writer, FileSignalStore(folder)) if number % 2 else (FileSignalStore(folder),):
            with monkeypatch.context() as patch:
                before_call(number, patch, exchange.now)
                await act(store, one, other)
        if not exchange.is_done:
            break
    assert number > 3, "nothing was exchanged"


@not_on_windows
async def test_a_recording_that_is_finalized_is_read_as_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever call of the system its file is written anew, a recording has all its signals, and one end or none."""
    ends = set()
    for number in range(1, 1_000):
        folder = tmp_path / f"{number}"
        writer = FileSignalStore(folder)
        recording_id = await fill(writer, LOG)
        path = folder / "unpublished" / f"{recording_id}.jsonl"
        before = path.read_bytes()
        await writer.finalize(recording_id, outcome="failed", duration_ms=7)
        after = path.with_suffix(".after")
        path.replace(after)
        path.write_bytes(before)

        def finalize(path: Path = path, after: Path = after) -> None:
            if after.exists():
                after.replace(path)

        store = FileSignalStore(folder)
        with monkeypatch.context() as patch:
            before_call(number, patch, finalize)
            (listed,) = await store.list_recordings()
            recording = await load(store, recording_id)
            found = [signal async for signal in store.iter_signals(recording_id)]
        assert list(recording.signals) == found == LOG
        for info in (listed, recording.info):
            assert (info.signal_count, info.outcome, info.duration_ms) in {(11, "incomplete", None), (11, "failed", 7)}
        ends.add((listed.outcome, recording.info.outcome))
        if after.exists():
            break
    assert ends == {("incomplete", "incomplete"), ("incomplete", "failed"), ("failed", "failed")}


async def test_what_is_appended_during_a_migration_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever call of the system a signal is appended to a fixture, it is there after the migration."""
    statuses = set()
    for number in range(1, 1_000):
        folder = tmp_path / f"{number}"
        writer = FileSignalStore(folder)
        recording_id = await fill(writer, LOG[:3], name="my-test")
        await writer.publish(recording_id, "my-test")
        await writer.append(recording_id, LOG[3:5])
        path = folder / "my-test.jsonl"
        size = path.stat().st_size
        await writer.append(recording_id, LOG[5:6])
        appended = path.read_bytes()[size:]
        os.truncate(path, size)
        append = Append(path, appended)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "locked", append.locked)
            before_call(number, patch, append.now)
            (file,) = (await migrate(folder)).files
        statuses.add(file.status)
        found = list((await load(FileSignalStore(folder), recording_id)).signals)
        assert found == LOG[: 6 if append.is_done else 5]
        if not append.is_done and number > 50:
            break
    assert statuses == {"refused", "rewritten"}


@not_on_windows
@pytest.mark.parametrize("act", ["append", "add_checkpoint", "finalize", "publish"])
async def test_a_file_that_somebody_removes_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """At whichever call of the system a file is removed, a change is made, or refused with an error of the store."""
    for number in range(1, 1_000):
        store = FileSignalStore(tmp_path / f"{number}")
        recording_id = await fill(store, LOG[:5])
        path = tmp_path / f"{number}" / "unpublished" / f"{recording_id}.jsonl"
        arguments: dict[str, tuple[Any, ...]] = {
            "append": (LOG[5:6],),
            "add_checkpoint": ("here", 2),
            "publish": ("a",),
        }
        options = {"outcome": "failed", "duration_ms": 1} if act == "finalize" else {}
        with monkeypatch.context() as patch, contextlib.suppress(RecordingNotFoundError, StoreOpenError):
            before_call(number, patch, functools.partial(path.unlink, missing_ok=True))
            await getattr(store, act)(recording_id, *arguments.get(act, ()), **options)
        if path.exists() or (act == "publish" and await store.list_fixtures()):
            break
    assert number > 5


async def test_a_torn_end_of_another_recording_is_left_alone(tmp_path: Path) -> None:
    """Whoever appends to a recording whose file now holds another one cuts nothing off there: somebody may be writing."""
    store = FileSignalStore(tmp_path)
    one, other = [await fill(store, LOG[:count], name="my-test") for count in (3, 10)]
    await store.publish(one, "my-test")
    await store.append(one, LOG[3:4])
    Exchange(tmp_path, one, other).now()
    fixture = tmp_path / "my-test.jsonl"
    with fixture.open("ab") as file:
        file.write(b'{"half of a line')
    before = fixture.read_bytes()
    await store.append(one, LOG[4:5])
    assert fixture.read_bytes() == before
    assert list((await load(store, one)).signals) == LOG[:5]
