"""What is known of servers, by their release and their settings."""

from __future__ import annotations

import datetime

import pytest

from openharness.postgres._defects import engine_findings
from openharness.postgres._environment import environment_findings

BEFORE = datetime.date(2026, 1, 1)
SAFE: dict[str, object] = {
    "server_version_num": 990_000,
    "build": "PostgreSQL 99.0 on x86_64-pc-linux-gnu, compiled by gcc, 64-bit",
    "server_encoding": "UTF8",
    "is_standby": False,
    "default_transaction_read_only": "off",
    "session_replication_role": "origin",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_sync_method": "fdatasync",
    "data_checksums": "on",
    "ignore_checksum_failure": "off",
    "zero_damaged_pages": "off",
    "checksum_failures": 0,
}


@pytest.mark.parametrize(
    "version, wanted",
    [
        (130_023, {"engine-too-old", "engine-unsupported"}),
        (140_003, {"engine-concurrent-index", "engine-truncation"}),
        (140_004, {"engine-truncation"}),
        (140_016, set()),
        (140_021, {"engine-replay"}),
        (140_022, set()),
        (150_010, {"engine-truncation"}),
        (150_016, {"engine-replay"}),
        (160_006, {"engine-truncation"}),
        (160_007, set()),
        (170_000, {"engine-truncation"}),
        (170_003, set()),
        (170_008, {"engine-replay"}),
        (180_000, set()),
        (180_002, {"engine-replay"}),
        (180_003, set()),
        (190_000, set()),
    ],
)
def test_known_defects_of_the_server(version: int, wanted: set[str]) -> None:
    """Each release is told what is known of it."""
    assert {finding.code for finding in engine_findings(version, today=BEFORE)} == wanted


def test_a_release_that_gets_no_more_fixes() -> None:
    """The day after its end a major release is a warning, and on the day itself it is none."""
    end = datetime.date(2026, 11, 12)
    assert list(engine_findings(140_023, today=end)) == []
    (finding,) = engine_findings(140_023, today=end + datetime.timedelta(days=1))
    assert finding.code == "engine-unsupported"


@pytest.mark.parametrize(
    "setting, value, wanted",
    [
        (None, None, None),
        ("server_encoding", "SQL_ASCII", "encoding"),
        ("is_standby", True, "standby"),
        ("default_transaction_read_only", "on", "read-only"),
        ("session_replication_role", "replica", "replica-role"),
        ("session_replication_role", "local", None),
        ("fsync", "off", "fsync"),
        ("full_page_writes", "off", "full-page-writes"),
        ("synchronous_commit", "off", "synchronous-commit"),
        ("synchronous_commit", "local", None),
        ("build", "PostgreSQL 99.0 on aarch64-apple-darwin24", "wal-sync-method"),
        ("data_checksums", "off", "data-checksums"),
        ("ignore_checksum_failure", "on", "ignore-checksum-failure"),
        ("zero_damaged_pages", "on", "zero-damaged-pages"),
        ("checksum_failures", 3, "checksum-failures"),
        ("checksum_failures", None, None),
    ],
)
def test_what_is_not_as_safe_as_it_could_be(setting: str | None, value: object, wanted: str | None) -> None:
    """Each setting that costs something is one finding, and a server that is as safe as can be has none."""
    found = SAFE if setting is None else {**SAFE, setting: value}
    assert [finding.code for finding in environment_findings(found)] == ([] if wanted is None else [wanted])
