"""Bring the tables of a store forward from many processes at once, or from one that is killed meanwhile.

    python bring_forward.py runs|signals PLACE together|killed PROCESSES-OR-KILLS none|old [in-parts]

PLACE is the URL of a PostgreSQL server with a schema of its own, or a folder for a SQLite file. In the beginning there is
nothing (``none``), or there are tables of an older version with something in them (``old``): in SQLite those of version 1
as they were; on PostgreSQL, where there is no older version yet, those of today, and code of a version that is three
later. ``together``: all processes open the store at the same moment. ``killed``: each cycle forks a process that opens
the store, and kills it at a random moment; then there is the one version or the other, in all that makes a version, and
the next opening completes it. ``in-parts`` is the control: migrations that commit in between.

Prints one line: openings, kills, half (between versions), lost (what was there before, or was saved by those who opened).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
import attrs

import openharness.run_store_postgres._store as runs_on_postgres
import openharness.signal_store_postgres._store as signals_on_postgres
from openharness.core import RecordingQuery, RunQuery, RunRecord, Signal
from openharness.core.plugins import open_run_store, open_signal_store
from openharness.signal_store_sqlite._schema import SCHEMA as SIGNALS_IN_SQLITE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from openharness.core import RunStore, SignalStore
    from openharness.postgres import Names

__all__ = ()

COUNT: Final = 12


def make_run(name: str) -> RunRecord:
    """The run of this name."""
    return RunRecord(name, created_at=1, state={"text": name * 20}, metadata={"by": name})


def make_signals(name: str) -> list[Signal]:
    """The signals of the run of this name."""
    return [
        Signal(f"{name}/{seq}", name=f"text:{name}", payload={"n": seq}, timestamp=seq, seq=seq) for seq in range(10)
    ]


async def fill_runs(store: RunStore, names: Sequence[str]) -> None:
    """Save something."""
    await asyncio.gather(*(store.save_run(make_run(name)) for name in names))


async def fill_signals(store: SignalStore, names: Sequence[str]) -> None:
    """Record something."""

    async def record(name: str) -> None:
        recording_id = await store.create_recording(run_id=name, metadata={"by": name}, tags=[name])
        await store.append(recording_id, make_signals(name))

    await asyncio.gather(*map(record, names))


async def lost_runs(store: RunStore, names: Sequence[str]) -> int:
    """Count what is not there, or not found by its metadata."""
    found = await store.list_runs(RunQuery())
    lost = len({name for name in names if make_run(name) not in found})
    by_metadata = [len(await store.list_runs(RunQuery(metadata={"by": name}))) for name in names]
    return lost + abs(len(found) - len(names)) + sum(count != 1 for count in by_metadata)


async def lost_signals(store: SignalStore, names: Sequence[str]) -> int:
    """Count what is not there, or not found by its metadata and by the names of its signals."""
    lost = abs(await store.count_recordings() - len(names))
    for name in names:
        matches = await store.search_recordings(f"text:{name}", RecordingQuery(metadata={"by": name}, tags=[name]))
        recording = await store.load_recording(matches[0].info.id) if len(matches) == 1 else None
        lost += recording is None or list(recording.signals) != make_signals(name)
    return lost


@attrs.define
class Place(ABC):
    """Where the tables are.

    Attributes:
        kind: Of which store: ``runs`` or ``signals``.
        url: The URL of the store.
    """

    kind: str
    url: str

    def open(self) -> Any:
        """Return the store, which opens itself with its first use."""
        return open_run_store(self.url) if self.kind == "runs" else open_signal_store(self.url)

    async def use(self, names: Sequence[str]) -> None:
        """Open the store and save something of these names."""
        async with self.open() as store:
            await (fill_runs if self.kind == "runs" else fill_signals)(store, names)

    async def lost(self, names: Sequence[str]) -> int:
        """Count what is not there."""
        async with self.open() as store:
            return await (lost_runs if self.kind == "runs" else lost_signals)(store, names)

    @abstractmethod
    def keep(self) -> None:
        """Make what is there the older version."""

    @abstractmethod
    def renew(self, begin: str) -> None:
        """Make it as it was in the beginning."""

    @abstractmethod
    def state(self) -> str:
        """Return ``none``, ``old``, ``new`` or ``half``."""


@attrs.define
class File(Place):
    """A SQLite file."""

    path: Path
    content: bytes = b""

    def keep(self) -> None:
        """Take back what version 2 brought."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            if self.kind == "runs":
                connection.execute("PRAGMA user_version = 1")
            else:
                for table in ("recording_metadata", "signal_names"):
                    connection.execute(f"DROP TABLE {table}")
                connection.execute("UPDATE openharness_schema SET version = 1")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.content = self.path.read_bytes()

    def renew(self, begin: str) -> None:
        """Put the file back."""
        for file in self.path.parent.iterdir():
            file.unlink()
        if begin == "old":
            self.path.write_bytes(self.content)

    def state(self) -> str:
        """Look into the file."""
        if not self.path.exists() or not self.path.stat().st_size:
            return "none"
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if self.kind == "signals" and "openharness_schema" in tables:
                ((version,),) = connection.execute("SELECT version FROM openharness_schema").fetchall()
            has_all = {self.kind if self.kind == "runs" else "signal_names"} <= tables
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return "half"
            if self.kind == "signals" and has_all:
                names = "SELECT count(DISTINCT name) FROM {}"
                counts = [connection.execute(names.format(table)).fetchone() for table in ("signals", "signal_names")]
                has_all = counts[0] == counts[1]
        if not tables and version == 0:
            return "none"
        newest = len(SIGNALS_IN_SQLITE.migrations)
        if self.kind == "signals":
            return {(1, False): "old", (newest, True): "new"}.get((version, has_all), "half")
        return {(1, True): "old", (2, True): "new"}.get((version, has_all), "half")


