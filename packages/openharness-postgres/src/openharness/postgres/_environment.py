"""How a server keeps what it is given: the settings that decide it, as findings."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from openharness.core import Finding, Severity
from openharness.postgres._defects import engine_findings

if TYPE_CHECKING:
    from openharness.core import JSONValue

__all__ = ("ENVIRONMENT", "environment_facts", "environment_findings")

_SETTINGS: Final = (
    "server_version",
    "server_encoding",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "synchronous_standby_names",
    "wal_sync_method",
    "data_checksums",
    "ignore_checksum_failure",
    "zero_damaged_pages",
    "default_transaction_read_only",
    "session_replication_role",
)

ENVIRONMENT: Final = (
    # default_transaction_read_only of the session: a transaction that only reads says nothing about it.
    "SELECT current_setting('server_version_num')::integer AS server_version_num, version() AS build, "  # noqa: S608 - names of our own
    + ", ".join(f"current_setting('{name}', true) AS {name}" for name in _SETTINGS)
    + ", pg_is_in_recovery() AS is_standby, current_database()::text AS database, "
    "(SELECT checksum_failures FROM pg_catalog.pg_stat_database WHERE datname = current_database()) AS checksum_failures"
)
"""The statement that asks for all of it: one row."""


@attrs.frozen
class _Rule:
    """When a setting is a finding.

    Attributes:
        code: Its name in findings.
        severity: How bad it is.
        applies: Tells it by the values of the settings.
        message: What it means.
        advice: What to do.
    """

    code: str
    severity: Severity
    applies: Callable[[Mapping[str, object]], bool]
    message: str
    advice: str


def _is(name: str, value: str) -> Callable[[Mapping[str, object]], bool]:
    return lambda found: found[name] == value


def _syncs_weakly(found: Mapping[str, object]) -> bool:
    # https://www.postgresql.org/docs/current/wal-reliability.html: on macOS only this one reaches the disk itself.
    return "darwin" in str(found["build"]) and found["wal_sync_method"] != "fsync_writethrough"


_RULES: Final = (
    _Rule(
        "encoding",
        Severity.ERROR,
        lambda found: found["server_encoding"] != "UTF8",
        "The database cannot keep every text: its encoding is not UTF8.",
        "Make a database with ENCODING 'UTF8'.",
    ),
    _Rule(
        "standby",
        Severity.WARNING,
        lambda found: bool(found["is_standby"]),
        "The server is a standby, or still recovers; nothing can be saved.",
        "With several hosts in the URL, target_session_attrs=read-write finds the one that can be written to.",
    ),
    _Rule(
        "read-only",
        Severity.WARNING,
        _is("default_transaction_read_only", "on"),
        "Transactions are read-only by default; nothing can be saved.",
        "Set default_transaction_read_only = off for this role or database.",
    ),
    _Rule(
        "replica-role",
        Severity.ERROR,
        _is("session_replication_role", "replica"),
        "Triggers do nothing for this role (session_replication_role is replica): what is saved is not found by other rows.",
        "Set session_replication_role = origin for this role or database.",
    ),
    _Rule(
        "fsync",
        Severity.WARNING,
        _is("fsync", "off"),
        "The server does not wait for the disk (fsync is off): a crash of its machine can destroy everything.",
        "Set fsync = on.",
    ),
    _Rule(
        "full-page-writes",
        Severity.WARNING,
        _is("full_page_writes", "off"),
        "Pages that a crash of the machine tears cannot be mended (full_page_writes is off).",
        "Set full_page_writes = on, unless the file system never tears a page.",
    ),
    _Rule(
        "synchronous-commit",
        Severity.WARNING,
        _is("synchronous_commit", "off"),
        "A save returns before it is on the disk (synchronous_commit is off): a crash can lose the latest.",
        "Set synchronous_commit = on for this role or database.",
    ),
    _Rule(
        "wal-sync-method",
        Severity.WARNING,
        _syncs_weakly,
        "A save may be in the memory of the disk only: on macOS wal_sync_method must be fsync_writethrough for more.",
        "Set wal_sync_method = fsync_writethrough.",
    ),
    _Rule(
        "data-checksums",
        Severity.INFO,
        _is("data_checksums", "off"),
        "The server keeps no checksums of its pages, so that damage in indexes is noticed late or never.",
        "pg_checksums --enable adds them while the server is stopped.",
    ),
    _Rule(
        "ignore-checksum-failure",
        Severity.WARNING,
        _is("ignore_checksum_failure", "on"),
        "The server reads pages whose checksum is wrong as if they were right (ignore_checksum_failure is on).",
        "Set ignore_checksum_failure = off.",
    ),
    _Rule(
        "zero-damaged-pages",
        Severity.WARNING,
        _is("zero_damaged_pages", "on"),
        "The server takes damaged pages for empty ones (zero_damaged_pages is on): what was in them is lost silently.",
        "Set zero_damaged_pages = off.",
    ),
    _Rule(
        "checksum-failures",
        Severity.WARNING,
        lambda found: bool(found["checksum_failures"]),
        "The server has met pages of this database whose checksum is wrong.",
        "Look for a failing disk; pg_stat_database tells how many there were and when.",
    ),
)


def environment_findings(found: Mapping[str, object]) -> Iterator[Finding]:
    """Yield what is not as safe as it could be.

    Args:
        found: The columns of `ENVIRONMENT` by name.
    """
    version = found["server_version_num"]
    if isinstance(version, int):
        yield from engine_findings(version, today=datetime.datetime.now(tz=datetime.UTC).date())
    for rule in _RULES:
        if rule.applies(found):
            yield Finding(rule.severity, rule.code, rule.message, advice=rule.advice)


def environment_facts(found: Mapping[str, Any]) -> dict[str, JSONValue]:
    """Return what a report tells of the server whatever it is.

    Args:
        found: The columns of `ENVIRONMENT` by name.
    """
    names = ("database", "server_encoding", *_SETTINGS[2:8])
    facts: dict[str, JSONValue] = {name: found[name] for name in names if found[name] is not None}
    facts["standby"] = found["is_standby"]
    return facts
