"""Where the file is: paths and URLs, and the ones that would not mean what they seem to."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path
from typing import cast

from openharness.core import InvalidValueError

__all__ = ("checked_path", "file_uri", "split_url")

_IN_MEMORY = "the path of a file (runs kept in memory are what openharness.core.InMemoryRunStore is for)"
_NOT_A_URI = "the path of a file, not a file: URI (options are arguments of the store)"
_URL = "sqlite:///relative/path.db or sqlite:////absolute/path.db, with options as in ?durability=process"


def checked_path(filename: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a store's file, so that changing the working directory does not change the store.

    Args:
        filename: What the user gave.

    Raises:
        InvalidValueError: It is empty (SQLite would make a temporary database and lose it), stands for a database in
            memory, is a URI, or is no path at all.
    """
    try:
        path = os.fspath(filename)
    except TypeError:
        raise InvalidValueError("filename", value=filename, expected="the path of a file, a string or a Path") from None
    if not isinstance(cast("object", path), str):
        raise InvalidValueError("filename", value=path, expected="the path of a file as text, not bytes")
    if not path.strip():
        raise InvalidValueError("filename", value=path, expected="the path of a file")
    if path.startswith(":memory:"):
        raise InvalidValueError("filename", value=path, expected=_IN_MEMORY)
    if "\0" in path:
        raise InvalidValueError("filename", value=path, expected="a path without NUL characters")
    if isinstance(filename, str) and path.startswith("file:"):
        raise InvalidValueError("filename", value=path, expected=_NOT_A_URI)
    # abspath would drop a trailing separator, and with it the difference between a file and a folder.
    if path.endswith(("/", os.sep)):
        raise InvalidValueError("filename", value=path, expected="the path of a file, not of a folder")
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, which is I/O and SQLite's to do


def file_uri(path: Path, mode: str) -> str:
    """Return the URI by which SQLite opens a path, whatever characters are in it.

    Args:
        path: An absolute path.
        mode: ``ro``, ``rw`` (the file must exist) or ``rwc`` (it is created).
    """
    return f"{path.as_uri()}?mode={mode}"


def split_url(url: str) -> tuple[str, dict[str, str]]:
    """Return the path and the options of a URL such as ``sqlite:///runs.db?durability=process``.

    Args:
        url: The URL, whole or without its ``sqlite:``. In the path, ``%3F`` stands for ``?`` and so on.

    Raises:
        InvalidValueError: It is not of this form, or gives an option twice.
    """
    if not isinstance(cast("object", url), str):
        raise InvalidValueError("url", value=url, expected=_URL)
    rest = url.removeprefix("sqlite:")
    path, _, query = rest.partition("?")
    if not path.startswith("///"):
        raise InvalidValueError("url", value=url, expected=_URL)
    try:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InvalidValueError("url", value=url, expected=_URL) from None
    options = dict(pairs)
    if len(options) != len(pairs):
        raise InvalidValueError("url", value=url, expected="a URL that gives each option once")
    return urllib.parse.unquote(path[3:], errors="surrogateescape"), options
