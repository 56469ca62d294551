"""Check the rules that the tree follows and that no other tool knows; print what breaks them.

The packages share one namespace, one licence and one version, and they are found by their folders. So a file in the
wrong place, a copy that drifted or a list that forgot a package does not fail by itself: it is missed.
"""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORE_VERSION = "packages/openharness-core/src/openharness/core/_version.py"
TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "docs",
    "noxfile.py",
    "packages",
    "pyproject.toml",
}


def load(path: pathlib.Path) -> dict[str, Any]:
    """Read a TOML file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    """Print every problem; return the exit code."""
    folders = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
    problems = [
        *check_top_level(),
        *check_namespace(),
        *check_lists(folders),
        *(
            problem
            for folder in folders
            for problem in (*check_files(folder), *check_metadata(folder), *check_imports(folder))
        ),
    ]
    for problem in problems:
        print(problem)
    print(f"check_tree: {len(folders)} packages, {len(problems)} problems")
    return 1 if problems or not folders else 0


def check_top_level() -> Iterator[str]:
    """The top level is the first thing anybody sees: what is there was chosen."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607  # git from PATH, as everybody has it.
    for name in sorted({path.split("/")[0] for path in listed.stdout.split("\0") if path}):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield f"{name}: does not belong to the top level"


def check_namespace() -> Iterator[str]:
    """A file directly in openharness/ has no owner; an ``__init__.py`` there hides the other packages."""
    for path in sorted(ROOT.glob("**/src/openharness/*")):
        if path.is_file():
            yield f"{path.relative_to(ROOT)}: nothing may lie in the namespace but the folder of the package"


def check_lists(folders: list[pathlib.Path]) -> Iterator[str]:
    """The tools that cannot find the packages by themselves must have been told of all of them."""
    leaves = sorted(f"openharness.{leaf_of(folder)}" for folder in folders)
    tools = load(ROOT / "pyproject.toml")["tool"]
    for name, listed in (
        ("tool.importlinter.root_packages", tools["importlinter"]["root_packages"]),
        ("tool.coverage.run.source_pkgs", tools["coverage"]["run"]["source_pkgs"]),
    ):
        if sorted(listed) != leaves:
            yield f"pyproject.toml: {name} should be {leaves}"
    (contract,) = (one for one in tools["importlinter"]["contracts"] if one["id"] == "packages")
    if sorted(name for layer in contract["layers"] for name in layer.split(" | ")) != leaves:
        yield f"pyproject.toml: the import contract 'packages' should name each of {leaves}"


def check_files(folder: pathlib.Path) -> Iterator[str]:
    """What a package must hold beside its code, and what it must not."""
    where = folder.relative_to(ROOT)
    leaf = folder / "src" / "openharness" / leaf_of(folder)
    namespace = sorted(path.name for path in leaf.parent.iterdir() if path.is_dir())
    if namespace != [leaf.name]:
        yield f"{where}: should hold openharness/{leaf.name} alone, has {namespace}"
    for path in (folder / "README.md", leaf / "__init__.py", leaf / "py.typed"):
        if not path.is_file():
            yield f"{path.relative_to(ROOT)}: is missing"
    licence = folder / "LICENSE"
    # A copy: a wheel cannot be built from an sdist that holds a link.
    if licence.is_symlink() or licence.read_bytes() != (ROOT / "LICENSE").read_bytes():
        yield f"{where}/LICENSE: should be a copy of the one at the top level"


def check_metadata(folder: pathlib.Path) -> Iterator[str]:
    """Name, licence, Pythons, and the range of versions in which a package looks for its siblings."""
    where = folder.relative_to(ROOT)
    project = load(folder / "pyproject.toml")["project"]
    core = load(ROOT / "packages" / "openharness-core" / "pyproject.toml")["project"]
    if project["name"] != folder.name:
        yield f"{where}: the distribution is named {project['name']}, the folder should be, too"
    for key in ("requires-python", "license"):
        if project[key] != core[key]:
            yield f"{where}: {key} should be {core[key]!r}, as in openharness-core"
    if pythons(project) != pythons(core):
        yield f"{where}: the classifiers should name the Pythons {', '.join(pythons(core))}, as in openharness-core"
    major, minor, _ = version().split(".")
    expected = f">={major}.{minor},<{major}.{int(minor) + 1}"
    for requirement in requirements_of(project):
        bare = requirement.partition(";")[0].strip()
        # An extra may be made of other extras of the same package.
        if bare.startswith("openharness-") and not bare.endswith(expected) and name_of(bare) != project["name"]:
            yield f"{where}: requires {requirement}; with version {version()} the range should be {expected}"


def check_imports(folder: pathlib.Path) -> Iterator[str]:
    """A package imports of ours only what it depends on: here all of them are installed, at a user's they are not."""
    project = load(folder / "pyproject.toml")["project"]
    allowed = {leaf_of(folder), *(leaf_named(name_of(one)) for one in requirements_of(project))}
    for path in sorted(folder.glob("src/**/*.py")):
        for name in imported(ast.parse(path.read_bytes())):
            parts = name.split(".")
            if parts[0] == "openharness" and parts[1] not in allowed:
                yield f"{path.relative_to(ROOT)}: imports {name}, which {folder.name} does not depend on"


def imported(tree: ast.AST) -> Iterator[str]:
    """Return the modules that a module imports anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "openharness":
            yield from (f"openharness.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def requirements_of(project: dict[str, Any]) -> list[str]:
    """Return what a package requires, extras included."""
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(one for extra in extras.values() for one in extra)]


def name_of(requirement: str) -> str:
    """Return the distribution that a requirement names."""
    return re.split(r"[^\w-]", requirement)[0]


def leaf_of(folder: pathlib.Path) -> str:
    """Return the name that a package has below openharness."""
    return leaf_named(folder.name)


def leaf_named(distribution: str) -> str:
    """Return the name that a distribution of ours has below openharness."""
    return distribution.removeprefix("openharness-").replace("-", "_")


def pythons(project: dict[str, Any]) -> list[str]:
    """Return the versions of Python that the classifiers name."""
    return [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]


def version() -> str:
    """Return the one version."""
    text = (ROOT / CORE_VERSION).read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, re.MULTILINE)
    if found is None:
        sys.exit(f'{CORE_VERSION}: should hold a line like __version__ = "1.2.3"')
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
