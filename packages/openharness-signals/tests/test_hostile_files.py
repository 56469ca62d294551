"""Files of a stranger: whatever is in their place, reading ends soon, takes little memory, and says what is wrong."""

from __future__ import annotations

import os
import socket
import tracemalloc
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from signals_support import HEADER, encoded, fill, load, published_file, sample_log, signal

from openharness.core import CorruptRecordError, StoreFullError
from openharness.signals import CorruptLineError, FileSignalStore, RecordingTooLargeError
from openharness.signals._format import Limits, LineWriter, LogReader, write_header

if TYPE_CHECKING:
    from pathlib import Path


def line(text: bytes) -> bytes:
    """A line with a right checksum."""
    return b'%b,"crc":"%08x"}\n' % (text, crc32(text))


def deltas(first: int, count: int) -> bytes:
    """A line of empty deltas."""
    gaps, texts = b",".join([b"0"] * (count - 1)), b",".join([b'""'] * count)
    return line(b'{"call":"c","gaps":[%b],"name":"text:delta","seq":%d,"texts":[%b],"time":0' % (gaps, first, texts))


async def test_entries_are_counted(tmp_path: Path) -> None:
    """A small file of a great many entries is refused by all that read it, and cannot be made."""
    data = write_header(HEADER) + b"".join(deltas(first, 1_000) for first in range(0, 10_000, 1_000))
    published_file(tmp_path, "my-test", data)
    store = FileSignalStore(tmp_path, max_entries=9_999)
    for refused in (load(store, "rec-1"), _count(store)):
        with pytest.raises(RecordingTooLargeError) as caught:
            await refused
        assert (caught.value.recording_id, caught.value.limit, caught.value.allowed) == ("rec-1", "max_entries", 9_999)
    assert isinstance(caught.value, StoreFullError)
    assert len((await load(FileSignalStore(tmp_path, max_entries=10_000), "rec-1")).signals) == 10_000
    small = FileSignalStore(tmp_path / "other", max_entries=3)
    recording_id = await fill(small, [signal(0), signal(1)])
    with pytest.raises(RecordingTooLargeError):
        await small.append(recording_id, [signal(2), signal(3)])
    await small.append(recording_id, [signal(2)])
    with pytest.raises(RecordingTooLargeError):
        await small.add_checkpoint(recording_id, "full", 0)
    assert len((await load(small, recording_id)).signals) == 3


async def _count(store: FileSignalStore) -> int:
    return len([one async for one in store.iter_signals("rec-1")])


def test_entries_that_wait_for_the_end_of_their_append_are_counted() -> None:
    """Also lines of an append that never ends."""
    reader = LogReader("file", limits=Limits(max_entries=5))
    lines = [line(b'{"name":"a","payload":1,"seq":%d,"time":0,"more":true' % seq) for seq in range(6)]
    reader.feed(write_header(HEADER) + b"".join(lines[:5]))
    with pytest.raises(RecordingTooLargeError):
        reader.feed(lines[5])


def test_deltas_of_a_line_are_counted() -> None:
    """A line of more deltas than a writer makes is damage: each takes three bytes of a file and much more of memory."""
    assert len(LogReader("file").feed(write_header(HEADER) + deltas(0, 1_024))) == 1_024
    with pytest.raises(CorruptLineError, match="up to 1,024 deltas"):
        LogReader("file").feed(write_header(HEADER) + deltas(0, 1_025))


@pytest.mark.parametrize(
    "text",
    [
        rb'{"created_at":"\ud800","format":"openharness-recording","id":"rec-1","run_id":"run-1","version":1',
        rb'{"name":"a","payload":1,"seq":"\ud800","time":0',
        rb'{"call":"c","gaps":["\ud800"],"name":"text:delta","seq":0,"texts":["a","b"],"time":0',
        rb'{"blobs":"\ud800","outcome":"completed","signals":0',
    ],
)
def test_half_a_character_where_a_number_belongs_is_damage(text: bytes) -> None:
    """A member of another type is the same error when what stands there is no text that UTF-8 has."""
    before = b"" if b"format" in text else write_header(HEADER)
    with pytest.raises(CorruptLineError):
        LogReader("file").feed(before + line(text))


