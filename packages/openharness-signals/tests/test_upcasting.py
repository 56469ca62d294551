"""Old recordings in the form of today: the versions of the format, and the payloads of the user's own signals."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from signals_support import HEADER, RUN_ID, fill, load, sample_log, signal
from upcasting_support import THREE, add_currency, older, one_to_two, two_to_three, written

from openharness.core import InvalidValueError, StoreReadOnlyError, StoreVersionError, create_harness
from openharness.core.errors import PatternError
from openharness.signals import CorruptLineError, FileSignalStore, UpcastError
from openharness.signals._format import FormatVersions, LogReader, _versions
from openharness.testing import ScriptedProvider

if TYPE_CHECKING:
    from pathlib import Path

    from openharness.core import Recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where recordings are."""
    return tmp_path / "recordings"


def total_in_cents(payload: Any) -> Any:
    """From totals as decimal fractions to totals in cents."""
    if "total" in payload:
        payload["cents"] = round(payload.pop("total") * 100)
    return payload


async def old_orders(folder: Path) -> str:
    """A recording of a program that knew no currencies."""
    old = [
        signal(0, "order:created", {"total": 1.5}),
        signal(1, "order:other", {"total": 2}),
        signal(2, "order:created", {"total": 3}),
    ]
    return await fill(FileSignalStore(folder), old)


async def test_payloads_of_own_signals_are_brought_to_the_form_of_today(folder: Path) -> None:
    """Loading and reading give the payloads as the functions return them, in turn; other signals and the file stay."""
    recording_id = await old_orders(folder)
    before = (folder / "unpublished" / f"{recording_id}.jsonl").read_bytes()
    store = FileSignalStore(folder, upcasters={"order:created": [add_currency, total_in_cents]})
    expected = [{"currency": "EUR", "cents": 150}, {"total": 2}, {"currency": "EUR", "cents": 300}]
    assert [one.payload for one in (await load(store, recording_id)).signals] == expected
    assert [one.payload async for one in store.iter_signals(recording_id)] == expected
    assert [one.payload async for one in store.iter_signals(recording_id, start=2)] == expected[2:]
    assert (folder / "unpublished" / f"{recording_id}.jsonl").read_bytes() == before


async def test_upcasters_get_copies_and_whole_requests(folder: Path) -> None:
    """A function may change what it gets: requests that share a message do not share the change."""
    recording_id = await fill(FileSignalStore(folder), [*sample_log()])
    plain = await load(FileSignalStore(folder), recording_id)

    def rename(payload: Any) -> Any:
        payload["request"]["messages"][0]["content"] += "!"
        return payload

    loaded = await load(FileSignalStore(folder, upcasters={"provider:start": rename}), recording_id)
    assert loaded.signals[1].payload["request"]["messages"] == [{"role": "user", "content": "Analyse: caf\xe9!"}]
    assert [one.payload for one in loaded.signals if one.seq != 1] == [
        one.payload for one in plain.signals if one.seq != 1
    ]


@pytest.mark.parametrize(
    "upcaster, reason",
    [
        (lambda payload: payload["nothing"], "KeyError"),
        (lambda _: object(), "cannot be stored"),
        (lambda _: float("nan"), "cannot be stored"),
    ],
    ids=["raises", "no JSON", "NaN"],
)
async def test_an_upcaster_that_fails_is_named(folder: Path, upcaster: Any, reason: str) -> None:
    """The error says which signal of which recording, and keeps the cause; the recording stays as it was."""
    recording_id = await old_orders(folder)
    store = FileSignalStore(folder, upcasters={"order:created": upcaster})
    with pytest.raises(UpcastError, match=reason) as caught:
        await store.load_recording(recording_id)
    assert (caught.value.recording_id, caught.value.seq, caught.value.name) == (recording_id, 0, "order:created")
    assert caught.value.__cause__ is not None
    await load(FileSignalStore(folder), recording_id)


@pytest.mark.parametrize(
    "upcasters",
    [[add_currency], {"a:b": None}, {"a:b": [add_currency, 1]}, "a:b"],
    ids=["list", "None", "no function", "text"],
)
def test_what_are_no_upcasters(folder: Path, upcasters: Any) -> None:
    """They are a mapping of names to functions, and anything else is refused when the store is made."""
    with pytest.raises(InvalidValueError, match="upcasters"):
        FileSignalStore(folder, upcasters=upcasters)


def test_upcasters_are_for_names_and_not_for_patterns(folder: Path) -> None:
    """A pattern as a name is refused, because it would be the name of no signal."""
    with pytest.raises(PatternError):
        FileSignalStore(folder, upcasters={"order:*": add_currency})


@attrs.define
class Shop:
    """The state of the run that is replayed."""

    total: float = 0
    answer: str = ""


