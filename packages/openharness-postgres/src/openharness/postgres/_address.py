"""URLs: what of them is ours, and what of them may be shown."""

from __future__ import annotations

import os
import pathlib
import re
import urllib.parse
from typing import TYPE_CHECKING, Final, cast

from openharness.core import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ("checked_dsn", "missing_file", "shown_dsn", "split_url")

_SCHEMES: Final = ("postgresql", "postgres")
_URL: Final = "a URL such as postgresql://user@host:5432/database?sslmode=verify-full"
_ENCODED: Final = f"{_URL}, with %2F %3F %23 %40 for / ? # @ in a name or a password"
_SCHEME: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*")
_HOST: Final = re.compile(r"(?:\[[^\[\]]+\]|[^\[\]:]*)(?::([0-9]{0,5}))?")
_LAST_PORT: Final = 65535
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def checked_dsn(dsn: str) -> str:
    """Return the URL of a database, of which nothing has been asked yet.

    Args:
        dsn: What the user gave; empty for what ``PGHOST`` and the other variables of PostgreSQL say.

    Raises:
        InvalidValueError: It is no URL of a PostgreSQL database, or one in which a password is not written as it must be,
            so that a part of it would be read, and shown, as something else. The error does not hold it.
    """
    if not isinstance(cast("object", dsn), str):
        raise InvalidValueError("dsn", value=type(dsn), expected=_URL)
    if dsn and _scheme(dsn) not in _SCHEMES:
        raise InvalidValueError("dsn", value=f"{_scheme(dsn)}:…", expected=_URL)
    if "\0" in dsn:
        raise InvalidValueError("dsn", value="…\0…", expected=_URL)
    if dsn and not _is_readable(dsn):
        raise InvalidValueError("dsn", value=f"{_scheme(dsn)}://…", expected=_ENCODED)
    return dsn


def _scheme(dsn: str) -> str:
    scheme, colon, _ = dsn.partition("://")
    return scheme if colon and _SCHEME.fullmatch(scheme) else ""


def _is_readable(dsn: str) -> bool:
    """Tell whether each part of a URL ends where its writer meant it to."""
    rest, _, query = dsn.partition("://")[2].partition("?")
    place, _, database = rest.partition("/")
    if "#" in dsn or "@" in database or place.count("@") > 1:
        return False
    hosts = place.rpartition("@")[2].split(",")
    for host in hosts:
        found = _HOST.fullmatch(host)
        if found is None or int(found[1] or 0) > _LAST_PORT or (not host and len(hosts) > 1):
            return False
    try:
        urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        return False
    return True


def shown_dsn(dsn: str) -> str:
    """Return a URL without user, password and options, for messages."""
    if not dsn:
        return ""
    scheme, _, rest = dsn.partition("://")
    rest, _, query = rest.partition("?")
    place, slash, database = rest.partition("/")
    hosts = place.rpartition("@")[2]
    if not hosts:
        hosts = ",".join(value for name, value in urllib.parse.parse_qsl(query) if name == "host")
    return f"{scheme}://{hosts}{slash}{database}"


def missing_file(dsn: str) -> str | None:
    """Return which file that a URL names, or a variable such as ``PGSSLROOTCERT``, is not there; None where all are."""
    options = dict(urllib.parse.parse_qsl(dsn.partition("?")[2]))
    for name in _FILES:
        path = options.get(name) or os.environ.get(f"PG{name.upper()}")
        if path and not pathlib.Path(path).exists():
            return f"the file {path!r} ({name})"
    return None


def split_url(url: str, options: Collection[str]) -> tuple[str, dict[str, str]]:
    """Return a URL without some of its options, and those.

    Args:
        url: The URL, whole.
        options: The names of the options that are taken out; all others are the driver's.

    Raises:
        InvalidValueError: It is not of this form, or gives an option twice.
    """
    dsn, _, query = checked_dsn(url).partition("?")
    if not dsn:
        raise InvalidValueError("url", value=url, expected=_URL)
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    ours = [(name, value) for name, value in pairs if name in options]
    if len(dict(ours)) != len(ours):
        raise InvalidValueError("url", value=shown_dsn(dsn), expected="a URL that gives each option once")
    rest = urllib.parse.urlencode([pair for pair in pairs if pair[0] not in options])
    return f"{dsn}?{rest}" if rest else dsn, dict(ours)