@attrs.define
class Tables(Place):
    """Tables on a PostgreSQL server."""

    schema: str
    in_parts: bool
    module: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.module = runs_on_postgres if self.kind == "runs" else signals_on_postgres

    def keep(self) -> None:
        """From now on the code is of a version that is three later."""
        main = "runs" if self.kind == "runs" else "recordings"
        between = ("COMMIT", "SELECT pg_sleep(0.01)", "BEGIN") if self.in_parts else ("SELECT pg_sleep(0.01)",)

        def first(names: Names) -> Sequence[str]:
            return (f"ALTER TABLE {names(main)} ADD COLUMN note text", *between)

        def second(names: Names) -> Sequence[str]:
            return (f"UPDATE {names(main)} SET note = 'moved ' || id", *between)  # noqa: S608

        def third(names: Names) -> Sequence[str]:
            return (f"CREATE INDEX {names.bare('by_note')} ON {names(main)} (note)", *between)

        schema = self.module.SCHEMA
        self.module.SCHEMA = attrs.evolve(schema, migrations=(*schema.migrations, first, second, third))

    @contextlib.asynccontextmanager
    async def _connect(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url.partition("&schema=")[0])
        try:
            yield connection
        finally:
            await connection.close()

    async def _drop(self) -> None:
        async with self._connect() as connection:
            await connection.execute(f'DROP SCHEMA IF EXISTS "{self.schema}" CASCADE')

    def renew(self, begin: str) -> None:
        """Make the schema again."""
        asyncio.run(self._drop())
        if begin == "old":
            later = self.module.SCHEMA
            self.module.SCHEMA = attrs.evolve(later, migrations=later.migrations[:-3])
            asyncio.run(self.use([f"old-{number}" for number in range(COUNT)]))
            self.module.SCHEMA = later

    def state(self) -> str:
        """Ask the server."""
        return asyncio.run(self._state())

    async def _state(self) -> str:
        # All of one moment: the server may still be at the last statement of a process that was killed.
        async with self._connect() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            tables, columns, indexes = await connection.fetchrow(
                "SELECT (SELECT count(*) FROM pg_tables WHERE schemaname = $1), "
                "(SELECT count(*) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON "
                "pg_namespace.oid = relnamespace WHERE nspname = $1 AND attname = 'note' AND relkind = 'r'), "
                "(SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND indexname = 'openharness_by_note')",
                self.schema,
            )
            if not tables:
                return "none"
            version = await connection.fetchval(f'SELECT version FROM "{self.schema}".openharness_versions')  # noqa: S608
            newest = len(self.module.SCHEMA.migrations)
            has_more = newest > 3
            found = {
                (newest, int(has_more), int(has_more)): "new",
                (newest - 3, 0, 0): "old",
            }.get((version or 0, columns, indexes), "half")
            if found == "new" and has_more:
                main = "runs" if self.kind == "runs" else "recordings"
                unmoved = await connection.fetch(
                    f"SELECT FROM \"{self.schema}\".openharness_{main} WHERE note IS NULL AND id LIKE 'old-%'"
                )
                return "half" if unmoved else found
            return found


