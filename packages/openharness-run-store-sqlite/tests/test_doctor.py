"""Examinations: whatever is wrong with a file is a finding, and the file stays as it is."""

# ruff: noqa: ASYNC240 - nothing else runs in the loop of a test

from __future__ import annotations

import os
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunRecord, Severity
from openharness.run_store_sqlite import SqliteRunStore
from openharness.sqlite import APPLICATION_ID, doctor
from openharness.sqlite._doctor import engine_findings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openharness.core import DoctorReport


def codes(report: DoctorReport, severity: str = "error") -> set[str]:
    """The codes of the findings that are as bad as this."""
    return {finding.code for finding in report.of(severity)}


async def filled(path: Path, count: int = 50) -> None:
    """Save runs, and close."""
    async with SqliteRunStore(path) as store:
        for number in range(count):
            await store.save_run(
                RunRecord(f"r{number}", created_at=number, state={"text": "z" * 200}, metadata={"k": number})
            )


async def test_the_facts_of_a_healthy_file(path: Path) -> None:
    """Engine, journal and sync modes in force, sizes, versions and the number of rows are told."""
    async with SqliteRunStore(path, durability="process") as store:
        await store.save_run(RunRecord("a", created_at=1, state=1))
        report = await store.doctor()
        assert report.is_healthy
        assert (report.engine, report.engine_version) == ("SQLite", sqlite3.sqlite_version)
        wanted = {
            "journal mode": "wal",
            "synchronous": "NORMAL",
            "durability": "process",
            "schema version of runs": 2,
            "runs": 1,
        }
        assert {key: report.facts[key] for key in wanted} == wanted
        assert {"bytes", "free bytes", "file system"} <= report.facts.keys()
        assert str(path) in str(report)
    async with SqliteRunStore(path) as store:
        assert (await store.doctor()).facts["durability"] == "full"
        await store.count_runs()
        assert (await store.doctor()).facts["synchronous"] == "FULL"


@pytest.mark.parametrize(
    "version, wanted",
    [
        ((3, 31, 1), {"engine-too-old", "engine-wal-reset"}),
        ((3, 40, 1), {"engine-wal-reset"}),
        ((3, 50, 6), {"engine-wal-reset"}),
        ((3, 50, 7), set()),
        ((3, 51, 0), {"engine-wal-reset"}),
        ((3, 51, 2), {"engine-wal-reset"}),
        ((3, 51, 3), set()),
        ((3, 52, 0), {"engine-withdrawn"}),
        ((3, 53, 0), set()),
    ],
)
def test_known_defects_of_the_engine(version: tuple[int, int, int], wanted: set[str]) -> None:
    """Each version of SQLite is told what is known of it."""
    assert {finding.code for finding in engine_findings(version)} == wanted


async def test_a_file_that_is_not_there(path: Path, tmp_path: Path) -> None:
    """No file is a warning, as the first save makes it; a folder is an error. Neither is created or changed."""
    report = await SqliteRunStore(path).doctor()
    assert codes(report, "warning") >= {"no-file"}
    assert not path.exists()
    assert codes(await doctor(tmp_path)) == {"no-file"}


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE customers (name)"],
        ["PRAGMA application_id = 0x12345"],
        [f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE runs (id)"],
    ],
)
async def test_a_file_of_something_else(path: Path, statements: list[str]) -> None:
    """Another program's database is told as such, and not looked into."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    assert codes(await SqliteRunStore(path).doctor()) == {"foreign-file"}
    assert path.read_bytes() == before


async def test_newer_and_older_tables(path: Path, sql: Callable[..., list[Any]]) -> None:
    """Newer tables are an error that tells both versions; the file is left as it is."""
    await filled(path)
    sql("PRAGMA user_version = 7")
    before = path.read_bytes()
    report = await SqliteRunStore(path).doctor()
    assert codes(report) == {"newer-version"}
    assert "version 7" in str(report)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"text " * 500, b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_what_is_no_database(path: Path, content: bytes) -> None:
    """Text, zeros and a torn header are damage; nothing is raised."""
    path.write_bytes(content)
    assert codes(await SqliteRunStore(path).doctor()) & {"damaged-file", "unreadable"}
    assert codes(await doctor(path)) & {"damaged-file", "unreadable"}


async def test_an_empty_file_is_one_to_be_filled(path: Path) -> None:
    """Nothing at all is what a new database looks like."""
    path.touch()
    report = await SqliteRunStore(path).doctor()
    assert report.is_healthy
    assert codes(report, "info") >= {"no-tables"}


@pytest.mark.parametrize("seed", range(25))
async def test_flipped_bits_are_told(path: Path, seed: int) -> None:
    """A bit flipped anywhere raises nothing; where a run no longer reads as it was saved, there is an error."""
    await filled(path)
    runs = {f"r{number}": {"text": "z" * 200} for number in range(50)}
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)
    place = chance.randrange(100, len(data))
    data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    report = await SqliteRunStore(path).doctor()
    try:
        async with SqliteRunStore(path) as store:
            whole = {run.id: run.state for run in await store.list_runs()} == runs
    except Exception:  # noqa: BLE001 - whatever it says, the file is damaged
        whole = False
    assert whole or not report.is_healthy, str(report)


async def test_a_damaged_index_is_told(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A row that an index does not have is found by SQLite's own check, and a row whose checksum is wrong by ours."""
    await filled(path)
    sql("UPDATE runs SET state = replace(state, 'z', 'y') WHERE id = 'r7'")
    report = await SqliteRunStore(path).doctor()
    assert [finding.record_id for finding in report.of(Severity.ERROR)] == ["r7"]
    assert report.facts["runs"] == 49


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="needs permissions that are refused")
async def test_a_read_only_file_is_told(path: Path) -> None:
    """Without write permission the file is examined all the same, with a warning."""
    await filled(path)
    path.chmod(0o444)
    report = await SqliteRunStore(path).doctor()
    assert codes(report, "warning") >= {"read-only"}


async def test_a_file_beside_a_writer(path: Path) -> None:
    """An examination waits for nobody and holds nobody up."""
    async with SqliteRunStore(path) as store:
        await store.save_run(RunRecord("a", created_at=1, state=1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        report = await doctor(path)
        other.execute("ROLLBACK")
        other.close()
        assert report.is_healthy, str(report)
