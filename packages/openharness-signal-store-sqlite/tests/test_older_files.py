"""Files whose tables are of an older version."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.signal_store_sqlite._schema import SCHEMA
from openharness.sqlite._schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

LIST = """
import asyncio, os, sys
from openharness.core import StoreReadOnlyError
from openharness.signal_store_sqlite import SqliteSignalStore
import encodings.idna, openharness.core.state
async def main():
    store = SqliteSignalStore(sys.argv[1])
    try:
        await store.list_recordings()
    except StoreReadOnlyError as error:
        print("read only:", error)
    await store.close()
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
async def test_an_older_file_that_may_only_be_read_says_so_and_its_copy_opens(open_folder: Path) -> None:
    """It is StoreReadOnlyError with the cause and what to do, the file stays as it is, and the copy is brought forward."""
    folder = open_folder / "inner"
    folder.mkdir()
    path = folder / "old.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        migrate(connection, attrs.evolve(SCHEMA, migrations=SCHEMA.migrations[:1]), store="the test")
    content = path.read_bytes()
    path.chmod(0o444)
    folder.chmod(0o777)
    process = subprocess.run([sys.executable, "-c", LIST, path], capture_output=True, text=True, check=True)  # noqa: ASYNC221, S603
    assert "the tables are of version 1, and this code reads version 2" in process.stdout
    assert "copy the file to where you have it" in process.stdout
    assert path.read_bytes() == content
    copy = open_folder / "copy.db"
    shutil.copyfile(path, copy)
    async with SqliteSignalStore(copy) as store:
        assert await store.list_recordings() == []
        assert (await store.doctor()).is_healthy
