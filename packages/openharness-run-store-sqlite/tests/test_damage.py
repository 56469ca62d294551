"""Damaged files: what was saved comes back, or an error; never anything else."""

# ruff: noqa: ASYNC240 - what a test does to the file between two uses of the store holds nobody up

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import CorruptRecordError, RunQuery, RunRecord, RunStatus, StoreCorruptError, StoreError
from openharness.run_store_sqlite import SqliteRunStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
COUNTS = {"bit flips": 10_000, "random blocks": 1_000, "truncations": 1_000}
COLUMNS = (
    "created_at", "completed_at", "status", "error", "recording_id", "parent_run_id", "metadata",
    "checksum", "state_checksum", "state",
)  # fmt: skip


def make(number: int) -> RunRecord:
    """The run with this number; everything in it follows from the number."""
    return RunRecord(
        f"run-{number:03}",
        created_at=1_000 + number,
        completed_at=2_000 + number,
        state={"text": f"the text of {number} " * 8, "number": number, "list": [number / 3] * 4},
        metadata={"tenant": f"t{number % 3}", "number": number},
        status=RunStatus.FAILED if number % 7 == 0 else RunStatus.COMPLETED,
        error=f"it broke at {number}",
        recording_id=f"rec-{number}",
        parent_run_id="run-000",
    )


RUNS = {make(number).id: make(number) for number in range(24)}


async def create(path: Path) -> bytes:
    """Save `RUNS` and return the bytes of the closed file."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(run) for run in RUNS.values()))
    return path.read_bytes()


async def probe(path: Path) -> tuple[int, int, int]:
    """Read everything in several ways. Return how many answers were errors, hid a run, or were wrong."""
    errors = hidden = wrong = 0
    store = SqliteRunStore(path)
    queries = {
        "all": (RunQuery(), set(RUNS)),
        "headers": (RunQuery(include_state=False), set(RUNS)),
        "metadata": (RunQuery(metadata={"tenant": "t1"}), {run.id for run in RUNS.values() if (run.metadata or {})["tenant"] == "t1"}),
        "status": (RunQuery(status="failed"), {run.id for run in RUNS.values() if run.status == "failed"}),
    }  # fmt: skip
    for run_id, saved in RUNS.items():
        try:
            found = await store.get_run(run_id)
        except StoreError:
            errors += 1
        else:
            hidden += found is None
            wrong += found is not None and found != saved
    for query, expected in queries.values():
        try:
            runs = await store.list_runs(query)
        except StoreError:
            errors += 1
            continue
        hidden += bool(expected - {run.id for run in runs})
        for run in runs:
            saved_run = RUNS.get(run.id)
            state = run.state if query.include_state else saved_run and saved_run.state
            wrong += run.id not in expected or saved_run is None or _with_state(run, state) != saved_run
        wrong += [run.id for run in runs] != sorted((run.id for run in runs), reverse=True)
    await store.close()
    return errors, hidden, wrong


def _with_state(run: RunRecord, state: Any) -> RunRecord:
    import attrs

    return attrs.evolve(run, state=state)


@pytest.mark.slow
@pytest.mark.timeout(7_200 if LONG else 240)
@pytest.mark.parametrize("kind", COUNTS)
async def test_a_damaged_file_gives_no_wrong_answer(
    path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """Whatever is changed in the file, each answer is what was saved, or a StoreError; nothing else is raised."""
    whole = await create(path)
    assert await probe(path) == (0, 0, 0)
    chance = random.Random(7)
    noticed = unnoticed = 0
    count = COUNTS[kind] if LONG else 120
    for _ in range(count):
        data = bytearray(whole)
        if kind == "bit flips":
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif kind == "random blocks":
            start = chance.randrange(len(data) // 512) * 512
            data[start : start + 512] = chance.randbytes(512)
        else:
            del data[chance.randrange(len(data)) :]
        for companion in path.parent.iterdir():
            companion.unlink()
        path.write_bytes(data)
        errors, hidden, wrong = await probe(path)
        if kind == "truncations" and not data:
            # An empty file is an empty database: nobody can know what was in it.
            assert (errors, hidden, wrong) == (0, len(RUNS) + 4, 0)
            continue
        assert wrong == 0
        noticed += errors > 0
        unnoticed += errors == 0 and hidden > 0
    record_property(kind, count)
    record_property("noticed", noticed)
    record_property("wrong", 0)
    record_property("hidden by an index", unnoticed)
    assert noticed > 0
    # SQLite keeps no checksums of its indexes, so damage there could hide a run from a search without a word.
    assert unnoticed <= noticed / 10


@pytest.mark.parametrize("column", COLUMNS)
async def test_each_column_is_covered_by_a_checksum(path: Path, sql: Callable[..., list[Any]], column: str) -> None:
    """A value of the right type in any column of a row is noticed, and the error names the run; the others are fine."""
    await create(path)
    value: object = 77 if column.endswith("_at") else '{"other":1}' if column in ("state", "metadata") else "completed"
    sql(f"UPDATE runs SET {column} = ? WHERE id = 'run-007'", value)  # noqa: S608 - a name of our own
    async with SqliteRunStore(path) as store:
        with pytest.raises(CorruptRecordError) as caught:
            await store.get_run("run-007")
        assert caught.value.record_id == "run-007"
        assert "SqliteRunStore" in caught.value.store
        with pytest.raises(CorruptRecordError):
            await store.list_runs()
        if column != "state":
            with pytest.raises(CorruptRecordError):
                await store.list_runs(RunQuery(include_state=False))
        else:
            assert len(await store.list_runs(RunQuery(include_state=False))) == len(RUNS)
        assert await store.get_run("run-008") == RUNS["run-008"]
        assert len(await store.list_runs(RunQuery(created_after=1_008))) == len(RUNS) - 8
        await store.save_run(RUNS["run-007"])
        assert await store.get_run("run-007") == RUNS["run-007"]


def foreign(chance: random.Random) -> bytes:
    """Return a file that is none of ours: noise, text, a part of a database, or one of something else."""
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 10_000))
    if kind == 1:
        return "\n".join(f"line {number}" for number in range(chance.randrange(1, 500))).encode()
    if kind == 2:
        return bytes(chance.randrange(1, 10_000))
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA page_size = {chance.choice([512, 4096, 65536])}")
    if chance.random() < 0.5:
        connection.execute(f"PRAGMA user_version = {chance.randrange(1, 100)}")
    if chance.random() < 0.3:
        connection.execute(f"PRAGMA application_id = {chance.randrange(1, 1 << 30)}")
    for name in chance.sample(["runs", "run_metadata", "signals", "customers"], chance.randint(1, 4)):
        connection.execute(f"CREATE TABLE {name} (id, value)")
        connection.execute(f"INSERT INTO {name} VALUES (1, 2)")  # noqa: S608 - one of four words
    connection.commit()
    data: bytes = connection.serialize()
    connection.close()
    # All of it, or without its end.
    return data if kind == 3 else data[: chance.randrange(16, len(data))]


@pytest.mark.slow
async def test_a_foreign_file_is_refused_and_left_as_it_is(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever it is that is not ours, it is a StoreError, for reading and writing, and no byte of it changes."""
    chance = random.Random(11)
    count = 100 if LONG else 20
    for number in range(count):
        data = foreign(chance)
        for companion in path.parent.iterdir():
            companion.unlink()
        path.write_bytes(data)
        store = SqliteRunStore(path)
        for use in (store.save_run(make(1)), store.list_runs()):
            with pytest.raises(StoreError):
                await use
        await store.close()
        assert path.read_bytes() == data, number
    record_property("foreign files", count)


