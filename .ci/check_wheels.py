"""Check what is in the built packages: ``check_wheels.py DIST DIRECT``.

DIST holds the sdists and the wheels made from them, DIRECT the wheels made from the tree. A wheel may hold one folder
of the namespace, its own: a second owner of a file would delete it for the first when it is uninstalled.
"""

from __future__ import annotations

import pathlib
import sys
import tarfile
import zipfile


def main(dist: pathlib.Path, direct: pathlib.Path) -> int:
    """Print every problem; return the exit code."""
    wheels = sorted(dist.glob("*.whl"))
    problems = [problem for wheel in wheels for problem in check_wheel(wheel, dist, direct)]
    for problem in problems:
        print(problem)
    print(f"check_wheels: {len(wheels)} wheels, {len(problems)} problems")
    return 1 if problems or not wheels else 0


def check_wheel(wheel: pathlib.Path, dist: pathlib.Path, direct: pathlib.Path) -> list[str]:
    """Return what is wrong with one wheel and the sdist that it was made from."""
    problems = []
    distribution, version = wheel.name.split("-")[:2]
    leaf = distribution.removeprefix("openharness_")
    contents = read_wheel(wheel)
    packages = {name for name in contents if ".dist-info/" not in name}
    owned = {tuple(name.split("/")[:2]) for name in packages}
    if owned != {("openharness", leaf)}:
        problems.append(f"{wheel.name}: should hold openharness/{leaf} alone, holds {sorted(owned)}")
    info = f"{distribution}-{version}.dist-info"
    problems.extend(
        f"{wheel.name}: {name} is missing"
        for name in (f"openharness/{leaf}/__init__.py", f"openharness/{leaf}/py.typed", f"{info}/licenses/LICENSE")
        if name not in contents
    )
    twin = direct / wheel.name
    if not twin.exists():
        problems.append(f"{wheel.name}: no wheel of this name was made from the tree")
    else:
        # As pairs, so that a file is named whether it is missing, new or changed.
        differing = sorted({name for name, _ in contents.items() ^ read_wheel(twin).items()})
        problems.extend(f"{wheel.name}: {name} differs from the wheel made from the tree" for name in differing)
    sdist = dist / f"{distribution}-{version}.tar.gz"
    if not sdist.exists():
        return [*problems, f"{sdist.name}: is missing"]
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    forgotten = sorted(name for name in packages if f"src/{name}" not in in_sdist)
    problems.extend(f"{sdist.name}: src/{name} is missing" for name in forgotten)
    return problems


def read_wheel(path: pathlib.Path) -> dict[str, bytes]:
    """Return the files of a wheel by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
