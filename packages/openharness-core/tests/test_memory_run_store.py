"""What the contract does not ask of the store in memory."""

from __future__ import annotations

import attrs

from openharness.core import InMemoryRunStore, RunQuery, RunRecord


def make_run(number: int, status: str = "completed") -> RunRecord:
    """The run with this number."""
    return RunRecord(f"run-{number}", created_at=number, status=status, state={"number": number})


async def test_an_iteration_sees_runs_as_they_are_when_it_reaches_them() -> None:
    """What was deleted, or does not match any more, is left out; what was changed otherwise comes as it is now."""
    store = InMemoryRunStore()
    for number in range(6):
        await store.save_run(make_run(number))
    seen: list[RunRecord] = []
    async for run in store.iter_runs(RunQuery(status="completed", order="oldest")):
        if not seen:
            await store.delete_run("run-1")
            await store.save_run(make_run(2, "failed"))
            await store.save_run(attrs.evolve(make_run(3), state={"number": "another"}))
        seen.append(run)
    assert [run.id for run in seen] == ["run-0", "run-3", "run-4", "run-5"]
    assert seen[1].state == {"number": "another"}
