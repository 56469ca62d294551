"""Log format v1: what is written is what is read, and damage is never an answer."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_support import EXAMPLES, HEADER, NOON, RUN_ID, delta, encoded, logs, sample_log, signal

from openharness.core import CorruptRecordError, RunStatus, StoreVersionError
from openharness.core.records import Blob, Signal
from openharness.core.storage import EncodedBlob, EncodedSignal, RecordingSummary
from openharness.signals import CorruptLineError
from openharness.signals._format import (
    Limits,
    LineWriter,
    LogReader,
    read_footer,
    write_checkpoint,
    write_footer,
    write_header,
    write_recording,
)
from openharness.signals._format._write import MAX_RUN_CHARACTERS, MAX_RUN_DELTAS
from openharness.signals._header import Header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import LogEntry
    from openharness.core.storage import EncodedEntry

GOLDEN = Path(__file__).parent / "golden"


def whole(entries: Sequence[LogEntry], checkpoints: dict[str, int] | None = None, *, final: bool = True) -> bytes:
    """The file of a log."""
    written = encoded(entries)
    signals = [entry for entry in written if isinstance(entry, EncodedSignal)]
    summary = RecordingSummary(
        outcome=RunStatus.COMPLETED if final else "incomplete",
        duration_ms=11,
        signal_count=len(signals),
        blob_count=len(written) - len(signals),
        checkpoint_count=len(checkpoints or {}),
        provider_types=tuple(sorted({entry.source.provider for entry in signals if entry.source.provider})),
    )
    return write_recording(HEADER, written, checkpoints or {}, summary)


def read(
    data: bytes, *, chunk: int | None = None, limits: Limits | None = None
) -> tuple[LogReader, list[EncodedEntry]]:
    """The reader after a whole file, and the entries it returned."""
    reader = LogReader("file.jsonl", limits=limits)
    entries: list[EncodedEntry] = []
    for start in range(0, len(data), chunk or max(len(data), 1)):
        entries += reader.feed(data[start : start + (chunk or len(data))])
    entries += reader.finish()
    return reader, entries


def sealed(**members: object) -> bytes:
    """A line with a right checksum, whatever it says."""
    text = json.dumps(members, separators=(",", ":")).encode()[:-1]
    return b'%b,"crc":"%08x"}\n' % (text, crc32(text))


@given(logs(), st.integers(1, 400))
@settings(max_examples=EXAMPLES)
def test_what_is_written_is_read_in_pieces_of_any_size(entries: list[LogEntry], chunk: int) -> None:
    """A whole file gives back header, entries, checkpoints and counts, however it is cut into reads."""
    count = sum(isinstance(entry, Signal) for entry in entries)
    checkpoints = {"first": 0, "last": count - 1} if count else {}
    reader, found = read(whole(entries, checkpoints), chunk=chunk)
    assert reader.header == HEADER
    assert found == encoded(entries)
    assert reader.checkpoints == checkpoints
    assert reader.torn == b""
    assert reader.footer is not None
    assert (reader.footer.signal_count, reader.footer.outcome, reader.footer.duration_ms) == (count, "completed", 11)


@given(logs())
@settings(max_examples=EXAMPLES)
def test_decoded_signals_are_the_ones_that_were_encoded(entries: list[LogEntry]) -> None:
    """Encoding, writing, reading and decoding a signal gives an equal one, to the type of every number."""
    _, found = read(whole(entries))
    signals = [entry for entry in entries if isinstance(entry, Signal)]
    decoded = [entry.decode() for entry in found if isinstance(entry, EncodedSignal)]
    assert decoded == signals
    assert repr(decoded) == repr(signals)


@given(logs(), st.data())
@settings(max_examples=EXAMPLES)
def test_the_final_form_does_not_depend_on_the_appends(entries: list[LogEntry], data: st.DataObject) -> None:
    """However a log was cut into appends, the file written from what they left is the same, byte for byte."""
    written = encoded(entries)
    cuts = sorted({0, len(written), *data.draw(st.lists(st.integers(0, len(written)), max_size=5))})
    writer = LineWriter(HEADER)
    appended = write_header(HEADER) + b"".join(
        writer.write_append(written[start:stop]) for start, stop in pairwise(cuts)
    )
    _, found = read(appended)
    assert found == written
    assert write_recording(HEADER, found, {}, RecordingSummary()) == whole(entries, final=False)


def test_deltas_of_one_call_share_a_line() -> None:
    """Consecutive deltas with equal source are one line with their texts and times; another call begins a new one."""
    entries = [delta(0, "a"), delta(1, "b"), delta(2, "c", call="other"), delta(3, "d"), signal(4), delta(5, "e")]
    lines = whole(entries).splitlines()[1:-1]
    assert [json.loads(line).get("texts") for line in lines] == [["a", "b"], None, None, None, None]
    assert json.loads(lines[0])["gaps"] == [1]


def test_a_line_of_deltas_does_not_grow_without_end() -> None:
    """A line takes 1,024 deltas, or 262,144 characters, and then another one begins."""
    many = [delta(seq, "x") for seq in range(MAX_RUN_DELTAS + 1)]
    assert [len(json.loads(line).get("texts", "1")) for line in whole(many).splitlines()[1:-1]] == [MAX_RUN_DELTAS, 1]
    long = [delta(seq, "x" * (MAX_RUN_CHARACTERS // 2)) for seq in range(3)]
    assert len(whole(long).splitlines()) == 4


def test_ids_and_parents_are_derived() -> None:
    """The id that follows from run and seq is not written, a parent of the same run is a seq, others are kept."""
    text = whole(sample_log()).decode()
    assert text.count(RUN_ID) == 1
    assert '"parent":1' in text
    assert '"parent":"elsewhere/3"' in text
    assert '"id":"injected/1"' in text


@pytest.mark.parametrize("parent", ["run-1/01", "run-1/", "run-1/-1", "run-1/\u0663", "run-1/1 ", "run-1", "7"])
def test_a_parent_that_only_looks_like_a_seq_is_kept(parent: str) -> None:
    """Only the very id that derives from a seq is written as one."""
    entries = [signal(0, parent=parent)]
    _, found = read(whole(entries))
    assert found == encoded(entries)


def test_the_keys_of_envelopes_are_sorted_and_those_of_payloads_are_not() -> None:
    """Lines of one kind have their members in one order; what users wrote keeps theirs."""
    for line in whole(sample_log(), {"here": 3}).splitlines():
        *keys, last = json.loads(line)
        assert keys == sorted(keys)
        assert last == "crc"
    assert b'"state":{"z":1,"a":[1.0,-0.0,null]}' in whole(sample_log())


def test_a_file_cut_at_any_byte_is_a_good_prefix() -> None:
    """A finalized recording, cut anywhere, loads up to its last whole line, as incomplete."""
    data = whole(sample_log(), {"here": 3})
    written = encoded(sample_log())
    header_end = data.index(b"\n")
    counts: list[int] = []
    for size in range(len(data)):
        if size < header_end:
            with pytest.raises(CorruptLineError, match="line 1: the file ends before its header does"):
                read(data[:size])
            continue
        reader, found = read(data[:size])
        assert found == written[: len(found)]
        # The last line is whole without its line feed.
        assert reader.summary.outcome == ("incomplete" if size < len(data) - 1 else "completed")
        assert reader.size + len(reader.torn) == size
        ends = data[:size].count(b"\n") + reader.lacks_line_end - 1
        counts.append(len(found))
        assert ends >= 0
    assert counts == sorted(counts)
    assert counts[-1] == len(written)


def test_an_append_that_was_cut_off_counts_not_at_all() -> None:
    """An open recording, cut anywhere, holds whole appends only; the rest waits in what is torn."""
    written = encoded(sample_log())
    batches = [written[:3], written[3:8], written[8:]]
    writer = LineWriter(HEADER)
    data = write_header(HEADER)
    ends = [len(data)]
    for batch in batches:
        data += writer.write_append(batch)
        ends.append(len(data))
    for size in range(ends[0], len(data) + 1):
        reader, found = read(data[:size])
        complete = sum(size >= end - 1 for end in ends[1:])
        assert found == [entry for batch in batches[:complete] for entry in batch]
        assert reader.signal_count == sum(isinstance(entry, EncodedSignal) for entry in found)
        assert reader.digests == {entry.digest for entry in found if isinstance(entry, EncodedBlob)}
        assert reader.size + len(reader.torn) == size


def test_every_flipped_bit_is_noticed() -> None:
    """A file with any one bit flipped is refused with a named error, or reads as if it were not flipped."""
    data = whole(sample_log(), {"here": 3})
    good = read(data)
    refused = 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                reader, found = read(bytes(damaged))
            except (CorruptRecordError, StoreVersionError):
                refused += 1
            else:
                assert (reader.header, found, reader.summary) == (good[0].header, good[1], good[0].summary)
    assert refused >= 8 * len(data) - 8, "hardly any flip can be without consequence"


@given(st.data())
@settings(max_examples=2 * EXAMPLES)
def test_bytes_changed_at_random_are_noticed(data: st.DataObject) -> None:
    """Bytes overwritten, removed or inserted anywhere give a good prefix, the same recording, or a named error."""
    content = whole(sample_log(), {"here": 3})
    written = encoded(sample_log())
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 40)))
    damaged = content[:start] + data.draw(st.binary(max_size=40)) + content[stop:]
    try:
        _, found = read(damaged)
    except (CorruptRecordError, StoreVersionError):
        return
    assert found == written[: len(found)]


def test_an_error_names_the_line() -> None:
    """A damaged line is reported by its number, with the recording's id as soon as that is known."""
    lines = whole(sample_log()).splitlines(keepends=True)
    lines[3] = lines[3].replace(b"attempt", b"attemqt", 1)
    with pytest.raises(CorruptLineError) as caught:
        read(b"".join(lines))
    assert (caught.value.line, caught.value.record_id) == (4, "rec-1")
    assert "line 4: it does not match its checksum" in str(caught.value)


