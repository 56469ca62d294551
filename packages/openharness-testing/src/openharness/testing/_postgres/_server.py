"""A server of the tests' own, and the places in it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ("PostgresPlace", "PostgresServer")

_QUITTING: Final = 30.0


@attrs.frozen(kw_only=True)
class PostgresPlace:
    """Where a test may keep its tables.

    Attributes:
        dsn: The URL of the server, as libpq and every driver reads it.
        schema: The name of a schema that no other test uses. It does not exist yet.
    """

    dsn: str
    schema: str


class PostgresServer:
    """A PostgreSQL server on this machine, for as long as the block lasts.

    ::

        with PostgresServer() as server:
            connection = await asyncpg.connect(server.dsn)

    It listens on a Unix socket (on Windows on a free port of the loopback address) and keeps its data in a folder of its
    own, which is removed at the end, also when this process is killed. Where the tests run as root, whom PostgreSQL
    refuses, it runs as ``nobody``. It does not wait for the disk (``fsync`` is off): what it has written survives its
    own death, and not that of the machine.

    Args:
        settings: Settings of the server, as in ``postgresql.conf``.

    Raises:
        FileNotFoundError: There is no server to be started: install ``openharness-testing[postgres]``.
        RuntimeError: It could not be started; the text has what the server says.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        # A group of its own, so that an interrupt at the keyboard reaches the tests alone.
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._keeper = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "openharness.testing._postgres._keeper", json.dumps(dict(settings or {}))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            **options,
        )
        try:
            self._dsn = cast("str", self._ask("create")["dsn"])
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def dsn(self) -> str:
        """The URL of the server, with the database ``postgres`` and the superuser of that name."""
        return self._dsn

    def start(self) -> None:
        """Start the server after a `stop`, on the same data and the same address; returns when it answers."""
        self._ask("start")

    def stop(self, how: Literal["fast", "immediate", "kill"] = "fast") -> None:
        """Stop the server; returns when it is gone.

        Args:
            how: ``"fast"`` as an administrator does, rolling back what is under way; ``"immediate"`` as in a crash:
                the next start repairs what was left; ``"kill"`` kills the server's first process (SIGKILL), and the
                others notice.
        """
        self._ask(how)

    def restart(self, how: Literal["fast", "immediate", "kill"] = "fast") -> None:
        """Stop the server and start it again."""
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stop the server for good, and remove its data."""
        # A keeper that is gone cannot be told.
        with contextlib.suppress(OSError):
            cast("Any", self._keeper.stdin).close()
        try:
            self._keeper.wait(_QUITTING)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        cast("Any", self._keeper.stdout).close()

    def __enter__(self) -> Self:
        """Return the server, which runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server for good, and remove its data."""
        self.close()

    def _ask(self, word: str) -> dict[str, Any]:
        with self._lock:
            stdin, stdout = cast("Any", self._keeper.stdin), cast("Any", self._keeper.stdout)
            stdin.write(word + "\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise RuntimeError("the process that keeps the PostgreSQL server has ended.")
        answer = cast("dict[str, Any]", json.loads(line))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
