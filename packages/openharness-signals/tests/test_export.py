"""`export_recording`: a run out of any store becomes a fixture that replays as it is."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from comparison_support import STATE, Writer, newsroom, newsroom_agents
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_support import EXAMPLES, fill, load, logs, names_in, sample_log

from openharness.core import (
    AgentError,
    InvalidValueError,
    ProviderError,
    Recording,
    RecordingEndedError,
    RecordingNotFoundError,
    Signal,
)
from openharness.signals import (
    FileSignalStore,
    FixtureExistsError,
    IncompleteRecordingError,
    MemorySignalStore,
    diff_recordings,
    export_recording,
)

if TYPE_CHECKING:
    from pathlib import Path

    from openharness.core import LogEntry, RunResult


async def replay(folder: Path, fixture: str) -> RunResult[Any]:
    """Replay a fixture with a harness that has no provider."""
    harness, agents = newsroom_agents()
    return await harness.run_reactive(
        agents=agents, state=STATE, fixture=fixture, mode="replay", store=FileSignalStore(folder)
    )


@pytest.fixture
async def store() -> MemorySignalStore:
    """An empty store."""
    return MemorySignalStore()


@pytest.fixture
async def recording(store: MemorySignalStore) -> Recording:
    """A live run, recorded into that store."""
    return (await newsroom(store=store))[0]


async def test_a_live_run_becomes_a_fixture(store: MemorySignalStore, recording: Recording, tmp_path: Path) -> None:
    """Recorded live, exported, replayed from the file without a provider: the same signals, state and figures."""
    assert recording.info.name is None

    path = await export_recording(store, recording.info.run_id, tmp_path / "fixtures" / "ducks.jsonl")
    result = await replay(path.parent, "ducks")

    assert path == tmp_path / "fixtures" / "ducks.jsonl"
    assert result.replayed
    assert list(result.signals) == list(recording.signals)
    assert diff_recordings(recording, result).is_equal
    exported = FileSignalStore(path.parent)
    assert await exported.list_fixtures() == ["ducks"]
    kept = await load(exported, recording.info.id)
    assert kept == attrs.evolve(recording, info=attrs.evolve(recording.info, name="ducks"))
    assert names_in(path.parent / "unpublished") in ([".gitignore"], [".gitignore", ".names.lock"])


async def test_a_failed_run_becomes_a_fixture_too(store: MemorySignalStore, tmp_path: Path) -> None:
    """A run that failed in production fails in the test with the same error."""
    failed, _ = await newsroom(Writer(fail=lambda _: ProviderError("down", kind="server_error")), store=store)
    assert failed.info.outcome == "failed"

    path = await export_recording(store, failed.info.run_id, tmp_path, name="down")

    with pytest.raises(AgentError, match="down"):
        await replay(path.parent, "down")


async def test_the_newest_recording_or_the_one_that_is_named(store: MemorySignalStore, tmp_path: Path) -> None:
    """Of several recordings of a run the newest is taken, unless another one is named; one of another run is refused."""
    ids: list[str] = []
    for number in range(3):
        ids.append(await fill(store, sample_log()[: 3 + number]))
        await store.finalize(ids[-1], outcome="completed")
        await asyncio.sleep(0.002)

    newest = await export_recording(store, "run-1", tmp_path / "newest.jsonl")
    first = await export_recording(store, "run-1", tmp_path / "first.jsonl", recording_id=ids[0])

    assert len(newest.read_bytes()) > len(first.read_bytes())
    found = await FileSignalStore(tmp_path).find_recording("newest")
    assert found is not None
    assert found.id == ids[-1]
    with pytest.raises(RecordingNotFoundError, match="no recording of run 'run-2'"):
        await export_recording(store, "run-2", tmp_path / "other.jsonl")
    with pytest.raises(RecordingNotFoundError, match=f"'{ids[0]}' of run 'run-2'"):
        await export_recording(store, "run-2", tmp_path / "other.jsonl", recording_id=ids[0])
    assert not (tmp_path / "other.jsonl").exists()


async def test_an_incomplete_recording_is_refused(
    store: MemorySignalStore, recording: Recording, tmp_path: Path
) -> None:
    """It is refused with a word about what to do, and exported only when told so; it replays as far as it goes."""
    run_id = recording.info.run_id
    cut = await store.create_recording(run_id=run_id)
    await store.append(cut, recording.signals[:6])

    with pytest.raises(IncompleteRecordingError, match="allow_incomplete=True") as refused:
        await export_recording(store, run_id, tmp_path / "cut.jsonl", recording_id=cut)
    assert (refused.value.recording_id, refused.value.run_id, refused.value.signal_count) == (cut, run_id, 6)
    assert names_in(tmp_path) == []

    await export_recording(store, run_id, tmp_path / "cut.jsonl", recording_id=cut, allow_incomplete=True)
    with pytest.raises(RecordingEndedError):
        await replay(tmp_path, "cut")

    # The run has gone on since.
    await store.append(cut, recording.signals[6:])
    await store.finalize(cut, outcome="completed", duration_ms=5)
    with pytest.raises(FixtureExistsError):
        await export_recording(store, run_id, tmp_path / "cut.jsonl", recording_id=cut)
    await export_recording(store, run_id, tmp_path / "cut.jsonl", recording_id=cut, overwrite=True)
    assert (await replay(tmp_path, "cut")).state == (await replay_state(recording))


async def replay_state(recording: Recording) -> dict[str, Any]:
    """The state a recorded run ended with."""
    state = dict(STATE)
    for signal in recording.signals:
        if signal.name.startswith("state:"):
            state[signal.payload["path"][0]] = signal.payload["value"]
    return state


async def test_another_fixture_is_not_replaced(store: MemorySignalStore, recording: Recording, tmp_path: Path) -> None:
    """A fixture of the name stays unless the caller says otherwise, and then it is kept unpublished."""
    other, _ = await newsroom(store=store, prompt="Shout: {{ state.facts }}")
    path = await export_recording(store, recording.info.run_id, tmp_path / "ducks.jsonl")
    before = path.read_bytes()

    with pytest.raises(FixtureExistsError, match="overwrite=True") as refused:
        await export_recording(store, other.info.run_id, path)
    assert (refused.value.name, refused.value.path) == ("ducks", path)
    assert path.read_bytes() == before

    await export_recording(store, other.info.run_id, path, overwrite=True)
    exported = FileSignalStore(tmp_path)
    found = await exported.find_recording("ducks")
    assert found is not None
    assert found.id == other.info.id
    assert [signal.name for signal in (await load(exported, recording.info.id)).signals] == [
        signal.name for signal in recording.signals
    ]


@pytest.mark.parametrize("overwrite", [False, True])
async def test_the_same_again_changes_nothing(
    store: MemorySignalStore, recording: Recording, tmp_path: Path, overwrite: bool
) -> None:
    """A second export of a recording gives the same bytes, also where git has changed the ends of the lines."""
    path = await export_recording(store, recording.info.run_id, tmp_path / "ducks.jsonl")
    before = path.read_bytes()
    await export_recording(store, recording.info.run_id, path, overwrite=overwrite)
    assert path.read_bytes() == before
    path.write_bytes(before.replace(b"\n", b"\r\n"))
    await export_recording(store, recording.info.run_id, path, overwrite=overwrite)
    assert path.read_bytes().replace(b"\r\n", b"\n") == before


async def test_any_file_in_the_way_is_somebody_elses(
    store: MemorySignalStore, recording: Recording, tmp_path: Path
) -> None:
    """A file that is no recording is not replaced; when told so, what it held is kept beside."""
    path = tmp_path / "ducks.jsonl"
    path.write_text("notes of mine", encoding="utf-8")
    with pytest.raises(FixtureExistsError):
        await export_recording(store, recording.info.run_id, path)
    assert path.read_text(encoding="utf-8") == "notes of mine"

    await export_recording(store, recording.info.run_id, path, overwrite=True)

    assert (await replay(tmp_path, "ducks")).replayed
    kept = [file.read_text(encoding="utf-8") for file in (tmp_path / "unpublished").glob("ducks.jsonl.replaced*")]
    assert kept == ["notes of mine"]


async def test_names_and_files(store: MemorySignalStore, recording: Recording, tmp_path: Path) -> None:
    """Any name is found again under it; a file that the store would not look into is refused with the one it would."""
    run_id = recording.info.run_id
    for name in ("plain", "Two Ducks / 日本", "con", "../out"):
        path = await export_recording(store, run_id, tmp_path, name=name)
        assert path.parent == tmp_path
        assert await export_recording(store, run_id, path, name=name) == path
        assert (await replay(tmp_path, name)).replayed
    assert await FileSignalStore(tmp_path).list_fixtures() == sorted(["plain", "Two Ducks / 日本", "con", "../out"])

    with pytest.raises(InvalidValueError, match=r"looks for 'ducks': ducks\.jsonl"):
        await export_recording(store, run_id, tmp_path / "geese.jsonl", name="ducks")
    for path in (tmp_path, tmp_path / "Ducks.jsonl"):
        with pytest.raises(InvalidValueError, match="name="):
            await export_recording(store, run_id, path)
    for name in ("", "a\0b"):
        with pytest.raises(InvalidValueError):
            await export_recording(store, run_id, tmp_path, name=name)


async def test_out_of_the_same_folder(tmp_path: Path) -> None:
    """A run that was recorded in the folder itself becomes a fixture there, and stays one recording."""
    store = FileSignalStore(tmp_path)
    recording, _ = await newsroom(store=store)

    for overwrite in (False, True):
        path = await export_recording(store, recording.info.run_id, tmp_path, name="ducks", overwrite=overwrite)

    assert path == tmp_path / "ducks.jsonl"
    assert [info.id for info in await store.list_recordings()] == [recording.info.id]
    assert (await replay(tmp_path, "ducks")).replayed
    assert await load(store, recording.info.id) == attrs.evolve(
        recording, info=attrs.evolve(recording.info, name=(await load(store, recording.info.id)).info.name)
    )


async def test_two_exports_at_once(store: MemorySignalStore, recording: Recording, tmp_path: Path) -> None:
    """Of two runs exported under one name at once, one becomes the fixture and the other is refused."""
    other, _ = await newsroom(store=store, prompt="Shout: {{ state.facts }}")

    ended = await asyncio.gather(
        *(export_recording(store, run.info.run_id, tmp_path / "ducks.jsonl") for run in (recording, other)),
        return_exceptions=True,
    )

    assert sorted(type(one).__name__ for one in ended) == ["FixtureExistsError", type(tmp_path).__name__]
    assert await FileSignalStore(tmp_path).list_fixtures() == ["ducks"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
async def test_a_fixture_can_be_read_as_any_new_file(
    store: MemorySignalStore, recording: Recording, tmp_path: Path
) -> None:
    """A fixture is there to be committed, so its file has the mode that new files have."""
    plain = tmp_path / "plain"
    plain.touch()
    for overwrite in (False, True):
        path = await export_recording(
            store, recording.info.run_id, tmp_path / f"ducks-{overwrite}.jsonl".lower(), overwrite=overwrite
        )
        assert path.stat().st_mode == plain.stat().st_mode


@settings(max_examples=EXAMPLES)
@given(entries=logs(), marks=st.booleans())
async def test_whatever_a_store_holds_is_exported(
    tmp_path_factory: pytest.TempPathFactory, entries: list[LogEntry], marks: bool
) -> None:
    """Any log, with checkpoints, tags and metadata, is in the file what it is in the store."""
    folder, store = tmp_path_factory.mktemp("export"), MemorySignalStore()
    recording_id = await fill(store, entries, tags=("a", "b"), metadata={"build": 7})
    if marks and any(isinstance(entry, Signal) for entry in entries):
        await store.add_checkpoint(recording_id, "start", 0)
    await store.finalize(recording_id, outcome="timed_out", duration_ms=3)

    await export_recording(store, "run-1", folder, name="any")

    kept, exported = await load(store, recording_id), await load(FileSignalStore(folder), recording_id)
    assert exported.info == attrs.evolve(kept.info, name="any")
    assert (list(exported.signals), exported.checkpoints) == (list(kept.signals), kept.checkpoints)
