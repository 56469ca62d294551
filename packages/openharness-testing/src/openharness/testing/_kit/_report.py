"""A line for each contract class at the end of pytest's report: what it declares, and which kit tested it."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

import attrs

from openharness.testing._kit._abilities import Ability

if TYPE_CHECKING:
    import pytest


__all__ = ("note_contract",)

_NAME = "openharness-testing-report"


@attrs.define(eq=False)
class _Report:
    """A pytest plugin that tells which contract classes ran. Compared by identity: pytest 8 keeps plugins in sets."""

    seen: dict[str, frozenset[Ability]] = attrs.field(factory=dict[str, "frozenset[Ability]"])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the lines."""
        version = importlib.metadata.version("openharness-testing")
        terminalreporter.section(f"contracts of openharness-testing {version}")
        for name, abilities in sorted(self.seen.items()):
            declared = ", ".join(sorted(ability.name for ability in abilities)) or "no abilities"
            terminalreporter.write_line(f"{name}: {declared}")


def note_contract(config: pytest.Config, name: str, abilities: frozenset[Ability]) -> None:
    """Remember that a contract class ran.

    Args:
        config: The pytest session's configuration, which keeps the plugin that tells it at the end.
        name: The class.
        abilities: What it declares.
    """
    report = config.pluginmanager.get_plugin(_NAME)
    if not isinstance(report, _Report):
        report = _Report()
        config.pluginmanager.register(report, _NAME)
    report.seen[name] = abilities
