"""Statements that fail, one after the other, and calls that are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunQuery, RunRecord, StoreError
from openharness.run_store_sqlite import SqliteRunStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openharness.sqlite import Channel


def error(code: int, message: str = "what SQLite said") -> sqlite3.Error:
    """An error as SQLite raises it."""
    made = sqlite3.OperationalError(message)
    made.sqlite_errorcode = code
    return made


class Failing(sqlite3.Connection):
    """A connection of which the n-th statement, counted over all of them, fails."""

    left = 0
    code = sqlite3.SQLITE_IOERR

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        """Fail if it is the turn of this one."""
        Failing.left -= 1
        if Failing.left == 0:
            raise error(Failing.code)
        return super().execute(sql, *rest)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return what makes the n-th statement from now on fail with a code."""
    honest = sqlite3.connect

    def connect(database: str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = honest(database, **{"factory": Failing, **options})
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)

    def fail(number: int, code: int) -> None:
        Failing.left, Failing.code = number, code

    return fail


async def _work(store: SqliteRunStore) -> None:
    await store.save_run(RunRecord("a", created_at=1, state=1))
    await store.get_run("a")
    await asyncio.gather(
        *(store.save_run(RunRecord(f"r{n}", created_at=2, state=n, metadata={"n": n})) for n in range(5))
    )
    await store.list_runs(RunQuery(metadata={"n": 3}))
    await store.count_runs()
    await store.delete_run("r1")
    await store.prune_runs(keep_last=3, status="running")


@pytest.mark.slow
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT])
async def test_whichever_statement_fails_the_store_stays_usable(
    tmp_path: Path, failing: Callable[[int, int], None], code: int
) -> None:
    """The n-th statement fails, for each n: a StoreError or nothing, no transaction left open, and everything works."""
    number = 0
    while True:
        number += 1
        path = tmp_path / f"{number}.db"
        failing(number, code)
        async with asyncio.timeout(50):
            store = SqliteRunStore(path)
            with contextlib.suppress(StoreError):
                await _work(store)
            reached = Failing.left <= 0
            Failing.left = 0
            await _work(store)
            assert [run.id for run in await store.list_runs()] == ["r4", "r3", "r2"]
            other = sqlite3.connect(path, timeout=0, isolation_level=None)
            other.execute("BEGIN IMMEDIATE").close()
            other.execute("ROLLBACK").close()
            other.close()
            await store.close()
        if not reached:
            break
    assert number > 30


@pytest.mark.slow
async def test_a_lock_at_any_statement_is_waited_for(tmp_path: Path, failing: Callable[[int, int], None]) -> None:
    """Whichever statement meets a lock, opening included, nobody sees it."""
    number = 0
    while True:
        number += 1
        failing(number, sqlite3.SQLITE_BUSY)
        async with asyncio.timeout(50), SqliteRunStore(tmp_path / f"{number}.db") as store:
            await _work(store)
            assert [run.id for run in await store.list_runs()] == ["r4", "r3", "r2"]
        if Failing.left > 0:
            break


class Cancelling:
    """Cancels the task it watches at its n-th await, by counting how often the task is resumed."""

    def __init__(self, awaitable: Any, number: int) -> None:
        self._awaitable = awaitable
        self._left = number

    def __await__(self) -> Any:
        steps = self._awaitable.__await__()
        value, thrown = None, None
        while True:
            self._left -= 1
            try:
                if self._left == 0:
                    waited = steps.throw(asyncio.CancelledError())
                elif thrown is not None:
                    waited = steps.throw(thrown)
                else:
                    waited = steps.send(value)
            except StopIteration as stop:
                return stop.value
            value, thrown = None, None
            try:
                value = yield waited
            except BaseException as raised:  # noqa: BLE001 - handed on
                thrown = raised

    @property
    def was_cancelled(self) -> bool:
        """Whether the n-th await was reached."""
        return self._left <= 0


@pytest.mark.parametrize(
    "name", ["open", "save_run", "delete_run", "get_run", "list_runs", "count_runs", "prune_runs", "close"]
)
async def test_a_call_cancelled_at_any_await_leaves_the_store_whole(tmp_path: Path, name: str) -> None:
    """Cancelled at its first, second, … n-th await, a call has happened whole or not at all, and the store goes on."""
    calls: dict[str, Callable[[SqliteRunStore], Any]] = {
        "open": lambda store: store.__aenter__(),
        "save_run": lambda store: store.save_run(RunRecord("a", created_at=1, state=2, metadata={"n": 2})),
        "delete_run": lambda store: store.delete_run("a"),
        "get_run": lambda store: store.get_run("a"),
        "list_runs": lambda store: store.list_runs(),
        "count_runs": lambda store: store.count_runs(),
        "prune_runs": lambda store: store.prune_runs(keep_last=0, status="running"),
        "close": lambda store: store.close(),
    }
    for warm in (False, True):
        for number in range(1, 50):
            path = tmp_path / f"{warm}-{number}.db"
            async with SqliteRunStore(path) as first:
                await first.save_run(RunRecord("a", created_at=1, state=1, metadata={"n": 1}))
            store = SqliteRunStore(path)
            if warm:
                await store.count_runs()
            cancelling = Cancelling(calls[name](store), number)
            async with asyncio.timeout(50):
                with contextlib.suppress(asyncio.CancelledError):
                    await cancelling
                if name != "close":
                    found = await store.get_run("a")
                    assert found is None or found.state in (1, 2)
                    for value in (1, 2):
                        listed = await store.list_runs(RunQuery(metadata={"n": value}))
                        assert listed == ([found] if found is not None and found.state == value else [])
                    await store.save_run(RunRecord("b", created_at=1, state=3))
                    assert store._session is not None
                    writing: Channel = store._session._writing
                    assert writing._raw is not None
                    assert not writing._raw.in_transaction
                await store.close()
            if not cancelling.was_cancelled:
                break
        else:
            pytest.fail("it never ended")
