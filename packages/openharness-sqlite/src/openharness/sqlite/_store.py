"""What every store on SQLite is: its arguments, its URL, and what can be done with its file."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from openharness.core import InvalidValueError, StoreError
from openharness.core.records import Finding, Severity
from openharness.core.storage import SessionStore
from openharness.core.values import MAX_BYTES
from openharness.sqlite._backup import backup_sqlite
from openharness.sqlite._doctor import doctor
from openharness.sqlite._location import checked_path, split_url
from openharness.sqlite._opening import Settings
from openharness.sqlite._session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from openharness.core import DoctorReport
    from openharness.sqlite._opening import Durability
    from openharness.sqlite._schema import Schema

__all__ = ("SqliteStore",)

_DURABILITIES: Final = ("full", "process")
_OPTIONS: Final[dict[str, Any]] = {"durability": str, "busy_timeout": float, "max_bytes": int}


class SqliteStore(SessionStore[Session]):
    """The part of a store that is about its file. A store inherits from this first, then from its interface.

    The store opens the file on first use, creating it if there is none. It belongs to the event loop it was first used
    in; when that is closed, it may be used in another.

    Args:
        filename: The path of the file. Its folder must exist, on a local disk.
        schema: What the store keeps in it.
        durability: What a write that has returned survives: ``"full"``, the default, also a power cut (on disks that
            keep what they say they have written); ``"process"`` the end of the process however it comes, but perhaps
            not that of the machine. It is faster where the disk is slow.
        busy_timeout: How many seconds to wait while other processes write, before `StoreBusyError`.
        max_bytes: How large the JSON text of one value may be; 16 MiB by default.

    Raises:
        InvalidValueError: An argument is not valid; ``""`` and ``":memory:"`` are not files.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        schema: Schema,
        durability: Durability = "full",
        busy_timeout: float = 30.0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._path = checked_path(filename)
        if durability not in _DURABILITIES:
            raise InvalidValueError("durability", value=durability, expected="'full' or 'process'")
        if not _is_number(busy_timeout) or not 0 <= busy_timeout < math.inf:
            raise InvalidValueError("busy_timeout", value=busy_timeout, expected="a number of seconds from 0 on")
        if type(max_bytes) is not int or max_bytes < 1:
            raise InvalidValueError("max_bytes", value=max_bytes, expected="an integer from 1 on")
        self._schema = schema
        self._durability: Durability = durability
        self._busy_timeout = float(busy_timeout)
        self._max_bytes = max_bytes
        super().__init__(name=f"{type(self).__name__}({os.fspath(filename)!r})")

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store that a URL names; plugins are opened by it.

        Args:
            url: ``sqlite:///runs.db`` (relative to the working directory) or ``sqlite:////var/lib/runs.db`` (absolute),
                with or without its ``sqlite:``. `durability`, `busy_timeout` and `max_bytes` may follow as options:
                ``sqlite:///runs.db?durability=process``.

        Raises:
            InvalidValueError: It is not such a URL, or has an option that does not exist.
        """
        path, options = split_url(url)
        arguments: dict[str, Any] = {}
        for name, text in options.items():
            convert = _OPTIONS.get(name)
            if convert is None:
                raise InvalidValueError("url", value=url, expected=f"a URL with no options but {', '.join(_OPTIONS)}")
            try:
                arguments[name] = convert(text)
            except ValueError:
                raise InvalidValueError(name, value=text, expected="a number") from None
        return cls(path, **arguments)

    @property
    def filename(self) -> Path:
        """The absolute path of the file."""
        return self._path

    async def backup(self, path: str | os.PathLike[str]) -> Path:
        """Write a copy of the file as it is at this moment, while any number of tasks and processes go on writing.

        All that is in the file is copied, also the tables of other stores. See `backup_sqlite`.

        Args:
            path: Where the copy shall be: a file that does not exist, in a folder that does.

        Returns:
            The absolute path of the copy.

        Raises:
            BackupExistsError: There is something there already.
            StoreError: The copy cannot be written, or the file cannot be read.
        """
        await self._current().open()
        return await backup_sqlite(self._path, path)

    async def doctor(self) -> DoctorReport:
        """Examine the file, and report what is wrong instead of raising it; nothing is changed, and nothing created.

        See `openharness.sqlite.doctor`. Every row of this store is read, and its checksum compared. The facts say which
        ``synchronous`` is in force on the connection that writes, where one is open.
        """
        self._check_open()
        report = await doctor(self._path, schemas=(self._schema,), store=self._name)
        facts = {**report.facts, "durability": self._durability}
        session = self._session
        if session is not None and session.is_open and session.loop is asyncio.get_running_loop():
            try:
                facts["synchronous"] = await session.synchronous()
            except StoreError as error:
                # What was examined is what is at the path now, which need not be what this store has open.
                finding = Finding(Severity.ERROR, "cannot-write", str(error))
                return attrs.evolve(report, facts=facts, findings=(*report.findings, finding))
        return attrs.evolve(report, facts=facts)

    def _new_session(self) -> Session:
        return Session(
            Settings(
                path=self._path,
                schema=self._schema,
                durability=self._durability,
                busy_timeout=self._busy_timeout,
                store=self._name,
                abandoned=threading.Event(),
            )
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