def test_line_ends_of_windows_are_read() -> None:
    """A file that version control gave line ends of two characters reads the same."""
    data = whole(sample_log())
    reader, found = read(data.replace(b"\n", b"\r\n"))
    assert found == encoded(sample_log())
    assert reader.footer is not None


def test_zeros_at_the_end_are_what_a_power_loss_leaves() -> None:
    """Blocks of zeros after the last whole line count as cut off."""
    data = whole(sample_log(), final=False)
    reader, found = read(data + bytes(4096))
    assert found == encoded(sample_log())
    assert reader.torn == bytes(4096)


_BATCHES = [encoded(sample_log())[:3], encoded(sample_log())[3:8], encoded(sample_log())[8:]]


def _appends() -> list[bytes]:
    writer = LineWriter(HEADER)
    return [write_header(HEADER), *(writer.write_append(batch) for batch in _BATCHES)]


@settings(max_examples=EXAMPLES)
@given(data=st.data(), sector=st.sampled_from([64, 512]))
def test_an_append_of_which_the_disk_kept_parts_counts_not_at_all(data: st.DataObject, sector: int) -> None:
    """Of the append that was being written, any sectors may be zeros after a power loss; what was there before loads."""
    *synced, last = _appends()
    start = sum(map(len, synced))
    content = bytearray(b"".join([*synced, last]))
    sectors = range(start // sector, (len(content) - 1) // sector + 1)
    lost = data.draw(st.sets(st.sampled_from(sectors), min_size=1))
    for number in lost:
        begin, end = max(start, number * sector), min(len(content), (number + 1) * sector)
        content[begin:end] = bytes(end - begin)
    reader, found = read(bytes(content), chunk=data.draw(st.sampled_from([None, 7, 500])))
    before = [entry for batch in _BATCHES[:-1] for entry in batch]
    if content[-1] == 0 and content[:-1] == b"".join([*synced, last])[:-1]:
        # Nothing but the last line feed: that append is whole, and may count.
        before += _BATCHES[-1]
    assert found == before
    assert reader.summary.outcome == "incomplete"
    assert reader.size + len(reader.torn) == len(content)


def test_zeros_before_an_append_that_was_acknowledged_are_damage() -> None:
    """What comes after another append had begun was on the disk: zeros there are an error, not a power loss."""
    header, first, second, third = _appends()
    holed = first[:20] + bytes(40) + first[60:]
    with pytest.raises(CorruptLineError):
        read(header + holed + second + third)
    for line in (write_checkpoint("here", 1), write_footer(RecordingSummary(outcome=RunStatus.COMPLETED))):
        with pytest.raises(CorruptLineError):
            read(header + holed + line)


def test_zeros_after_a_line_that_lost_its_end_are_cut_off() -> None:
    """The line counts, and the zeros are no part of it, so that the next append does not come after them."""
    data = whole(sample_log(), final=False)
    reader, found = read(data[:-1] + bytes(600))
    assert found == encoded(sample_log())
    assert (reader.size, reader.torn, reader.lacks_line_end) == (len(data) - 1, bytes(600), True)


def _newer(version: int) -> bytes:
    return write_header(HEADER).replace(b'"version":1', b'"version":%d' % version)


def test_a_newer_version_is_refused() -> None:
    """A file of a later version is refused with both versions, whatever its checksum is made of."""
    with pytest.raises(StoreVersionError) as caught:
        read(_newer(2) + b"something else\n")
    assert (caught.value.found, caught.value.supported) == (2, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b"\x80\n",
        b'{"format":"vcr","version":1}\n',
        _newer(0),
        sealed(format="openharness-recording", version=1, id="x", run_id="y"),
        sealed(format="openharness-recording", version=1, id="", run_id="y", created_at=1),
        sealed(format="openharness-recording", version=1, id="x", run_id="y", created_at=1e300),
        sealed(format="openharness-recording", version=1, id="x", run_id="y", created_at=1, metadata=[1]),
        sealed(format="openharness-recording", version=1, id="x", run_id="y", created_at=1, tags="abc"),
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda line: ascii(line[:40]),
)
def test_what_is_no_header_is_refused(line: bytes) -> None:
    """A first line that is no header of this version is an error that names line 1."""
    with pytest.raises(CorruptLineError) as caught:
        read(line)
    assert caught.value.line == 1


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        sealed(seq=0, name="a", time=1),
        sealed(seq=1, name="a", time=1, payload=None),
        sealed(seq=0, name=1, time=1, payload=None),
        sealed(seq=0, time=1, payload=None),
        sealed(seq=0, name="a", payload=None),
        sealed(seq=True, name="a", time=1, payload=None),
        sealed(seq=0, name="a", time=1, payload=None, parent=1.5),
        sealed(seq=0, name="a", time=10**30, payload="\ud800", parent="\ud800"),
        sealed(seq=0, name="text:delta", time=1, call="c", texts=["a", "b"], gaps=[]),
        sealed(seq=0, name="text:delta", time=1, call="c", texts=[], gaps=[]),
        sealed(seq=0, name="analysis:complete", time=1, call="c", texts=["a"], gaps=[]),
        sealed(seq=3, name="text:delta", time=1, call="c", texts=["a"], gaps=[]),
        sealed(blob="sha256:0"),
        sealed(checkpoint="x", seq=0),
        sealed(checkpoint="x"),
        sealed(checkpoint="x", seq=0, more=True),
        sealed(outcome="splendid"),
        sealed(outcome="completed", signals=1),
        sealed(outcome="completed", blobs=1),
        sealed(outcome="completed", checkpoints=1),
        sealed(outcome="completed", provider_types=["x"]),
        sealed(outcome="completed") + sealed(outcome="completed"),
        sealed(outcome="completed") + sealed(seq=0, name="a", time=1, payload=None),
        sealed(blob="sha256:0", data=1) * 2,
        sealed(seq=0, name="a", time=1, payload=None) + sealed(checkpoint="x", seq=0) + sealed(checkpoint="x", seq=0),
        sealed(seq=0, name="a", time=1, payload=None, more=True) + sealed(outcome="completed"),
        sealed(kind="something new"),
    ],
    ids=lambda line: ascii(line[:60]),
)
def test_what_is_no_entry_is_refused(line: bytes) -> None:
    """A line that the format does not allow there is an error that names it, also with a right checksum."""
    with pytest.raises(CorruptLineError):
        read(write_header(HEADER) + line)


