"""The examination of a file: what SQLite says of it, what is known of this SQLite, and every checksum in it.

Nothing but SQLite opens the file, in a connection that cannot write. Whatever is wrong becomes a finding.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import (
    DoctorReport,
    Finding,
    JSONValue,
    Severity,
    StoreCorruptError,
    StoreError,
    StoreVersionError,
)
from openharness.sqlite._backup import on_a_thread
from openharness.sqlite._failures import store_error
from openharness.sqlite._location import checked_path, file_uri
from openharness.sqlite._opening import OLDEST_SQLITE
from openharness.sqlite._schema import APPLICATION_ID, Schema, components_of, found_version

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

__all__ = ("doctor", "engine_findings")

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs", "glusterfs", "lustre"}
)
_MOST: Final = 20
"""How many of its own messages SQLite is asked for."""
_LONG_LOG: Final = 256 * 1024 * 1024


def engine_findings(version: tuple[int, int, int]) -> Iterator[Finding]:
    """Yield what is known of a version of SQLite.

    Args:
        version: The version, as `sqlite3.sqlite_version_info`.
    """
    text = ".".join(map(str, version))
    if version < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        yield Finding(
            Severity.ERROR,
            "engine-too-old",
            f"SQLite {text} has no strict tables.",
            advice=f"Use a Python build with SQLite {oldest} or newer.",
        )
    is_fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0)
    if version >= (3, 7, 0) and not is_fixed:
        yield Finding(
            Severity.WARNING,
            "engine-wal-reset",
            f"SQLite {text} can damage a file when one connection writes at the moment in which another one completes "
            "a checkpoint (the WAL-reset defect, fixed in 3.51.3 and 3.50.7). Within one process the stores take turns "
            "and avoid it; between processes they make it unlikely.",
            advice="Where several processes write to one file, use a Python build with a newer SQLite.",
        )
    if version == (3, 52, 0):
        yield Finding(
            Severity.WARNING,
            "engine-withdrawn",
            "SQLite 3.52.0 was withdrawn.",
            advice="Use another release of SQLite.",
        )


async def doctor(
    filename: str | os.PathLike[str], *, schemas: Sequence[Schema] = (), store: str | None = None
) -> DoctorReport:
    """Examine a SQLite file, and report what is wrong instead of raising it.

    Looked at are the version of SQLite and its known defects, the file system, whether the file can be read and
    written, journal mode, whose tables in which version are in it, SQLite's own check of integrity and of references,
    and the checksum of every row of the given schemas. The file is opened by SQLite alone, and not written to. That
    takes as long as reading all of it.

    `SqliteStore.doctor` does this for the tables of a store; without schemas, no rows are looked at.

    Args:
        filename: The file.
        schemas: Whose rows to look at.
        store: What the report is to call it; the path by default.
    """
    path = checked_path(filename)
    examination = _Examination(path, schemas, store or str(path))
    report: DoctorReport = await on_a_thread(examination.run)
    return report


@attrs.define(eq=False)
class _Examination:
    """One examination; on a thread of its own."""

    path: Path
    schemas: Sequence[Schema]
    store: str
    facts: dict[str, JSONValue] = attrs.field(factory=dict[str, "JSONValue"])
    findings: list[Finding] = attrs.field(factory=list[Finding])

    def run(self, stop: threading.Event) -> DoctorReport:
        self.findings += engine_findings(sqlite3.sqlite_version_info)
        if self._is_a_file():
            self._look_at_the_disk()
            self._open(stop)
        return DoctorReport(
            store=self.store,
            engine="SQLite",
            engine_version=sqlite3.sqlite_version,
            facts=self.facts,
            findings=self.findings,
        )

    def _is_a_file(self) -> bool:
        if self.path.is_dir():
            self._add(Severity.ERROR, "no-file", "The path is that of a folder.", "Give the name of a file.")
        elif not self.path.exists():
            self._add(Severity.WARNING, "no-file", "There is no such file yet.", "The first use of a store creates it.")
        return self.path.is_file()

    def _look_at_the_disk(self) -> None:
        self.facts["bytes"] = self.path.stat().st_size
        log = self.path.with_name(self.path.name + "-wal")
        with contextlib.suppress(OSError):
            self.facts["write-ahead log bytes"] = size = log.stat().st_size
            if size > _LONG_LOG:
                self._add(
                    Severity.WARNING,
                    "long-log",
                    f"The write-ahead log has {size:,} bytes.",
                    "Some connection reads for very long, which keeps it from being copied into the file.",
                )
        with contextlib.suppress(OSError):
            self.facts["free bytes"] = shutil.disk_usage(self.path.parent).free
        kind = _file_system(self.path)
        self.facts["file system"] = kind
        if kind in _NETWORK:
            self._add(
                Severity.WARNING,
                "network-file-system",
                f"The file is on {kind}, where a write-ahead log is not safe when several machines use it.",
                "Move the file to a local disk.",
            )
        if not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)):
            self._add(
                Severity.WARNING,
                "read-only",
                "The file or its folder may only be read; nothing can be saved.",
                "Give write permission to both: SQLite keeps files beside the file.",
            )

    def _open(self, stop: threading.Event) -> None:
        try:
            with contextlib.closing(sqlite3.connect(file_uri(self.path, "ro"), uri=True, timeout=5.0)) as connection:
                connection.isolation_level = None
                connection.set_progress_handler(stop.is_set, 100_000)
                connection.execute("PRAGMA trusted_schema = OFF").fetchall()
                connection.execute("PRAGMA cell_size_check = ON").fetchall()
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                self.facts["journal mode"] = mode
                # One snapshot: somebody may be writing what is compared.
                connection.execute("BEGIN")
                present = self._identify(connection)
                if present is None:
                    return
                if mode != "wal" and present:
                    self._add(
                        Severity.INFO,
                        "journal-mode",
                        f"The journal mode is {mode}, as in a backup.",
                        "The next store that opens the file makes it wal.",
                    )
                self._check_integrity(connection)
                connection.text_factory = bytes
                for schema in present:
                    self._check_rows(connection, schema)
        except (sqlite3.Error, StoreError, OSError, UnicodeError) as error:
            told = store_error(error, store="")
            code = "damaged-file" if isinstance(told, StoreCorruptError) else "unreadable"
            self._add(Severity.ERROR, code, str(told))

    def _identify(self, connection: sqlite3.Connection) -> list[Schema] | None:
        """Which of the schemas are there; None where the file is none of ours."""
        application_id, components = components_of(connection)
        for component, version in components.items():
            self.facts[f"schema version of {component}"] = version
        if not self.schemas and application_id not in (0, APPLICATION_ID):
            self._add(Severity.ERROR, "foreign-file", f"The application_id is {application_id:#x}: not one of ours.")
            return None
        present: list[Schema] = []
        for schema in self.schemas:
            try:
                version = found_version(connection, schema, store="")
            except StoreVersionError as error:
                self._add(Severity.ERROR, "newer-version", str(error))
            except StoreCorruptError as error:
                self._add(Severity.ERROR, "foreign-file", str(error))
                return None
            else:
                self._tell_version(schema, version)
                if version:
                    present.append(schema)
        return present

    def _tell_version(self, schema: Schema, version: int) -> None:
        if version == 0:
            self._add(Severity.INFO, "no-tables", f"There are no tables of {schema.component} in the file yet.")
        elif version < schema.version:
            self._add(
                Severity.INFO,
                "older-version",
                f"The tables of {schema.component} have version {version}; the next store that opens the file brings "
                f"them to {schema.version}.",
            )

    def _check_integrity(self, connection: sqlite3.Connection) -> None:
        for (message,) in connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall():
            if message != "ok":
                self._add(
                    Severity.ERROR,
                    "damaged-file",
                    f"SQLite says: {message}",
                    "Restore the file from a backup; `sqlite3 FILE .recover` saves what can be read.",
                )
        orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST)
        for table, *_ in orphans:
            self._add(Severity.ERROR, "damaged-file", f"A row of {table} belongs to nothing any more.")

    def _check_rows(self, connection: sqlite3.Connection, schema: Schema) -> None:
        if schema.examine is None:
            return
        count = 0
        for finding in schema.examine(connection):
            if finding is None:
                count += 1
            else:
                self.findings.append(finding)
        self.facts[schema.component] = count

    def _add(self, severity: Severity, code: str, message: str, advice: str | None = None) -> None:
        self.findings.append(Finding(severity, code, message, advice=advice))


def _file_system(path: Path) -> str | None:
    """The kind of the file system, where the system tells."""
    found: tuple[int, str | None] = (-1, None)
    with contextlib.suppress(OSError, ValueError):
        real = path.resolve()
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
            _, place, kind, *_ = line.split()
            mount = place.replace("\\040", " ")
            if real.is_relative_to(mount) and len(mount) >= found[0]:
                found = (len(mount), kind)
    return found[1]
