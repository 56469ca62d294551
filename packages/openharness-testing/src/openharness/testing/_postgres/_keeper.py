"""The process that keeps a server: ``python -m openharness.testing._postgres._keeper``.

It does what it is told on its standard input, a line each, and answers each line with one. When its input ends, because
the tests have ended or were killed, it stops the server and removes everything it made. Only the standard library is
imported, since a test run waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Final

from openharness.testing._postgres._programs import ACCOUNT, find_programs, readable_programs

__all__ = ("Keeper", "main")

_PATIENCE: Final = 60.0
_PAUSE: Final = 0.01
_READY: Final = ("ready", "standby")
_READY_LINE: Final = 7
"""In ``postmaster.pid``, where the server says how far it is."""

_SETTINGS: Final = {
    # What a killed server has written is in the memory of the machine, which the tests do not crash.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "150",
    "shared_buffers": "64MB",
    "max_wal_size": "4GB",
}


class Keeper:
    """One server, in a folder of its own.

    Args:
        settings: Settings of the server beside those above.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = {**_SETTINGS, **settings}
        self._server: subprocess.Popen[bytes] | None = None
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="openharness-postgres-"))
        self._data = self._folder / "data" / "base"
        self._user: int | None = None
        self._group: int | None = None

    def create(self) -> str:
        """Make the folder and the data in it, and return the URL of the server."""
        programs = find_programs()
        self._data.parent.mkdir()
        if os.name == "posix" and os.geteuid() == 0:
            import pwd

            account = pwd.getpwnam(ACCOUNT)
            self._user, self._group = account.pw_uid, account.pw_gid
            self._folder.chmod(0o711)
            programs = readable_programs(programs, self._folder)
            os.chown(self._data.parent, account.pw_uid, account.pw_gid)
        self._programs = programs
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        if os.name == "posix":
            return f"postgresql://postgres@/postgres?host={self._data.parent}"
        self._settings |= {"listen_addresses": "127.0.0.1", "port": str(_free_port())}
        return f"postgresql://postgres@127.0.0.1:{self._settings['port']}/postgres"

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), "-D", str(self._data), *words]
        done = subprocess.run(  # noqa: S603 - found by ourselves
            command,
            capture_output=True,
            check=False,
            cwd=self._data.parent,
            user=self._user,
            group=self._group,
            extra_groups=self._groups(),
        )
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace")
            raise RuntimeError(f"{program} failed with status {done.returncode}: {said}")

    def _groups(self) -> list[int] | None:
        """Root's other groups are not for the server."""
        return None if self._user is None else []

    def start(self) -> None:
        """Start the server, and return when it answers."""
        deadline = time.monotonic() + _PATIENCE
        while not self._started(deadline):
            log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
            # What a killed server leaves behind keeps the next one out for a moment.
            if "still in use" not in log or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not start:\n{log[-4000:]}")
            time.sleep(_PAUSE)

    def _started(self, deadline: float) -> bool:
        pid_file = self._data / "postmaster.pid"
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        if os.name == "posix":
            options += ["-c", "listen_addresses=", "-k", str(self._data.parent)]
        with (self._folder / "log").open("ab") as log:
            server = subprocess.Popen(  # noqa: S603 - found by ourselves
                [str(self._programs / "postgres"), "-D", str(self._data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data.parent,
                user=self._user,
                group=self._group,
                extra_groups=self._groups(),
            )
        self._server = server
        while server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                lines = pid_file.read_text(encoding="utf-8", errors="replace").splitlines()
                mine = len(lines) > _READY_LINE and lines[0].strip() == str(server.pid)
                if mine and lines[_READY_LINE].strip() in _READY:
                    return True
            time.sleep(_PAUSE)
        return False

    def stop(self, how: str) -> None:
        """Stop the server: ``fast`` as an administrator does, ``immediate`` as in a crash, ``kill`` without a word."""
        server, self._server = self._server, None
        if server is None or server.poll() is not None:
            return
        if os.name != "posix":
            if how == "kill":
                server.kill()
            else:
                with contextlib.suppress(RuntimeError):
                    self._run("pg_ctl", "stop", "-m", how, "-w", "-t", str(int(_PATIENCE)))
        else:
            server.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}[how])
        try:
            server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def end(self) -> None:
        """Stop the server and remove the folder."""
        self.stop("immediate")
        for _ in range(100):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                return
            # A process of the server that is about to end may have written something.
            time.sleep(_PAUSE)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answer(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Keep one server until the input ends."""
    if os.name == "posix":
        # Who interrupts the tests interrupts them, and not the server, which they may still need to end well.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeper = Keeper(json.loads(sys.argv[1]))
    try:
        for line in sys.stdin:
            try:
                word = line.strip()
                if word == "create":
                    _answer(dsn=keeper.create())
                elif word == "start":
                    keeper.start()
                    _answer()
                else:
                    keeper.stop(word)
                    _answer()
            except Exception as error:  # noqa: BLE001 - told to who asked
                _answer(error=str(error))
    finally:
        with contextlib.suppress(OSError):
            keeper.end()


if __name__ == "__main__":
    main()
