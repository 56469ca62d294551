"""The differences between recordings and their replays that a session came upon, for a file that programs read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable

    from openharness.core import DriftReport

__all__ = ("Drifts",)

FORMAT: Final = "openharness/drift-reports"
VERSION: Final = 1


class Drifts:
    """Collects reports by test. Everything is made of JSON values, for the processes of pytest-xdist send it."""

    def __init__(self) -> None:
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._commands: dict[str, str] = {}

    def begin(self, test: str, command: str) -> None:
        """Begin a test; when it is run again, only the last time counts.

        Args:
            test: Its node id.
            command: The command that records it again.
        """
        self._entries.pop(test, None)
        self._commands[test] = command

    def add(self, test: str, reports: Iterable[DriftReport], *, raised: bool) -> None:
        """Add the reports of a test.

        Args:
            test: Its node id.
            reports: The reports.
            raised: Whether they were raised; else the test went on with a warning.
        """
        known = self._entries.setdefault(test, [])
        for report in reports:
            told = report.to_json()
            entry = {"test": test, "raised": raised, "command": self._commands.get(test), "report": told}
            # The same one comes up again where an error passes through several phases.
            if entry not in known:
                known.append(entry)

    def as_data(self) -> dict[str, list[dict[str, Any]]]:
        """Return all entries by test."""
        return self._entries

    def take_over(self, data: dict[str, list[dict[str, Any]]]) -> None:
        """Add what another process collected, as `as_data` gave it."""
        self._entries.update(data)

    def write(self, path: pathlib.Path) -> None:
        """Write all entries to a file, in one step, by test.

        Raises:
            OSError: The file cannot be written; what was there is there still.
        """
        drifts = [entry for test in sorted(self._entries) for entry in self._entries[test]]
        text = json.dumps({"format": FORMAT, "version": VERSION, "drifts": drifts}, indent=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(text + "\n", encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
