"""The stores of other projects behind the few calls that the comparison makes, and ours behind the same.

Each keeps one state a run, durable to a power cut as it comes. What a project does not offer is None.
"""

from __future__ import annotations

import abc
import asyncio
import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, cast

import aiosqlite
from agents import SQLiteSession
from burr.core import State
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister
from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from list_runs import STATE, fill, make_run

from openharness.core import RunQuery
from openharness.run_store_sqlite import SqliteRunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from openharness.core import RunRecord

__all__ = ("PAGE", "STORES", "Burr", "Dbos", "LangGraph", "OpenAIAgents", "Ours", "PeerStore")

PAGE = 50
"""How many runs a page has."""


def name_of(number: int) -> str:
    """The id of a run; ids sort by time."""
    return f"run_{number:022d}"


class PeerStore(abc.ABC):
    """One open store.

    Args:
        path: Its file.
    """

    name: ClassVar[str]
    """What the tables call it."""
    most: ClassVar[int] = 1_000_000
    """Among how many runs it is measured."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abc.abstractmethod
    async def __aenter__(self) -> Self: ...

    @abc.abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abc.abstractmethod
    async def save(self, run: RunRecord) -> None:
        """Save the state of a new run."""

    @abc.abstractmethod
    async def load(self, number: int) -> object:
        """Return one run with its state."""

    @abc.abstractmethod
    async def fill(self, first: int, end: int) -> None:
        """Add the runs with these numbers as rows like those that saving them writes, quickly."""

    async def page(self, total: int, depth: int) -> Sequence[object] | None:
        """Return a page of the newest runs with their states, after so many; None where there is no such call."""
        del total, depth
        return None

    async def of_tenant(self) -> Sequence[object] | None:
        """Return the newest page of one tenant of 50; None where there is no such call."""
        return None


class Ours(PeerStore):
    """`SqliteRunStore`; each run has four keys of metadata, all of them indexed."""

    name = "OpenHarness"

    async def __aenter__(self) -> Self:
        self._store = await SqliteRunStore(self.path).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()

    async def save(self, run: RunRecord) -> None:
        await self._store.save_run(run)

    async def load(self, number: int) -> object:
        return await self._store.get_run(name_of(number))

    async def fill(self, first: int, end: int) -> None:
        await asyncio.to_thread(fill, self.path, end, first)

    async def page(self, total: int, depth: int) -> Sequence[object] | None:
        # What the caller of a deep page has is the cursor of the page before it.
        cursor = make_run(total - depth).cursor if depth else None
        return await self._store.list_runs(RunQuery(limit=PAGE, cursor=cursor))

    async def of_tenant(self) -> Sequence[object] | None:
        return await self._store.list_runs(RunQuery(metadata={"tenant": "t7"}, limit=PAGE))


class LangGraph(PeerStore):
    """`AsyncSqliteSaver`: a thread for each run, the state in one channel of one checkpoint."""

    name = "LangGraph"

    async def __aenter__(self) -> Self:
        self._manager = AsyncSqliteSaver.from_conn_string(str(self.path))
        self._saver = await self._manager.__aenter__()
        await self._saver.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._manager.__aexit__(None, None, None)

    async def save(self, run: RunRecord) -> None:
        await self._saver.aput(self._place(run.id), self._checkpoint(run.state), self._step(), {"state": 1})

    async def load(self, number: int) -> object:
        return await self._saver.aget_tuple(self._place(name_of(number)))

    async def fill(self, first: int, end: int) -> None:
        await self.save(make_run(end))
        changed = {
            "thread_id": name_of,
            "checkpoint_id": lambda number: f"{number:032x}",
            "metadata": lambda number: b'{"tenant":"t%d","rare":%d}' % (number % 50, number % 10_000),
        }
        template = f"thread_id = '{name_of(end)}'"
        await asyncio.to_thread(_multiply, sqlite3, self.path, "checkpoints", template, changed, range(first, end))

    async def page(self, total: int, depth: int) -> Sequence[object] | None:
        before: Any = {"configurable": {"checkpoint_id": f"{total - depth:032x}"}} if depth else None
        return [found async for found in self._saver.alist(None, before=before, limit=PAGE)]

    async def of_tenant(self) -> Sequence[object] | None:
        return [found async for found in self._saver.alist(None, filter={"tenant": "t7"}, limit=PAGE)]

    @staticmethod
    def _place(run_id: str) -> Any:
        return {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}

    @staticmethod
    def _step() -> Any:
        return {"source": "loop", "step": 1, "parents": {}}

    @staticmethod
    def _checkpoint(state: object) -> Any:
        checkpoint = create_checkpoint(empty_checkpoint(), None, 1)
        checkpoint["channel_values"] = {"state": state}
        checkpoint["channel_versions"] = {"state": 1}
        return checkpoint


class OpenAIAgents(PeerStore):
    """`SQLiteSession`: a session for each run, the state as the text of one item. Sessions cannot be listed.

    Sessions are made before they are saved to, one for each task; who loads makes one, which opens the file.
    """

    name = "openai-agents"

    async def __aenter__(self) -> Self:
        self._free = [SQLiteSession(f"task {number}", self.path) for number in range(256)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._free:
            session.close()

    async def save(self, run: RunRecord) -> None:
        session = self._free.pop()
        await session.add_items([{"role": "assistant", "content": cast("Any", run.state)}])
        self._free.append(session)

    async def load(self, number: int) -> object:
        session = SQLiteSession(name_of(number), self.path)
        try:
            return await session.get_items()
        finally:
            session.close()

    async def fill(self, first: int, end: int) -> None:
        text = json.dumps({"role": "assistant", "content": STATE})
        await asyncio.to_thread(self._insert, text, range(first, end))

    def _insert(self, text: str, numbers: range) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("BEGIN")
        names = ((name_of(number),) for number in numbers)
        connection.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", names)
        items = ((name_of(number), text) for number in numbers)
        connection.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", items)
        connection.execute("COMMIT")
        connection.close()


class Burr(PeerStore):
    """`AsyncSQLitePersister`: an application for each run. What it lists are all ids; states are loaded one by one."""

    name = "burr"

    async def __aenter__(self) -> Self:
        self._persister = AsyncSQLitePersister(await aiosqlite.connect(self.path))
        await self._persister.initialize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._persister.cleanup()

    async def save(self, run: RunRecord) -> None:
        await self._persister.save(None, run.id, 1, "step", State(run.state), "completed")

    async def load(self, number: int) -> object:
        return await self._persister.load(None, name_of(number))

    async def fill(self, first: int, end: int) -> None:
        await self.save(make_run(end))
        changed = {"app_id": name_of, "created_at": lambda number: f"2026-01-01 00:00:{number:010d}"}
        template = f"app_id = '{name_of(end)}'"
        await asyncio.to_thread(_multiply, sqlite3, self.path, "burr_state", template, changed, range(first, end))

    async def page(self, total: int, depth: int) -> Sequence[object] | None:
        del total
        names = await self._persister.list_app_ids()
        return [await self._persister.load(None, name) for name in names[depth : depth + PAGE]]


class Dbos(PeerStore):
    """A workflow of one step for each run, which returns the state: durable execution, so more than saving a state.

    It needs SQLite 3.42; where Python has an older one, ``pysqlite3`` brings one along for it.
    """

    name = "DBOS"
    most = 100_000  # 7 KB a run

    async def __aenter__(self) -> Self:
        system = sys.modules["sqlite3"], sys.modules["sqlite3.dbapi2"]
        if sqlite3.sqlite_version_info < (3, 42):
            import pysqlite3

            sys.modules["sqlite3"], sys.modules["sqlite3.dbapi2"] = pysqlite3, pysqlite3.dbapi2
        self._sqlite = sys.modules["sqlite3"]
        try:
            from dbos import DBOS, SetWorkflowID

            self._dbos, self._with_id = DBOS, SetWorkflowID
            url = f"sqlite:///{self.path}"
            DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})

            @DBOS.step()
            async def finish(state: Any) -> Any:
                return state

            @DBOS.workflow()
            async def workflow(state: Any) -> Any:
                return await finish(state)

            DBOS.launch()
        finally:
            sys.modules["sqlite3"], sys.modules["sqlite3.dbapi2"] = system
        self._workflow = workflow
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dbos.destroy(destroy_registry=True)
        # It has made its own threads those of the event loop, and ended them.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    async def save(self, run: RunRecord) -> None:
        # An id is executed once: the runs that are saved come again and again.
        self._count = getattr(self, "_count", 0) + 1
        with self._with_id(f"{run.id} {self._count}"):
            await self._workflow(run.state)

    async def load(self, number: int) -> object:
        (found,) = await self._dbos.list_workflows_async(workflow_ids=[name_of(number)])
        return found

    async def fill(self, first: int, end: int) -> None:
        template = make_run(end)
        await self.save(template)
        identifier = f"{template.id} {self._count}"
        connection = self._sqlite.connect(self.path)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        connection.close()
        for table in tables:
            changed = {
                "workflow_uuid": name_of,
                "creator_xid": name_of,
                "created_at": lambda number: 1_700_000_000_000 + number,
            }
            where = f"workflow_uuid = '{identifier}'"
            await asyncio.to_thread(_multiply, self._sqlite, self.path, table, where, changed, range(first, end))

    async def page(self, total: int, depth: int) -> Sequence[object] | None:
        del total
        return await self._dbos.list_workflows_async(limit=PAGE, offset=depth, sort_desc=True)


def _multiply(  # noqa: PLR0917
    sqlite: Any, path: Path, table: str, where: str, changed: dict[str, Callable[[int], Any]], numbers: Iterable[int]
) -> None:
    """Add a row for each number that is like the given one but for some columns, which is removed."""
    connection = sqlite.connect(path, isolation_level=None)
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    if changed.keys() & set(names) and next(iter(changed)) in names:
        rows = connection.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()  # noqa: S608
        connection.execute("BEGIN")
        connection.execute(f"DELETE FROM {table} WHERE {where}")  # noqa: S608
        for row in rows:
            given = dict(zip(names, row, strict=True))
            made = [changed.get(name) for name in names]
            values = (
                tuple(
                    make(number) if make is not None else value
                    for make, value in zip(made, given.values(), strict=True)
                )
                for number in numbers
            )
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", values)  # noqa: S608
        connection.execute("COMMIT")
    connection.close()


STORES: tuple[type[PeerStore], ...] = (Ours, LangGraph, OpenAIAgents, Burr, Dbos)
"""All of them, ours first."""