async def test_two_rows_that_changed_places_are_noticed(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A state with its checksum, put beside another id, does not pass for that run's."""
    await create(path)
    sql(
        "UPDATE runs SET (state, state_checksum) = (SELECT state, state_checksum FROM runs WHERE id = 'run-002') "
        "WHERE id = 'run-001'"
    )
    async with SqliteRunStore(path) as store:
        with pytest.raises(CorruptRecordError):
            await store.get_run("run-001")


@pytest.mark.parametrize("column", ["status", "error", "metadata", "state_checksum", "checksum", "state"])
@pytest.mark.parametrize("value", [b"\xff\xfe", b"caf\xe9"])
async def test_text_that_is_not_utf8_is_of_one_row(
    path: Path, sql: Callable[..., list[Any]], value: bytes, column: str
) -> None:
    """Broken characters in one row are an error of that row, and not of every listing that touches its page."""
    await create(path)
    sql(f"UPDATE runs SET {column} = CAST(? AS TEXT) WHERE id = 'run-003'", value)  # noqa: S608 - a name of our own
    async with SqliteRunStore(path) as store:
        with pytest.raises(CorruptRecordError) as caught:
            await store.list_runs()
        assert caught.value.record_id == "run-003"
        assert "not UTF-8" in caught.value.reason
        assert len(await store.list_runs(RunQuery(created_after=1_004))) == len(RUNS) - 4


async def test_an_index_that_misleads_is_noticed(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A listing checks that each run it was led to meets the conditions."""
    await create(path)
    sql("UPDATE run_metadata SET value = '\"t1\"' WHERE run_id = 'run-000' AND key = 'tenant'")
    async with SqliteRunStore(path) as store:
        with pytest.raises(StoreCorruptError, match="REINDEX"):
            await store.list_runs(RunQuery(metadata={"tenant": "t1"}))


async def test_pruning_by_an_index_that_is_damaged_deletes_nothing(path: Path, sql: Callable[..., list[Any]]) -> None:
    """Where the index has something else than a time and an id, pruning fails with the error for that."""
    await create(path)
    sql("UPDATE runs SET id = CAST(? AS TEXT), status = 'completed' WHERE id = 'run-003'", b"caf\xe9")
    async with SqliteRunStore(path) as store:
        with pytest.raises(StoreCorruptError, match="REINDEX"):
            await store.prune_runs(keep_last=0)
    assert sql("SELECT count(*) FROM runs") == [(len(RUNS),)]
