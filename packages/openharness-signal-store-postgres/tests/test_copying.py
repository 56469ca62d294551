"""Copies between PostgreSQL and SQLite, in both directions, and continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import Blob, JSONValue, LogEntry, RunRecord, Signal, SignalStore, digest
from openharness.core.copying import copy_recordings, copy_runs, recording_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openharness.signal_store_postgres import PostgresSignalStore
    from openharness.testing.postgres import PostgresPlace

PAYLOADS: tuple[dict[str, Any], ...] = (
    {"text": "a\0b", "lone": "\ud800", "long": "\U0001f600" * 400},
    {"large": 2**63 - 1, "small": -(2**63), "float": 1e300, "zero": -0.0},
    {"\0": [None, True, ""], "nested": [[[{}]]]},
)
"""What PostgreSQL has no text or number for, beside what it has."""


async def fill(store: SignalStore) -> dict[str, str]:
    """Fill a store; return the digests of its recordings."""
    made: dict[str, str] = {}
    message: JSONValue = {"role": "user", "content": "a\0message\udfff " * 20}
    blob = Blob(digest(message), message)
    request: LogEntry = Signal(
        "run/0",
        name="provider:start",
        payload={"request": {"messages": [blob.digest], "tools": []}},
        timestamp=5,
        seq=0,
    )
    for number in range(4):
        recording_id = await store.create_recording(
            run_id=f"run-{number}", name="\U0001f600'\"%", tags=("a b", "é"), metadata={"n": 2**63 - 1, "z": "%'\\"}
        )
        await store.append(recording_id, [blob, request])
        others = [
            Signal(f"run/{seq}", name="text:delta", payload=payload, timestamp=5 - seq, seq=seq)
            for seq, payload in enumerate(PAYLOADS * (number + 1), 1)
        ]
        await store.append(recording_id, others)
        await store.add_checkpoint(recording_id, "here", 2)
        if number % 2:
            await store.finalize(recording_id, outcome="completed", duration_ms=number)
            await store.publish(recording_id, f"f-{number}")
        recording = await store.load_recording(recording_id)
        assert recording is not None
        made[recording_id] = recording_digest(recording)
    return made


async def digests(store: SignalStore) -> dict[str, str]:
    """The digests of all recordings of a store."""
    loaded = [await store.load_recording(info.id) for info in await store.list_recordings()]
    return {recording.info.id: recording_digest(recording) for recording in loaded if recording is not None}


@pytest.mark.parametrize("to_postgres", [True, False])
async def test_recordings_copied_to_the_other_database_are_equal_and_are_continued(
    new_store: Callable[..., PostgresSignalStore], tmp_path: Path, to_postgres: bool
) -> None:
    """Also with what PostgreSQL has no text for; what was appended later is copied later, and nothing is done twice."""
    sqlite = pytest.importorskip("openharness.signal_store_sqlite")
    async with new_store() as postgres, sqlite.SqliteSignalStore(tmp_path / "recordings.db") as other:
        source, target = (other, postgres) if to_postgres else (postgres, other)
        made = await fill(source)
        report = await copy_recordings(source, target)
        assert (report.copied, report.skipped, report.failed) == (4, 0, ())
        assert await digests(target) == made
        assert await target.list_fixtures() == ["f-1", "f-3"]
        (open_one,) = [info for info in await source.list_recordings() if info.run_id == "run-2"]
        later = Signal("run/10", name="text:delta", payload={"x": "\0"}, timestamp=1, seq=open_one.signal_count)
        await source.append(open_one.id, [later])
        report = await copy_recordings(source, target)
        assert (report.copied, report.skipped, report.failed) == (1, 3, ())
        assert await digests(target) == await digests(source) != made
        assert (await target.doctor()).is_healthy


@pytest.mark.parametrize("to_postgres", [True, False])
async def test_runs_copied_to_the_other_database_are_equal_and_in_the_same_order(
    openharness_postgres: PostgresPlace, tmp_path: Path, to_postgres: bool
) -> None:
    """Runs of one time keep their order, states and metadata, whatever is in them; a second copy passes over all."""
    sqlite = pytest.importorskip("openharness.run_store_sqlite")
    runs = pytest.importorskip("openharness.run_store_postgres")
    place = openharness_postgres
    async with (
        runs.PostgresRunStore(place.dsn, schema=place.schema) as postgres,
        sqlite.SqliteRunStore(tmp_path / "runs.db") as other,
    ):
        source, target = (other, postgres) if to_postgres else (postgres, other)
        for number in range(12):
            state = PAYLOADS[number % 3]
            run_id = f"{'aAéZ_-'[number % 6]}{number}"
            await source.save_run(RunRecord(run_id, created_at=number // 6, state=state, metadata={"k": number}))
        report = await copy_runs(source, target)
        assert (report.copied, report.failed) == (12, ())
        assert await target.list_runs() == await source.list_runs()
        again = await copy_runs(source, target)
        assert (again.copied, again.skipped, again.failed) == (0, 12, ())
        assert (await target.doctor()).is_healthy
