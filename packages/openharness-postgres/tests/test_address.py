"""What of a URL is shown, and what of it is ours."""

from __future__ import annotations

import pytest

from openharness.core import InvalidValueError
from openharness.postgres import Names, Schema, Settings
from openharness.postgres._address import checked_dsn, shown_dsn, split_url


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


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:one/s3cret@db/runs",
        "postgresql://me:1/s3cret@db/runs",
        "postgresql://me:one?s3cret@db/runs",
        "postgresql://me:1#s3cret@db/runs",
        "postgresql://me:one@s3cret@db/runs",
        "postgresql://db/runs?password=one#s3cret",
        "postgresql://db/runs?password=one&s3cret",
        "postgresql://me:s3cret@db:port/runs",
        "postgresql://me:s3cret@db:99999/runs",
        "postgresql://me:s3cret@[::1/runs",
        "postgresql://me:s3cret@one,,two/runs",
        "me:s3cret@db://runs",
    ],
)
def test_a_password_that_is_not_percent_encoded_is_refused(dsn: str) -> None:
    """What would be read as a host, a port, a database or an option is refused, and no part of it is shown."""
    with pytest.raises(InvalidValueError) as caught:
        checked_dsn(dsn)
    assert "s3cret" not in str(caught.value)
    assert "one" not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "postgresql://",
        "postgresql://me:one%2F%3F%23%40two:three@[::1]:5432,db:,%2Frun%2Fpostgresql/runs%40?user=me@corp&options=",
        "postgresql:///runs?host=/run/one,/run/two&port=1,2",
        "postgres://:5432",
    ],
)
def test_other_parts_may_be_anything(dsn: str) -> None:
    """Addresses, sockets, several hosts and options are taken as they are."""
    assert checked_dsn(dsn) is dsn


def test_settings_show_no_password() -> None:
    """Settings in a traceback or a log say where to, and nothing secret."""
    settings = Settings(
        dsn="postgresql://me:s3cret@db/runs?password=s3cret",
        names=Names(),
        schema=Schema(component="runs", changed="runs", migrations=()),
        password="s3cret",  # noqa: S106 - that is the point
        ssl=None,
        max_connections=2,
        connect_timeout=1.0,
        command_timeout=1.0,
        reconnect_timeout=1.0,
        statement_cache_size=0,
        store="a store",
    )
    assert "s3cret" not in repr(settings)
    assert "postgresql://db/runs" in repr(settings)
