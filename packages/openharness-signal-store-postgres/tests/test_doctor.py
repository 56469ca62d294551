"""Examinations: every row of a recording is read, and whatever is wrong with one is a finding."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

from openharness.core import Blob, Signal, digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import DoctorReport, JSONValue
    from openharness.signal_store_postgres import PostgresSignalStore

    NewStore = Callable[..., PostgresSignalStore]
    Make = Callable[..., list[Signal]]
    Sql = Callable[..., Awaitable[list[Any]]]


def codes(report: DoctorReport, severity: str = "error") -> set[str]:
    """The codes of the findings that are as bad as this."""
    return {finding.code for finding in report.of(severity)}


async def fill(store: PostgresSignalStore, make: Make, count: int = 3) -> list[str]:
    """Record some runs with something in every table, and return their ids."""
    ids: list[str] = []
    for number in range(count):
        message: JSONValue = {"role": "user", "content": f"hello {number}"}
        recording_id = await store.create_recording(
            run_id=f"run-{number}", name="a", tags=["x", "y"], metadata={"tenant": number, "list": [1, 2]}
        )
        ids.append(recording_id)
        long_name = "text:" + "n" * 300
        await store.append(
            recording_id, [Blob(digest(message), message), *make(5), *make(2, start=5, name=long_name, payload="\0")]
        )
        await store.add_checkpoint(recording_id, "here", 3)
        await store.publish(recording_id, f"fixture-{number}")
        await store.finalize(recording_id, outcome="completed", duration_ms=1)
    return ids


async def test_the_facts_of_healthy_tables(new_store: NewStore, make: Make) -> None:
    """Everything that can be recorded is found to be as it was recorded, and is counted."""
    async with new_store() as store:
        await fill(store, make)
        await store.create_recording(run_id="empty")
        report = await store.doctor()
    assert report.is_healthy, str(report)
    wanted = {"schema version of signals": 1, "recordings": 4, "signals": 21}
    assert {key: report.facts[key] for key in wanted} == wanted


DAMAGES = (
    "UPDATE openharness_signals SET payload = '{}' WHERE seq = 3 AND recording = $1",
    "UPDATE openharness_recordings SET signal_count = 8 WHERE number = $1",
    "UPDATE openharness_blobs SET data = '1' WHERE recording = $1",
    "UPDATE openharness_checkpoints SET seq = 4 WHERE recording = $1",
    "UPDATE openharness_fixtures SET name = name || '!' WHERE recording = $1",
    "UPDATE openharness_recording_tags SET tag = 'z' WHERE tag = '\"x\"' AND recording = $1",
    "DELETE FROM openharness_recording_metadata WHERE recording = $1",
    "DELETE FROM openharness_signals WHERE seq = 6 AND recording = $1",
    "DELETE FROM openharness_signals WHERE seq = 2 AND recording = $1",
    "DELETE FROM openharness_signals WHERE recording = $1",
)


async def test_what_somebody_else_changed_is_told(new_store: NewStore, make: Make, sql: Sql) -> None:
    """Each change of any row behind the back of the store is a finding about its recording, and about no other."""
    async with new_store() as store:
        ids = await fill(store, make, count=len(DAMAGES) + 2)
    rows = await sql("SELECT id, number FROM openharness_recordings")
    numbers: dict[str, int] = {row[0]: row[1] for row in rows}
    for recording_id, statement in zip(ids[1:-1], DAMAGES, strict=True):
        await sql(statement, numbers[recording_id])
    report = await new_store().doctor()
    assert codes(report) == {"damaged-record"}, str(report)
    assert sorted(str(finding.record_id) for finding in report.of("error")) == sorted(ids[1:-1])


async def test_names_that_lead_to_nothing_are_told(new_store: NewStore, make: Make, sql: Sql) -> None:
    """Where a recording is not found by a name that its signals have, that is an error, and what to do about it helps."""
    async with new_store() as store:
        await fill(store, make)
    await sql("DELETE FROM openharness_signal_names WHERE name <> 'text:delta'")
    (finding,) = (await new_store().doctor()).of("error")
    assert finding.code == "damaged-index"
    assert finding.advice is not None
    await sql(finding.advice.split("`")[1])
    assert (await new_store().doctor()).is_healthy


async def test_what_belongs_to_nothing_is_told(new_store: NewStore, make: Make, sql: Sql) -> None:
    """Rows of a recording that is not there any more are an error for each table that has them."""
    async with new_store() as store:
        _, second, _ = await fill(store, make)
    await sql("ALTER TABLE openharness_recordings DISABLE TRIGGER USER")
    await sql("DELETE FROM openharness_recordings WHERE id = $1", second)
    await sql("ALTER TABLE openharness_recordings ENABLE TRIGGER USER")
    report = await new_store().doctor()
    assert [finding.code for finding in report.of("error")] == ["orphans"] * 7


async def test_a_record_with_several_damages_is_told_once(new_store: NewStore, make: Make, sql: Sql) -> None:
    """However much of a recording is damaged, it is one finding; the others are counted."""
    async with new_store() as store:
        await fill(store, make)
    await sql(
        "UPDATE openharness_signals SET payload = '0' WHERE recording <> (SELECT min(number) FROM openharness_recordings)"
    )
    report = await new_store().doctor()
    assert [finding.code for finding in report.of("error")] == ["damaged-record"] * 2
    assert (report.facts["recordings"], report.facts["signals"]) == (3, 7)


async def test_an_examination_takes_the_memory_of_a_few_rows(new_store: NewStore, make: Make) -> None:
    """All signals are read, and no more than a few of them are here at a time."""
    async with new_store() as store:
        recording_id = await store.create_recording(run_id="run")
        for start in range(0, 1_000, 500):
            await store.append(recording_id, make(500, start=start, payload="x" * 4_000))
        await store.doctor()
        tracemalloc.start()
        try:
            report = await store.doctor()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert report.facts["signals"] == 1_000
    assert most < 250 * 4_000
