"""Where the recordings of a test are, and what they are called."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    import pathlib

__all__ = ("FOLDER", "MARKER", "Place", "command", "display_path", "place_of", "run_name")

FOLDER: Final = "recordings"
"""The folder beside the tests."""

MARKER: Final = "recording"
"""The marker that names the recording of a test, or says in which mode the test runs."""

_RUN: Final = "--"
"""Between the name of a test and that of one of its runs; in no plain name."""

# What FileSignalStore writes as it is, and without two separators in a row, which have a meaning here.
_PLAIN: Final = re.compile(r"[a-z0-9_]+(?:[.-][a-z0-9_]+)*")
_NOT_PLAIN: Final = re.compile(r"[^a-z0-9_]+")
_LONGEST: Final = 100
_SHOWN: Final = 60


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the recordings of one test are.

    Attributes:
        folder: The folder of its module.
        name: The fixture name of its first run; those of others begin with it.
        mode: The mode that its marker asks for; None for that of the session.
        drift: What its marker says about differences; None for what the session says.
        is_chosen: Whether the marker chose the name.
    """

    folder: pathlib.Path
    name: str
    mode: Any = None
    drift: Any = None
    is_chosen: bool = False


def place_of(item: pytest.Item) -> Place:
    """Return where the recordings of a test are: by its marker, else by its name.

    Raises:
        UsageError: The marker has other arguments than a name, a mode and drift.
    """
    folder = item.path.parent / FOLDER / item.path.stem
    name: object = None
    mode: object = None
    drift: object = None
    # The closest marker comes first, and one that only chooses a mode leaves the name to those around it.
    for marker in item.iter_markers(MARKER):
        given, chosen, allowed = _read(marker, item)
        name = given if name is None else name
        mode = chosen if mode is None else mode
        drift = allowed if drift is None else drift
    if name is None:
        return Place(folder, _own_name(item), mode, drift)
    return Place(folder, cast("str", name), mode, drift, is_chosen=True)


def _read(marker: pytest.Mark, item: pytest.Item) -> tuple[object, object, object]:
    from openharness.testing._pytest._mode import DRIFT_MODES, MODES

    keywords = dict(marker.kwargs)
    names = [*marker.args, *([keywords.pop("name")] if "name" in keywords else [])]
    mode, drift = keywords.pop("mode", None), keywords.pop("drift", None)
    name = names[0] if names else None
    if keywords or len(names) > 1 or not (name is None or (isinstance(name, str) and name)):
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.{MARKER} takes a name, mode= and drift=, got {marker.args!r} and {marker.kwargs!r}."
        )
    if name is not None:
        _check_name(name, item)
    if mode is not None and mode not in MODES:
        raise pytest.UsageError(f"{item.nodeid}: mode must be one of {', '.join(MODES)}, got {mode!r}.")
    if drift is not None and drift not in DRIFT_MODES:
        raise pytest.UsageError(f"{item.nodeid}: drift must be one of {', '.join(DRIFT_MODES)}, got {drift!r}.")
    return name, mode, drift


def _check_name(name: str, item: pytest.Item) -> None:
    from openharness.core import InvalidValueError
    from openharness.core.records import check_id

    try:
        check_id(name, name="its name")
    except InvalidValueError as error:
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.{MARKER}: {error}") from None
    if _RUN in name:
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.{MARKER}: its name must not hold {_RUN!r}, which stands between the name of a "
            f"test and that of one of its runs, got {name!r}."
        )


def _own_name(item: pytest.Item) -> str:
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    function, bracket, parameters = item.name.partition("[")
    parameters = parameters.removesuffix("]")
    heads = [*classes, function]
    parts = [*heads, parameters] if bracket else heads
    # Parameters are set off by the one separator that no identifier has, so two tests never share a plain name.
    plain = ".".join(heads) + (f"-{parameters}" if bracket else "")
    return plain if all(map(_PLAIN.fullmatch, parts)) and len(plain) <= _LONGEST else _hashed(plain)


def _hashed(text: str) -> str:
    """Return a name for a text that is none: what is readable of it, and a digest that keeps it apart from others."""
    readable = _NOT_PLAIN.sub("-", text.lower())[:_SHOWN].strip("-")
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
    return f"{readable}-{digest}".removeprefix("-")


def run_name(test: str, run: int | str) -> str:
    """Return the fixture name of a run of a test: the first is called as the test is.

    Args:
        test: The name of the test's first run.
        run: The number of the run, from 1, or its own name.
    """
    if run == 1:
        return test
    text = str(run)
    # A run that was named "2" is not the second one.
    is_plain = isinstance(run, int) or (_PLAIN.fullmatch(text) and not text.isdigit() and len(text) <= _SHOWN)
    return f"{test}{_RUN}{text if is_plain else _hashed(text)}"


def is_run_of(name: str, test: str) -> bool:
    """Tell whether a fixture name is one that a run of this test could have."""
    return name == test or name.startswith(f"{test}{_RUN}")


def command(item: pytest.Item) -> str:
    """Return the command that records a test again, as one types it where pytest was started."""
    words = [display_path(item.path, item.config)]
    words += [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    # Only as a module does pytest put the current folder on the path, so one may not do where the other does. The processes
    # of pytest-xdist are told how the first one was called.
    called: list[str] = getattr(item.config, "workerinput", {}).get("mainargv", sys.argv)
    # Empty where a program that is not Python started it.
    program = ["python", "-m", "pytest"] if called and called[0].endswith("__main__.py") else ["pytest"]
    arguments = [*program, "::".join([*words, item.name]), "--harness-mode=record"]
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)


def display_path(path: pathlib.Path, config: pytest.Config) -> str:
    """Return a path as it is seen from where pytest was started."""
    try:
        return os.path.relpath(path, config.invocation_params.dir)
    except ValueError:  # Another drive.
        return str(path)
