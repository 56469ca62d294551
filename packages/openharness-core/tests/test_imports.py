"""What importing the core brings along, and what it must not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FORBIDDEN = (
    "aiosqlite", "anthropic", "asyncpg", "cattrs", "httpx", "importlib.metadata", "jinja2", "openai", "psycopg", "pydantic",
    "requests", "sqlite3", "xllamacpp",
)  # fmt: skip


def imported_by(program: str) -> set[str]:
    """The modules a fresh interpreter has after a program."""
    program += "\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["openharness.core", "openharness.core.plugins", "openharness.core.storage"])
def test_no_heavy_module_is_imported_before_it_is_used(module: str) -> None:
    """Converter, templates, databases, HTTP clients and metadata are imported by what needs them, when it does."""
    modules = imported_by(f"import {module}")
    assert module in modules
    assert sorted(modules.intersection(FORBIDDEN)) == []


def test_the_top_brings_the_interfaces_alone() -> None:
    """Harness, engine and what stores are built on come when a name of theirs is asked for, the store in memory as well."""
    parts = (
        "agents",
        "copying",
        "engine",
        "harness",
        "log",
        "memory",
        "providers",
        "redaction",
        "storage",
        "templates",
    )
    modules = imported_by("import openharness.core")
    assert modules.isdisjoint(f"openharness.core.{part}" for part in parts)
    later = imported_by("from openharness.core import InMemoryRunStore")
    assert {"openharness.core.memory", "openharness.core.storage"} <= later
    assert "openharness.core.engine" not in later


def test_they_are_imported_when_they_are_used() -> None:
    """The test above can see them."""
    modules = imported_by(
        "from openharness.core.state import from_json\n"
        "from openharness.core.plugins import installed_plugins\n"
        "from_json(1, int)\n"
        "installed_plugins()"
    )
    assert {"cattrs", "importlib.metadata"} <= modules