def program(store: FileSignalStore, total_of: Any) -> tuple[Any, dict[str, Any]]:
    """A harness and a run whose reducer reads the orders in the form of its time."""
    harness = create_harness(Shop)

    def count(state: Shop, signal: Any) -> None:
        state.total += total_of(signal.payload)

    clerk = harness.agent(prompt="Thank for {{ state.total }}.", activate_on="order:created", updates="answer")
    options = {"agents": {"clerk": clerk}, "state": Shop(), "reducers": {"order:created": count}, "store": store}
    return harness, {**options, "fixture": "shop"}


async def test_a_program_that_changed_its_payloads_replays_old_recordings(folder: Path) -> None:
    """A run recorded with totals as fractions replays in a program that knows cents, with an upcaster."""
    harness, options = program(FileSignalStore(folder), lambda payload: payload["total"])
    async with harness.start(mode="record", provider=ScriptedProvider(["Thank you."]), **options) as handle:
        await handle.emit("order:created", {"total": 1.5})
        await handle.finish()
        recorded = await handle.result()
    store = FileSignalStore(folder, upcasters={"order:created": total_in_cents})
    harness, options = program(store, lambda payload: payload["cents"] / 100)
    replayed = await harness.run_reactive(mode="replay", **options)
    assert replayed.replayed
    assert replayed.state == recorded.state == Shop(total=1.5, answer="Thank you.")


# --- Versions of the format, with versions that were never released ---------------------------------------------------


@pytest.fixture
def version_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """This code, as if its version of the format were the third."""
    monkeypatch.setattr(_versions, "_RELEASED", THREE)


def names(recording: Recording) -> list[str]:
    """The names of its signals."""
    return [one.name for one in recording.signals]


@pytest.mark.usefixtures("version_3")
async def test_files_of_older_versions_load(folder: Path) -> None:
    """Each line goes through the functions of all versions since, header and footer included."""
    (folder / "unpublished").mkdir(parents=True)
    (folder / "my-test.jsonl").write_bytes(older(written(finalized=True)))
    store = FileSignalStore(folder)
    info = await store.find_recording("my-test")
    assert info is not None
    assert (info.created_at, info.signal_count, info.outcome) == (HEADER.created_at, 11, "completed")
    loaded = await load(store, "rec-1")
    assert names(loaded) == [
        one.name.replace("analysis:complete", "analysis:done") for one in sample_log() if hasattr(one, "name")
    ]
    assert [one.seq async for one in store.iter_signals("rec-1")] == list(range(11))
    assert await store.list_recordings() == [info]


@pytest.mark.usefixtures("version_3")
async def test_what_is_added_is_never_of_another_version_than_the_file(folder: Path) -> None:
    """An open file of an older version takes no appends until it is rewritten; finalizing rewrites it."""
    (folder / "unpublished").mkdir(parents=True)
    path = folder / "unpublished" / "rec-1.jsonl"
    old = older(written(finalized=False))
    path.write_bytes(old)
    store = FileSignalStore(folder)
    with pytest.raises(StoreReadOnlyError, match="version 1 of the format"):
        await store.append("rec-1", [signal(11)])
    assert path.read_bytes() == old
    before = await load(store, "rec-1")
    await store.finalize("rec-1", outcome="failed")
    assert b'"version":3' in path.read_bytes().splitlines()[0]
    assert (await load(store, "rec-1")).signals == before.signals


@pytest.mark.usefixtures("version_3")
def test_a_line_that_its_version_does_not_allow_is_damage() -> None:
    """What a function cannot make sense of is an error that names the line."""
    bad = b'{"name":"a"'
    data = older(written(finalized=False)).splitlines(keepends=True)[0] + b'%b,"crc":"%08x"}\n' % (bad, zlib.crc32(bad))
    with pytest.raises(CorruptLineError) as caught:
        LogReader("file").feed(data)
    assert caught.value.line == 2


@pytest.mark.usefixtures("version_3")
def test_a_still_newer_version_is_refused() -> None:
    """With both versions in the error."""
    data = written(finalized=False).replace(b'"version":3', b'"version":4')
    with pytest.raises(StoreVersionError) as caught:
        LogReader("file").feed(data)
    assert (caught.value.found, caught.value.supported) == (4, 3)


@pytest.mark.parametrize("upcasters", [{}, {1: one_to_two}, {1: one_to_two, 2: two_to_three, 3: one_to_two}], ids=len)
def test_no_version_is_left_out(upcasters: Any) -> None:
    """A release that cannot read a version before it cannot be made."""
    with pytest.raises(ValueError, match="needs an upcaster for each version"):
        FormatVersions(3, upcasters)


def test_the_sample_has_the_run_of_these_tests() -> None:
    """The header of the sample is of the run its signals are of."""
    assert HEADER.run_id == RUN_ID
