"""Check that exactly these packages are installed: ``check_installed.py PYPROJECT...``, one for each.

Run by the `combinations` session in an environment that holds the wheels of one set of packages and nothing else of
ours. It needs nothing but that, so that it can say what is wrong when nothing works.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pathlib
import pkgutil
import re
import sys
import tomllib
from typing import Any


def main(pyprojects: list[str]) -> None:
    """Compare what is installed with what the packages' metadata promises, and stop at the first difference."""
    projects = [tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))["project"] for path in pyprojects]
    wanted = sorted(project["name"] for project in projects)
    require("distributions", sorted(set(our_distributions())), wanted)

    import openharness  # Where nothing is installed, that is said above and not by this line.

    require("owner of the namespace", openharness.__file__, None)
    leaves = sorted(name.removeprefix("openharness-").replace("-", "_") for name in wanted if is_ours(name))
    require(
        "packages in the namespace",
        sorted(module.name for module in pkgutil.iter_modules(openharness.__path__)),
        leaves,
    )
    for leaf in leaves:
        file = importlib.import_module(f"openharness.{leaf}").__file__
        require(f"openharness.{leaf} comes from the environment", sys.prefix in str(file), True)

    promised = {point: value for project in projects for point, value in plugins_of(project).items()}
    # Not importlib.metadata.entry_points(), which without arguments is a dictionary of groups before Python 3.12.
    points = (point for distribution in importlib.metadata.distributions() for point in distribution.entry_points)
    found = [point for point in points if point.group.startswith("openharness.")]
    require("plugins", sorted((point.group, point.name) for point in found), sorted(promised))
    for point in found:
        require(f"{point.group}:{point.name}", point.value, promised[point.group, point.name])
        point.load()

    # Last, what users ask. Imported here, so that whatever is wrong above is said first.
    from openharness.core.plugins import installed_plugins

    ours = sorted((project["name"], name) for project in projects for _, name in plugins_of(project))
    require("installed_plugins()", sorted((plugin.distribution, plugin.name) for plugin in installed_plugins()), ours)
    print(f"installed: {', '.join(wanted)}; plugins: {', '.join(sorted(point.name for point in found))}")


def plugins_of(project: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the plugins that a package's metadata promises: what they are, by group and name."""
    return {
        (group, name): value
        for group, plugins in project.get("entry-points", {}).items()
        for name, value in plugins.items()
        if group.startswith("openharness.")
    }


def our_distributions() -> list[str]:
    """Return every distribution that is ours by its name, by a file in the namespace, or by a plugin."""
    return [
        re.sub(r"[-_.]+", "-", distribution.name).lower()
        for distribution in importlib.metadata.distributions()
        if "openharness" in distribution.name
        or any(file.parts[0] == "openharness" for file in distribution.files or ())
        or any(point.group.startswith("openharness.") for point in distribution.entry_points)
    ]


def is_ours(distribution: str) -> bool:
    """Tell our packages from a third party's, which keeps out of the namespace."""
    return distribution.startswith("openharness-")


def require(what: str, found: object, expected: object) -> None:
    """End with both sides of the difference, if there is one."""
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