async def test_reading_a_page_at_a_time_is_limited_too(tmp_path: Path) -> None:
    """`iter_signals` and listing stop at the size that loading stops at."""
    writer = LineWriter(HEADER)
    data = write_header(HEADER) + writer.write_append(encoded([signal(0, payload="x" * 5_000)]))
    published_file(tmp_path, "my-test", data)
    store = FileSignalStore(tmp_path, max_recording_bytes=4_000)
    with pytest.raises(RecordingTooLargeError, match="max_recording_bytes"):
        await _count(store)
    assert [info.signal_count for info in await store.list_recordings()] == [0]


async def test_a_line_without_an_end_takes_little_memory(tmp_path: Path) -> None:
    """A file of 256 MiB without a line feed is refused after the longest line there may be, by all that read it."""
    with (tmp_path / "my-test.jsonl").open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    store = FileSignalStore(tmp_path, max_bytes=1024)
    tracemalloc.start()
    try:
        assert await store.list_recordings() == []
        with pytest.raises(CorruptRecordError):
            await store.find_recording("my-test")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


async def test_a_hostile_line_in_the_middle_takes_little_memory(tmp_path: Path) -> None:
    """Nor does one that begins after a good header."""
    with (tmp_path / "my-test.jsonl").open("wb") as file:
        file.write(write_header(HEADER) + b'{"name":"')
        file.truncate(256 * 1024 * 1024)
    store = FileSignalStore(tmp_path, max_bytes=1024)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptLineError, match="longer than"):
            await _count(store)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


@pytest.mark.parametrize("digits", [20, 5_000, 1_000_000])
@pytest.mark.parametrize("place", ["payload", "time", "seq"])
async def test_long_numbers(tmp_path: Path, digits: int, place: str) -> None:
    """Integers of any length beyond 64 bits are an error at once, wherever they stand."""
    values = {"payload": b"1", "time": b"0", "seq": b"0"} | {place: b"9" * digits}
    text = b'{"name":"a","payload":%b,"seq":%b,"time":%b' % (values["payload"], values["seq"], values["time"])
    published_file(tmp_path, "my-test", write_header(HEADER) + line(text))
    with pytest.raises(CorruptRecordError):
        await load(FileSignalStore(tmp_path), "rec-1")


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


@posix
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket", "loop"])
@pytest.mark.parametrize("unpublished", [False, True])
async def test_what_is_no_file(tmp_path: Path, kind: str, unpublished: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A folder, a pipe, a device, a socket and a link to itself are errors that say so, and nobody waits for them."""
    store = FileSignalStore(tmp_path)
    good = await fill(store, sample_log())
    path = (tmp_path / "unpublished" if unpublished else tmp_path) / "my-test.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            # The path of a socket may have a hundred characters only.
            here = os.open(path.parent, os.O_RDONLY)
            try:
                listener.bind(f"/proc/self/fd/{here}/{path.name}")
            finally:
                os.close(here)
    if not unpublished:
        with pytest.raises(
            CorruptRecordError, match=r"(?s)my-test\.jsonl.*(folder|pipe|device|ordinary file|leads to itself)"
        ):
            await store.find_recording("my-test")
    assert [info.id for info in await store.list_recordings()] == [good]
    assert "my-test.jsonl cannot be read" in caplog.text
    assert await store.list_fixtures() == []


@posix
async def test_links_are_read_and_replaced(tmp_path: Path) -> None:
    """A link to a recording is that recording; one that leads nowhere is no fixture; publishing replaces the link alone."""
    elsewhere = FileSignalStore(tmp_path / "elsewhere")
    recording_id = await fill(elsewhere, sample_log())
    await elsewhere.publish(recording_id, "original")
    original = tmp_path / "elsewhere" / "original.jsonl"
    before = original.read_bytes()
    store = FileSignalStore(tmp_path / "here")
    new = await fill(store, [signal(0)])
    link = tmp_path / "here" / "link.jsonl"
    link.symlink_to(original)
    (tmp_path / "here" / "nowhere.jsonl").symlink_to(tmp_path / "nothing")
    found = await store.find_recording("link")
    assert found is not None
    assert found.id == recording_id
    assert await store.find_recording("nowhere") is None
    assert await store.list_fixtures() == ["link"]
    await store.publish(new, "link")
    assert not link.is_symlink()
    assert original.read_bytes() == before