def test_a_deeply_nested_line_is_refused() -> None:
    """A payload that is nested without end is an error, and no exhausted stack."""
    text = b'{"name":"a","payload":' + b"[" * 100_000 + b"]" * 100_000 + b',"seq":0,"time":0'
    line = b'%b,"crc":"%08x"}\n' % (text, crc32(text))
    with pytest.raises(CorruptRecordError):
        read(write_header(HEADER) + line)


def test_lines_longer_than_the_limit_are_refused() -> None:
    """A line beyond the limit is refused before its end has come, so that a file cannot fill the memory."""
    limits = Limits(max_bytes=1)
    reader = LogReader("file.jsonl", limits=limits)
    with pytest.raises(CorruptLineError, match=f"line 1: it is longer than {limits.max_line} bytes"):
        reader.feed(b"x" * (limits.max_line + 1))
    with pytest.raises(CorruptLineError, match="line 2: it is longer"):
        read(write_header(HEADER) + b"x" * (limits.max_line + 1) + b"\n", limits=limits)


def test_payloads_and_blobs_beyond_the_limit_are_refused() -> None:
    """What a store would not take, its reader does not take either."""
    limits = Limits(max_bytes=100)
    for entries in ([signal(0, payload="x" * 100)], [Blob("sha256:0", "x" * 100)]):
        line = LineWriter(HEADER).write(
            [EncodedBlob(e.digest, b'"%b"' % (b"x" * 100)) if isinstance(e, Blob) else encoded([e])[0] for e in entries]
        )
        with pytest.raises(CorruptLineError, match="may take at most 100 bytes"):
            read(write_header(HEADER) + line, limits=limits)