def place_of(kind: str, where: str, *, in_parts: bool) -> Place:
    """Return the place that the arguments name."""
    if "://" in where:
        schema = parse_qs(urlsplit(where).query)["schema"][0]
        return Tables(kind, where, schema, in_parts)
    path = Path(where, "store.db")
    return File(kind, f"sqlite:///{path}", path)


def together(place: Place, processes: int) -> list[str]:
    """Open the store from many processes at the same moment; return whose saves returned."""
    ready_reading, ready = os.pipe()
    go, going = os.pipe()
    said_reading, said = os.pipe()
    children: list[int] = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(going)
                os.write(ready, b".")
                # Everybody sees the end of this pipe at the same moment.
                os.read(go, 1)
                asyncio.run(place.use([f"new-{number}"]))
                os.write(said, f"new-{number}\n".encode())
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for descriptor in (ready, go, said):
        os.close(descriptor)
    with os.fdopen(ready_reading, "rb") as waiting:
        waiting.read(processes)
    os.close(going)
    with os.fdopen(said_reading) as lines:
        names = [line.strip() for line in lines]
    for child in children:
        os.waitpid(child, 0)
    return names


def kill_one(place: Place, longest: float) -> bool:
    """Let a child open the store, kill it, and tell whether it said that it was done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.write(writing, b"begins\n")
            asyncio.run(place.use([]))
            os.write(writing, b"done\n")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        lines.readline()
        time.sleep(random.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        was_done = lines.readline() == "done\n"
    os.waitpid(child, 0)
    return was_done


def main(place: Place, how: str, count: int, begin: str, *, in_parts: bool) -> dict[str, int]:
    """Do it, and return what came of it."""
    figures: dict[str, int] = dict.fromkeys(("openings", "kills", "half", "lost"), 0)
    olds = [f"old-{number}" for number in range(COUNT)] if begin == "old" else []
    if olds:
        asyncio.run(place.use(olds))
        place.keep()
    place.renew(begin)
    if how == "together":
        names = together(place, count)
        figures["openings"] = len(names)
        figures["half"] = int(place.state() != "new")
        figures["lost"] = asyncio.run(place.lost([*olds, *names])) + count - len(names)
        return figures
    began = time.monotonic()
    asyncio.run(place.use([]))
    longest = 1.3 * (time.monotonic() - began)
    for _ in range(count):
        place.renew(begin)
        was_done = kill_one(place, longest)
        state = place.state()
        figures["kills"] += 1
        figures["half"] += state not in (begin, "new") or (was_done and state != "new")
        if in_parts:
            if figures["half"]:
                break
            continue
        asyncio.run(place.use(["after"]))
        figures["openings"] += 1
        figures["half"] += place.state() != "new"
        figures["lost"] += asyncio.run(place.lost([*olds, "after"]))
    return figures


if __name__ == "__main__":
    is_control = sys.argv[6:] == ["in-parts"]
    found = main(
        place_of(sys.argv[1], sys.argv[2], in_parts=is_control),
        sys.argv[3],
        int(sys.argv[4]),
        sys.argv[5],
        in_parts=is_control,
    )
    sys.stdout.write(" ".join(f"{name}={number}" for name, number in found.items()) + "\n")
