"""What of a URL is shown, and what of it is ours."""

from __future__ import annotations

import pytest

from openharness.core import InvalidValueError
from openharness.postgres._address import shown_dsn, split_url


@pytest.mark.parametrize(
    "dsn,shown",
    [
        ("", ""),
        (
            "postgresql://me:s3cret@db.example:5432/runs?sslmode=require&password=s3cret",
            "postgresql://db.example:5432/runs",
        ),
        ("postgres://me:s3c@ret@one:1,two:2/runs", "postgres://one:1,two:2/runs"),
        ("postgresql://me:s3cret@/runs?host=/run/postgresql", "postgresql:///run/postgresql/runs"),
        ("postgresql://db.example", "postgresql://db.example"),
    ],
)
def test_no_password_is_shown(dsn: str, shown: str) -> None:
    """Messages name the host and the database, and nothing secret."""
    assert shown_dsn(dsn) == shown


def test_our_options_are_taken_out() -> None:
    """What is not ours stays in the URL, for the driver."""
    url = "postgresql://me:p%40w@db/runs?sslmode=verify-full&schema=a%20b&host=%2Frun"
    assert split_url(url, {"schema"}) == (
        "postgresql://me:p%40w@db/runs?sslmode=verify-full&host=%2Frun",
        {"schema": "a b"},
    )
    assert split_url("postgres://db/runs", {"schema"}) == ("postgres://db/runs", {})


@pytest.mark.parametrize(
    "url", ["", "postgres:", "mysql://db/runs", "postgres://db?schema", "postgres://db?schema=a&schema=b"]
)
def test_other_urls_are_refused(url: str) -> None:
    """Each is an InvalidValueError."""
    with pytest.raises(InvalidValueError):
        split_url(url, {"schema"})