def test_members_of_later_releases_are_passed_over() -> None:
    """Members that this code does not know change nothing, so that the format can grow."""
    line = sealed(seq=0, name="a", time=1, payload=None, colour="red")
    _, found = read(write_header(HEADER) + line)
    assert [entry.name for entry in found if isinstance(entry, EncodedSignal)] == ["a"]


def test_a_look_at_the_last_line_judges_nothing() -> None:
    """`read_footer` gives the summary of a whole footer and None for everything else."""
    footer = write_footer(RecordingSummary(outcome=RunStatus.FAILED, signal_count=3))
    assert read_footer(footer) == RecordingSummary(outcome=RunStatus.FAILED, signal_count=3)
    for line in (b"", footer[1:], footer.replace(b"3", b"4"), write_checkpoint("a", 0), sealed(blobs=1, outcome=[])):
        assert read_footer(line) is None


@given(
    st.builds(
        Header,
        id=st.just("rec-1"),
        run_id=st.just("r"),
        name=st.none() | st.text(min_size=1, max_size=20),
        created_at=st.integers(0, 2**40),
        tags=st.lists(st.text(), max_size=3).map(tuple),
        metadata=st.none() | st.just(b'{"a":1}'),
        resumed_from=st.none() | st.just("rec-0"),
        published_as=st.none() | st.just("x"),
    )
)
def test_headers_round_trip(header: Header) -> None:
    """Every header that a store writes reads as itself, or is refused because its name could be none."""
    reader = LogReader("file.jsonl")
    try:
        reader.feed(write_header(header))
    except CorruptLineError as error:
        assert "name must be" in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert reader.header == header


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonl")), ids=lambda path: path.name)
def test_golden_files_read_and_write_the_same(path: Path) -> None:
    """The files of every released format load, and what is read of one of version 1 writes the very same bytes."""
    data = path.read_bytes()
    reader, found = read(data)
    assert reader.header is not None
    assert write_recording(reader.header, found, reader.checkpoints, reader.summary) == data


def test_the_golden_file_of_version_1_holds_the_sample() -> None:
    """The golden file is the sample log, with every kind of line there is."""
    reader, found = read((GOLDEN / "version-1.jsonl").read_bytes())
    assert reader.header == attrs.evolve(HEADER, resumed_from="rec-0")
    assert found == encoded(sample_log())
    assert reader.checkpoints == {"here": 3, "there": 3, "end": 10}
    assert reader.summary == RecordingSummary(
        outcome=RunStatus.COMPLETED,
        duration_ms=11,
        signal_count=11,
        blob_count=1,
        checkpoint_count=3,
        provider_types=("claude",),
    )
    assert reader.header.created_at == NOON
