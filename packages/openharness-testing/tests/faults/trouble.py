"""Trouble for a PostgreSQL server: it is stopped, made to crash and killed, also while it recovers or commits.

POSIX alone: the first process of the server is killed by its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import asyncpg
import attrs

from openharness.testing.postgres import PostgresServer

__all__ = ("COMMITS_SLOWLY", "Trouble")

COMMITS_SLOWLY = {
    # Each commit waits for the disk, and before it for a while: most of what is killed is about to commit.
    "fsync": "on",
    "full_page_writes": "on",
    "commit_delay": "5000",
    "commit_siblings": "0",
    # What has to be done again after a crash.
    "checkpoint_timeout": "1h",
}
"""Settings of a server that is caught while it commits."""

_PAUSE = 0.001
_WAYS = ("fast", "immediate", "kill", "recovery", "recovery", "cut", "cut one", "crash one")


@attrs.define
class Trouble:
    """Makes trouble.

    Attributes:
        server: For whom.
        every: The least and the most seconds between two troubles.
        seconds: For how long there is trouble. Who works in it then gets time to end.
        most: How often there is trouble at most: where the machine is busy, each takes long.
        counts: How often there was which.
        returns: When the server was back after being gone, by `time.monotonic`.
    """

    server: PostgresServer
    every: tuple[float, float]
    seconds: float
    most: int
    counts: dict[str, int] = attrs.field(factory=dict[str, int])
    returns: list[float] = attrs.field(factory=list[float])

    async def make(self, began: asyncio.Event, *, until: asyncio.Event) -> None:
        """Make trouble from one event on, but not after another one; then the server runs."""
        ways: list[str] = []
        await began.wait()
        end = time.monotonic() + self.seconds
        while not until.is_set() and time.monotonic() < end and len(self.returns) < self.most:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), random.uniform(*self.every))
            if until.is_set():
                return
            if not ways:
                ways = random.sample(_WAYS, len(_WAYS))
            way = ways.pop()
            self.counts[way] = self.counts.get(way, 0) + 1
            if way in ("cut", "cut one", "crash one"):
                await self._cut(way)
            else:
                await asyncio.to_thread(self._stop, way)
            self.returns.append(time.monotonic())

    def _stop(self, way: str) -> None:
        if way != "recovery":
            self.server.restart(way)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            return
        self.server.stop("kill")
        for _ in range(random.randrange(1, 4)):
            self._start_and_kill()
        self.server.start()

    def _start_and_kill(self) -> None:
        """Kill the server on its way: before it listens, while it does again what was done, or just after."""
        file = Path(self.server.dsn.partition("host=")[2], "base", "postmaster.pid")
        # Not removed: by it a new server knows that processes of the one before still write to the same files.
        before = _first_line(file)
        child = os.fork()
        if child == 0:
            try:
                while (number := _first_line(file)) in {"", before}:
                    time.sleep(_PAUSE)
                time.sleep(random.expovariate(20))
                with contextlib.suppress(ProcessLookupError, ValueError):
                    os.kill(int(number), signal.SIGKILL)
            finally:
                os._exit(0)
        with contextlib.suppress(RuntimeError):
            self.server.start()
        os.waitpid(child, 0)
        self.server.stop("kill")

    async def _cut(self, way: str) -> None:
        """End connections of the stores: all, or the one that commits; or kill the process that serves it."""
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(self.server.dsn)
            rows = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'openharness:%' "
                "ORDER BY wait_event_type = 'IO' OR query ILIKE '%insert%' AND state = 'active' DESC, random()"
            )
            for (pid,) in rows if way == "cut" else rows[:1]:
                if way == "crash one":
                    os.kill(pid, signal.SIGKILL)
                else:
                    await connection.fetch("SELECT pg_terminate_backend($1)", pid)
            connection.terminate()


def _first_line(path: Path) -> str:
    """Return the first line of a file; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except FileNotFoundError:
        return ""
