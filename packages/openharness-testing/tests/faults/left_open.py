"""Older releases have a store open while a newer one brings its tables forward: processes that write, and a migration.

    python left_open.py runs|signals PLACE PROCESSES ROUNDS [not-looking]

PLACE is the URL of a PostgreSQL server with a schema of its own, or a folder for SQLite files. In each round processes of
today's release open a store and write as fast as they can, and tell of each write that returned. Meanwhile a release that
is one version later opens it. Its migration makes a table of what is there, and from then on the release believes in it.
``not-looking`` is the control: processes that do not look for a newer release; they end after some writes more.

Prints one line: acknowledged; refused (the processes whose writes ended with the error that says so); late (rows that
came after the migration: the newer release does not find them); lost (what was acknowledged and is not there).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import attrs

import openharness.run_store_postgres._store as runs_on_postgres
import openharness.run_store_sqlite._store as runs_in_sqlite
import openharness.signal_store_postgres._store as signals_on_postgres
import openharness.signal_store_sqlite._store as signals_in_sqlite
from openharness.core import RunRecord, Signal, StoreVersionError
from openharness.core.plugins import open_run_store, open_signal_store
from openharness.postgres import Names
from openharness.sqlite import Schema
from openharness.sqlite._guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from openharness.core import RunStore, SignalStore

__all__ = ("Place", "next_version", "place_of")

_BEFORE: Final = 5
"""How many writes of each process return before the migration begins."""

_MOST: Final = 12_000
"""How many more are waited for at most."""


@attrs.frozen
class Place:
    """Where the tables of a store are.

    Attributes:
        kind: Of which store: ``runs`` or ``signals``.
        url: The URL of the store.
        path: The file; None on a server.
        dsn: The server.
        schema: The schema there.
    """

    kind: str
    url: str
    path: Path | None = None
    dsn: str = ""
    schema: str = ""

    def open(self) -> Any:
        """Return a store, which opens itself with its first use."""
        return open_run_store(self.url) if self.kind == "runs" else open_signal_store(self.url)

    @property
    def module(self) -> Any:
        """The module that knows which version its release has."""
        if self.path is not None:
            return runs_in_sqlite if self.kind == "runs" else signals_in_sqlite
        return runs_on_postgres if self.kind == "runs" else signals_on_postgres

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement from outside of any store; ``{t}`` in it comes before the name of a table."""
        return self._each((statement,))[0]

    def content(self) -> list[list[tuple[Any, ...]]]:
        """Return every row of every table, in any order that stays."""
        if self.path is not None:
            names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        else:
            names = f"SELECT substr(tablename, 13) FROM pg_tables WHERE schemaname = '{self.schema}' ORDER BY 1"  # noqa: S608
        found = self._each([f"SELECT * FROM {{t}}{name}" for (name,) in self.sql(names)])  # noqa: S608
        return [sorted(rows, key=repr) for rows in found]

    def drop(self) -> None:
        """Leave nothing on a server."""
        if self.path is None:
            name = self.schema.replace('"', '""')
            asyncio.run(self._ask([f'DROP SCHEMA IF EXISTS "{name}" CASCADE']))

    def _each(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        if self.path is None:
            return asyncio.run(self._ask(statements))
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=60)) as connection:
            return [connection.execute(statement.replace("{t}", "")).fetchall() for statement in statements]

    async def _ask(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            before = f'"{self.schema}".openharness_'
            return [[tuple(row) for row in await connection.fetch(one.replace("{t}", before))] for one in statements]
        finally:
            await connection.close()


def place_of(kind: str, where: str) -> Place:
    """Return a new place on a server or in a folder."""
    schema = f"left_{secrets.token_hex(8)}"
    if "://" in where:
        return Place(kind, f"{where}{'&' if '?' in where else '?'}schema={schema}", dsn=where, schema=schema)
    path = Path(where, f"{schema}.db")
    return Place(kind, f"sqlite:///{path}", path=path)


@contextlib.contextmanager
def next_version(place: Place, *between: Any, notes: str = "notes") -> Generator[None]:
    """Be a release that is one version later: for stores that are made inside.

    Its migration notes every run, or every signal, in a table of its own.

    Args:
        place: Of which store.
        between: Further steps of the migration, before the rows are noted.
        notes: The name of the table.
    """
    module = place.module
    today = module.SCHEMA
    columns, table = ("id", "runs") if place.kind == "runs" else ("recording, seq", "signals")

    def steps(before: str) -> Sequence[Any]:
        return (
            f"CREATE TABLE {before}{notes} AS SELECT {columns} FROM {before}{table} LIMIT 0",  # noqa: S608
            *between,
            f"INSERT INTO {before}{notes} SELECT {columns} FROM {before}{table}",  # noqa: S608
        )

    def on_a_server(names: Names) -> Sequence[str]:
        return steps(f"{names.quoted_schema}.{names.prefix}")

    new = steps("") if place.path is not None else on_a_server
    module.SCHEMA = attrs.evolve(today, migrations=(*today.migrations, new))
    try:
        yield
    finally:
        module.SCHEMA = today


async def write(place: Place, number: int, tell: Callable[[str], None]) -> bool:
    """Write until that is refused, and tell of each write that returned; return whether it was refused as it should be."""

    async def save(store: RunStore, task: int) -> None:
        for count in range(1_000_000):
            run_id = f"{number}-{task}-{count}"
            await store.save_run(RunRecord(run_id, created_at=count, state={"n": count}, metadata={"n": count}))
            tell(run_id)

    async def record(store: SignalStore, task: int) -> None:
        for _ in range(1_000_000):
            recording_id = await store.create_recording(run_id=f"{number}-{task}")
            for seq in range(5):
                await store.append(
                    recording_id, [Signal(f"s{seq}", name=f"n{task}", payload=seq, timestamp=seq, seq=seq)]
                )
                tell(f"{recording_id} {seq}")

    async with place.open() as store:
        work = save if place.kind == "runs" else record
        ends = await asyncio.gather(*(work(store, task) for task in range(3)), return_exceptions=True)
    for end in ends:
        if not isinstance(end, StoreVersionError):
            sys.stderr.write(f"{end!r}\n")
    version = place.module.SCHEMA.version
    return all(
        isinstance(end, StoreVersionError) and (end.found, end.supported) == (version + 1, version) for end in ends
    )


def do_not_look() -> None:
    """Be a release that does not look for newer ones."""
    Schema.unless_newer = property(lambda _: "true")  # type: ignore[assignment, method-assign]
    Guard.check = lambda *_: None  # type: ignore[method-assign]
    Names.unless_newer = property(lambda _: "true")  # type: ignore[assignment, method-assign]


def start(place: Place, number: int, *, looking: bool) -> tuple[int, int]:
    """Fork a process that writes; return its id, and where it tells of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        if not looking:
            do_not_look()
        if asyncio.run(write(place, number, lambda text: bool(os.write(writing, f"{text}\n".encode())))):
            status = 0
    finally:
        os._exit(status)


def one_round(place: Place, processes: int, *, looking: bool) -> dict[str, int]:
    """Let processes write, bring the tables forward meanwhile, and return what came of it."""

    async def use() -> None:
        async with place.open() as store:
            await (store.count_runs() if place.kind == "runs" else store.count_recordings())

    asyncio.run(use())
    children = [start(place, number, looking=looking) for number in range(processes)]
    told: list[list[str]] = [[] for _ in children]
    lines = [os.fdopen(reading) for _, reading in children]

    def hear(count: int) -> None:
        for some, heard in zip(lines, told, strict=True):
            heard += [some.readline().strip() for _ in range(count)]

    hear(_BEFORE)
    pause = "SELECT pg_sleep(0.02)" if place.path is None else lambda _: time.sleep(0.02)
    with next_version(place, pause):
        asyncio.run(use())
    if looking:
        for some, heard, (child, _) in zip(lines, told, children, strict=True):
            # What was told before may still be on its way: 64 KiB, in lines of 6 bytes at least.
            heard += [line.strip() for line in itertools.islice(some, _MOST)]
            if some.readline():
                os.kill(child, signal.SIGKILL)
    else:
        # They go on as if nothing had happened.
        while not late(place):
            hear(10)
    for some, (child, _) in zip(lines, children, strict=True):
        some.close()
        if not looking:
            os.kill(child, signal.SIGKILL)
    ends = [os.waitpid(child, 0)[1] for child, _ in children]
    acknowledged = [text for heard in told for text in heard]
    return {
        "acknowledged": len(acknowledged),
        "refused": ends.count(0),
        "late": late(place),
        "lost": len(set(acknowledged) - names_of(place)),
    }


def rows_of(place: Place) -> set[tuple[Any, ...]]:
    """Return what should be noted."""
    return set(place.sql("SELECT id FROM {t}runs" if place.kind == "runs" else "SELECT recording, seq FROM {t}signals"))


def late(place: Place) -> int:
    """Return how many rows the newer release does not find."""
    return len(rows_of(place) ^ set(place.sql("SELECT * FROM {t}notes")))


def names_of(place: Place) -> set[str]:
    """Return what is there, as the processes tell of it."""
    if place.kind == "runs":
        return {run_id for (run_id,) in rows_of(place)}
    rows = place.sql(
        "SELECT recordings.id, seq FROM {t}signals AS signals JOIN {t}recordings AS recordings ON number = recording"
    )
    return {f"{recording_id} {seq}" for recording_id, seq in rows}


def main(kind: str, where: str, processes: int, rounds: int, *, looking: bool) -> dict[str, int]:
    """Do it, and return what came of all rounds."""
    figures: dict[str, int] = {}
    for _ in range(rounds):
        place = place_of(kind, where)
        for name, number in one_round(place, processes, looking=looking).items():
            figures[name] = figures.get(name, 0) + number
        place.drop()
    return figures


if __name__ == "__main__":
    found = main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), looking=sys.argv[5:] != ["not-looking"])
    sys.stdout.write(" ".join(f"{name}={number}" for name, number in found.items()) + "\n")
