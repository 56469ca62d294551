"""Make ``python3 noxfile.py`` work on a machine that has only Python.

The standard library alone makes an environment in ``.nox/.bootstrap``, installs nox and uv into it, and starts nox
there. The system's own Python is left as it is, which many systems insist on (PEP 668).
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import platform
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".nox" / ".bootstrap"


def start_nox(arguments: list[str]) -> None:
    """Start nox with these arguments in its own environment, and end with its exit code."""
    python = prepare_environment(read_requirements())
    command = [str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *arguments]
    if os.name == "nt":
        # On Windows os.execv returns to the shell at once and loses the exit code.
        sys.exit(subprocess.call(command))
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  # No shell is wanted.


def read_requirements() -> list[str]:
    """Return what the environment needs, as pyproject.toml lists it."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    requirements: list[str] = pyproject["dependency-groups"]["bootstrap"]
    return requirements


def prepare_environment(requirements: list[str]) -> pathlib.Path:
    """Return the Python of an environment that holds the requirements; make it where it is not there yet."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Written last: an environment whose making was interrupted, or that lacks something new, is made again.
    complete = ENVIRONMENT / "complete"
    wanted = "\n".join(requirements)
    # exists() follows links, so it also notices that the Python the environment was made from is gone.
    if python.exists() and complete.exists() and complete.read_text(encoding="utf-8") == wanted:
        return python
    if any(importlib.util.find_spec(module) is None for module in ("venv", "ensurepip")):
        sys.exit(f"{sys.executable} cannot make environments: its ensurepip is missing. {remedy()}")
    # Imported only now that it is known to be there.
    import venv

    names = " and ".join(requirements)
    print(f"Making {ENVIRONMENT.relative_to(ROOT)} with {names} (once)", flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if subprocess.call([*pip, "install", *requirements]) != 0:
        sys.exit(f"pip could not install {names}; its own words are above.")
    complete.write_text(wanted, encoding="utf-8")
    return python


def remedy() -> str:
    """Say what brings ensurepip on this system."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    # Of the systems in wide use, Debian and its family are the ones that ship it apart.
    if "debian" in {release.get("ID"), *release.get("ID_LIKE", "").split()}:
        sudo = "" if os.geteuid() == 0 else "sudo "
        # The package without a number belongs to the default Python, which this one need not be.
        package = f"python3.{sys.version_info.minor}-venv"
        return f"This command brings it:\n\n    {sudo}apt-get update && {sudo}apt-get install {package}\n"
    return "Install your system's package that holds it (often named python3-venv), or Python from python.org."
