"""The pytest plugin, in test runs of their own: a real provider that counts its calls, and recordings in real files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

pytest_plugins = ("pytester",)

# Each starts several test runs, which import everything anew.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p no:cacheprovider
pythonpath = src
"""

# It tells of its requests itself, as any provider may.
MODEL = """
import pathlib
import sys

from openharness.core import Completed, Provider, ProviderOutput, TextDelta, Usage

CALLS = pathlib.Path(__file__).parent.parent / "calls.txt"


def calls():
    return len(CALLS.read_text().splitlines()) if CALLS.exists() else 0


class Model(Provider):
    type = "acme"
    announces = True

    async def run(self, request, context):
        if self.announces:
            sys.audit("openharness.provider.request", self, context)
        with CALLS.open("a") as log:
            log.write(context.call + "\\n")
        text = f"answer {calls()}"
        yield TextDelta(text)
        yield Completed(ProviderOutput(content=text, usage=Usage(input_tokens=3, output_tokens=2, cost=0.5)))
"""

DESK = """
import attrs

from acme_model import Model
from openharness.core import create_harness


@attrs.define
class Desk:
    article: str = "ducks"
    facts: str = ""
    headline: str = ""


harness = create_harness(Desk, provider=Model())
AGENTS = {
    "reader": harness.agent(
        prompt="List the facts in: {{ state.article }}", activate_on="harness:start", updates="facts", emits="facts:found"
    ),
    "editor": harness.agent(
        prompt="Write a headline: {{ state.facts }}", activate_on="facts:found", updates="headline"
    ),
}
"""

TEST = """
from desk import AGENTS, Desk, harness


async def test_headline(recording):
    result = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
    assert result.state.headline.startswith("answer")
"""


class Project:
    """A project with agents and tests, as a user has one."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeini(INI)
        (self.path / "src").mkdir()
        (self.path / "src/acme_model.py").write_text(MODEL)
        (self.path / "src/desk.py").write_text(DESK)

    def write(self, name: str, text: str) -> None:
        """Write a file below the folder of the tests."""
        path = self.path / "tests" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in a process of its own, without plugins that take long to import and are not needed."""
        return self.pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:anyio", *arguments)

    @property
    def calls(self) -> int:
        """How often the model was called."""
        path = self.path / "calls.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def fixtures(self, module: str = "test_desk") -> list[str]:
        """The names of the files that are published for a module."""
        return sorted(path.name for path in (self.path / "tests/recordings" / module).glob("*.jsonl"))

    def unpublished(self, module: str = "test_desk") -> int:
        """How many recordings are kept that no fixture name means."""
        return len(list((self.path / "tests/recordings" / module / "unpublished").glob("*.jsonl")))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two agents, outside of CI."""
    for name in ("CI", *(name for name in os.environ if name.startswith(("OPENHARNESS_", "PYTEST_ADDOPTS")))):
        monkeypatch.delenv(name, raising=False)
    return Project(pytester)


def test_recorded_once_and_replayed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of CI a test is recorded the first time, and from then on replayed without a call; in CI, too."""
    project.write("test_desk.py", TEST)

    project.run().assert_outcomes(passed=1)
    assert project.fixtures() == ["test_headline.jsonl"]
    assert project.calls == 2

    project.run().assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "true")
    project.run().assert_outcomes(passed=1)
    assert project.calls == 2
    assert project.unpublished() == 0


def test_nothing_recorded_in_ci(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI a test without a recording fails without a call, and its report says how to record it."""
    project.write("test_desk.py", TEST)
    monkeypatch.setenv("CI", "1")

    result = project.run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "openharness: mode replay (the default where CI is set)",
            "E *FixtureNotFoundError: There is no recording for the fixture 'test_headline'.*",
            "*OpenHarness recording*",
            "    python -m pytest tests/test_desk.py::test_headline --harness-mode=record",
        ]
    )
    assert project.calls == 0


@pytest.mark.parametrize("processes", ["-n0", "-n1"])
def test_the_command_is_called_as_pytest_was(project: Project, processes: str) -> None:
    """Who calls pytest as a module is told so, since only then the current folder is on the path; others are not."""
    project.write("test_desk.py", TEST)
    program = "import sys, pytest; sys.argv[0] = '/opt/bin/pytest'; sys.exit(pytest.console_main())"
    record = "pytest tests/test_desk.py::test_headline --harness-mode=record"

    as_program = project.pytester.run(sys.executable, "-c", program, "--harness-mode=replay", processes)
    as_module = project.run("--harness-mode=replay", processes)

    as_program.stdout.fnmatch_lines([f"    {record}"])
    as_module.stdout.fnmatch_lines([f"    python -m {record}"])


@pytest.mark.parametrize(
    "change",
    ['assert result.state.headline == "no"', "request.addfinalizer(lambda: 1 / 0)", 'pytest.skip("not today")'],
)
def test_not_published_unless_passed(project: Project, change: str) -> None:
    """A test that fails, fails when it is torn down, or skips, leaves the fixture before, and the new one beside it."""
    project.write("test_desk.py", TEST)
    project.run("--harness-mode=record")
    before = (project.path / "tests/recordings/test_desk/test_headline.jsonl").read_bytes()
    changed = TEST.replace("(recording)", "(recording, request)").replace("from desk", "import pytest\nfrom desk")
    project.write("test_desk.py", f"{changed}    {change}\n")

    result = project.run("--harness-mode=record")

    assert result.parseoutcomes().keys() & {"failed", "errors", "skipped"}
    assert (project.path / "tests/recordings/test_desk/test_headline.jsonl").read_bytes() == before
    assert project.unpublished() == 1
    assert project.calls == 4
    if "skip" not in change:
        result.stdout.fnmatch_lines(["Recorded, but not published, as the test did not pass: test_headline (rec_*"])


def test_published_in_place_of_the_one_before(project: Project) -> None:
    """A test that is recorded again and passes has a new recording; the one before is kept unpublished."""
    project.write("test_desk.py", TEST)
    project.run("--harness-mode=record")
    before = (project.path / "tests/recordings/test_desk/test_headline.jsonl").read_bytes()

    project.run("--harness-mode=record").assert_outcomes(passed=1)

    assert project.calls == 4
    assert (project.path / "tests/recordings/test_desk/test_headline.jsonl").read_bytes() != before
    assert project.unpublished() == 1


def test_a_run_that_is_to_fail_is_published(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test passes because its run fails, that run is its recording, and replays without a call."""
    project.write(
        "test_desk.py",
        """
import pytest
from desk import AGENTS, Desk, harness
from openharness.core import AgentError, LimitExceededError


async def test_limit(recording):
    with pytest.raises(LimitExceededError):
        await harness.run_reactive(agents=AGENTS, state=Desk(), max_activations=1, **recording.options())


async def test_reducer(recording):
    def fail(state, signal):
        raise ValueError("no facts")

    with pytest.raises(AgentError, match="no facts"):
        await harness.run_reactive(
            agents=AGENTS, state=Desk(), reducers={"facts:found": fail}, **recording.options()
        )


async def test_again(recording):
    options = recording.options()
    if recording.mode == "auto":
        with pytest.raises(LimitExceededError):
            await harness.run_reactive(agents=AGENTS, state=Desk(), max_activations=1, **options)
    # What has failed is not what the name means: this is a new run, and what is replayed from then on.
    result = await harness.run_reactive(agents=AGENTS, state=Desk(), **options)
    assert result.replayed == (recording.mode == "replay")
""",
    )

    project.run().assert_outcomes(passed=3)
    assert project.fixtures() == ["test_again.jsonl", "test_limit.jsonl", "test_reducer.jsonl"]
    assert project.unpublished() == 1
    calls = project.calls

    monkeypatch.setenv("CI", "true")
    project.run().assert_outcomes(passed=3)
    assert project.calls == calls


def test_names(project: Project) -> None:
    """Each test has a file of its own, with a name that every file system takes."""
    project.write(
        "test_desk.py",
        """
import pytest
from desk import AGENTS, Desk, harness


@pytest.mark.parametrize("article", ["ducks", "a/b", "a b", "..", "", "v-1.5", "D\\u00fccks"])
async def test_each(recording, article):
    await harness.run_reactive(agents=AGENTS, state=Desk(article), **recording.options())


class TestDesk:
    async def test_each(self, recording):
        await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
        await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
        await harness.run_reactive(agents=AGENTS, state=Desk("more"), **recording.options("follow-up"))
        await harness.run_reactive(agents=AGENTS, state=Desk("more"), **recording.options("2"))


@pytest.mark.recording("ducks")
async def test_named(recording):
    await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
""",
    )

    project.run("-n0").assert_outcomes(passed=9)

    names = project.fixtures()
    assert len(names) == 12
    assert len({name.lower() for name in names}) == 12
    assert {"ducks.jsonl", "test_each-ducks.jsonl", "test_each-v-1.5.jsonl"} <= set(names)
    assert all(re.fullmatch(r"[a-z0-9_.-]+\.jsonl", name) for name in names)
    own = [name for name in names if name.startswith("testdesk-test_each-")]
    (first,) = (name.removesuffix(".jsonl") for name in own if "--" not in name)
    assert {f"{first}--2.jsonl", f"{first}--follow-up.jsonl"} < set(own)
    assert len(own) == 4
    calls = project.calls

    project.run("--harness-mode=replay").assert_outcomes(passed=9)
    assert project.calls == calls


def test_two_tests_of_one_name(project: Project) -> None:
    """Two tests may replay one recording; neither of them may record over what the other one replays."""
    shared = TEST.replace("async def", '@pytest.mark.recording("ducks")\nasync def').replace(
        "from", "import pytest\nfrom", 1
    )
    project.write("test_desk.py", shared + shared.partition("\n\n\n")[2].replace("test_headline", "test_again"))

    result = project.run("--harness-mode=record")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E *2 tests would record the fixture 'ducks': *test_again, *test_headline.*"])
    assert project.calls == 0

    project.run("--harness-mode=record", "-k", "again").assert_outcomes(passed=1, deselected=1)
    project.run("--harness-mode=replay").assert_outcomes(passed=2)
    assert project.calls == 2


@pytest.mark.parametrize(
    "marker, complaint",
    [
        ("recording(1)", "takes a name*got (1,)*"),
        ('recording("a", "b")', "takes a name*"),
        ('recording(mood="live")', "takes a name*"),
        ('recording(mode="lively")', "mode must be one of *"),
        ('recording(drift="mode")', "drift must be one of *"),
        ('recording("x" * 201)', "its name must be a string of 1 to 200 bytes*"),
        ('recording("\\n")', "its name must be a string of 1 to 200 bytes*"),
        ('recording("a--b")', "its name must not hold '--'*"),
    ],
)
def test_marker_that_cannot_work(project: Project, marker: str, complaint: str) -> None:
    """A marker that means nothing stops the session before any test, naming the test."""
    project.write("test_desk.py", f"import pytest\n\npytestmark = pytest.mark.{marker}\n{TEST}")

    result = project.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: tests/test_desk.py::test_headline: *{complaint}"])


def test_marker_that_cannot_work_in_several_processes(project: Project) -> None:
    """A process of pytest-xdist cannot stop the session, so the test fails, and says why."""
    project.write(
        "test_desk.py", f"import pytest\n\n@pytest.mark.recording(modee='live')\ndef test_wrong(): ...\n{TEST}"
    )

    result = project.run("-n2")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["tests/test_desk.py::test_wrong: @pytest.mark.recording takes a name, mode= and drift=, got *"]
    )
    assert "Traceback" not in result.stdout.str()


def test_a_variable_that_names_no_mode(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in the variable stops the session: it would otherwise run in a mode that nobody chose."""
    project.write("test_desk.py", TEST)
    monkeypatch.setenv("OPENHARNESS_MODE", "reply")

    result = project.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*OPENHARNESS_MODE must be one of replay, record, auto, live, got 'reply'*"])


def test_drift(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift is told in the test's own lines, with the command that records it again, and that command mends it."""
    project.write("test_desk.py", TEST)
    project.run()
    # There pytest cuts no line of its summary.
    monkeypatch.setenv("CI", "true")
    desk = project.path / "src/desk.py"
    desk.write_text(desk.read_text().replace("Write a headline", "Write a funny headline"))

    result = project.run("--harness-mode=replay", "--show-capture=no")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">   * await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())",
            "E *ReplayDriftError: Replay drifted from recording * (fixture 'test_headline') *the prompt of agent 'editor'*",
            'E *content: recorded "Write a headline: answer 1", actual "Write a funny headline: answer 1"',
            "E *How it came to this:",
            "E * provider:start [[]editor#1[]]   <- here",
            "E *If the change is meant, record this test again:",
            "*- OpenHarness recording -*",
            "The recording is in tests/recordings/test_desk. *",
        ],
        consecutive=False,
    )
    result.stdout.no_fnmatch_line("*_runner.py*")
    assert str(result.stdout).count("How it came to this:") == 1
    (command,) = (line[1:].strip() for line in result.outlines if re.match(r"E +python -m pytest ", line))
    again = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=project.path, check=False)  # noqa: S603 - our own command
    assert again.returncode == 0
    project.run("--harness-mode=replay").assert_outcomes(passed=1)


def test_an_error_of_the_program_is_shown_as_the_cause_of_drift(project: Project) -> None:
    """Where a guard fails that did not, its own traceback is there, and none of the engine's."""
    project.write("test_desk.py", TEST)
    project.run()
    desk = project.path / "src/desk.py"
    desk.write_text(desk.read_text().replace('updates="headline"', 'updates="headline", when=lambda ctx: 1 / 0 > 1'))

    result = project.run("--harness-mode=replay", "--show-capture=no")

    result.stdout.fnmatch_lines(
        [
            "src/desk.py:*: ZeroDivisionError",
            "E *ReplayDriftError: *the guard of agent 'editor' fails here, and did not when it was recorded*",
            "E *It came of this error: ZeroDivisionError: division by zero",
        ]
    )
    result.stdout.no_re_match_line(r".*(_step|_runner|_loop)\.py.*")


DRIFTING = """
import pytest
from desk import AGENTS, Desk, harness

CHANGED = {**AGENTS, "editor": harness.agent(
    prompt="Write a headline: {{ state.facts }}", activate_on="facts:found", updates="headline", emits="headline:done")}


async def run(agents, recording):
    return await harness.run_reactive(agents=agents, state=Desk(), **recording.options())


async def test_same(recording):
    await run(AGENTS, recording)


async def test_raised(recording):
    await run(AGENTS if recording.mode == "record" else CHANGED, recording)


@pytest.mark.recording(drift="warn")
async def test_warned(recording):
    result = await run(AGENTS if recording.mode == "record" else CHANGED, recording)
    assert recording.mode == "record" or {report.kind for report in result.drift} == {"agents", "emits"}
"""


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_reports_of_all_tests_in_a_file(project: Project, processes: str) -> None:
    """What differs in any test, whether it was raised or warned of, is in one JSON file, however many processes there are."""
    project.write("test_desk.py", DRIFTING)
    project.run("--harness-mode=record").assert_outcomes(passed=3)

    result = project.run("--harness-mode=replay", "--harness-report=out/drift.json", processes)

    result.assert_outcomes(failed=1, passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*The replay differs from its recording in * places:*"])
    written = json.loads((project.path / "out/drift.json").read_text())
    assert (written["format"], written["version"]) == ("openharness/drift-reports", 1)
    told = [(entry["test"].partition("::")[2], entry["raised"], entry["report"]["kind"]) for entry in written["drifts"]]
    assert told[0] == ("test_raised", True, "agents")
    assert {entry[:2] for entry in told[1:]} == {("test_warned", False)}
    assert {entry[2] for entry in told[1:]} == {"agents", "emits"}
    for entry in written["drifts"]:
        name = entry["test"].partition("::")[2]
        assert entry["command"] == f"python -m pytest tests/test_desk.py::{name} --harness-mode=record"
    assert written["drifts"][0]["command"] in written["drifts"][0]["report"]["remedy"]


def test_drift_by_option(project: Project) -> None:
    """The option lets every replay differ that has no marker; without drift the file is there and empty."""
    project.write("test_desk.py", DRIFTING)
    project.run("--harness-mode=record").assert_outcomes(passed=3)

    project.run("--harness-mode=replay", "--harness-drift=ignore").assert_outcomes(passed=3, warnings=1)
    project.run("--harness-mode=replay", "--harness-report=drift.json", "-k", "same").assert_outcomes(
        passed=1, deselected=2
    )
    assert json.loads((project.path / "drift.json").read_text())["drifts"] == []


@pytest.mark.parametrize("warnings", [["-Wignore"], ["-Werror"], ["-p", "no:warnings"]])
def test_reports_of_what_nobody_was_warned_of(project: Project, warnings: list[str]) -> None:
    """The file of the reports does not depend on what becomes of warnings."""
    project.write("test_desk.py", DRIFTING)
    project.run("--harness-mode=record").assert_outcomes(passed=3)

    project.run("--harness-mode=replay", "--harness-report=drift.json", "-k", "warned", *warnings)

    told = json.loads((project.path / "drift.json").read_text())["drifts"]
    assert {(drift["test"], drift["raised"]) for drift in told} == {("tests/test_desk.py::test_warned", False)}


MANY = """
import pytest
from desk import AGENTS, Desk, harness


@pytest.mark.parametrize("number", range(8))
async def test_each(recording, number):
    await harness.run_reactive(agents=AGENTS, state=Desk(str(number)), **recording.options())
"""


def test_xdist(project: Project) -> None:
    """Processes of pytest-xdist record and replay as one does, and together know which recordings nobody used."""
    project.write("test_desk.py", MANY)

    project.run("-n2").assert_outcomes(passed=8)
    assert project.fixtures() == [f"test_each-{number}.jsonl" for number in range(8)]
    assert project.calls == 16

    project.write("test_desk.py", MANY.replace("range(8)", "range(6)"))
    result = project.run("-n2", "--harness-mode=replay", "--harness-unused=delete")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["tests/recordings/test_desk: test_each-6", "*test_each-7", "2 deleted"])
    assert project.fixtures() == [f"test_each-{number}.jsonl" for number in range(6)]
    assert project.calls == 16


def test_reruns(project: Project) -> None:
    """Of a test that is run again, the recording of the attempt that passed is published."""
    project.write("test_desk.py", TEST.replace('.startswith("answer")', ' == "answer 4"'))

    result = project.run("--reruns=1")

    assert result.parseoutcomes() == {"passed": 1, "rerun": 1}
    assert project.fixtures() == ["test_headline.jsonl"]
    assert "answer 4" in (project.path / "tests/recordings/test_desk/test_headline.jsonl").read_text()
    assert project.unpublished() == 1


def test_unused_are_told_and_deleted(project: Project) -> None:
    """Recordings that no test used, also those of a module that is gone, are listed, fail the session, or are deleted."""
    project.write("test_desk.py", TEST + TEST.partition("\n\n\n")[2].replace("headline(", "other("))
    project.write("test_gone.py", TEST)
    project.run()
    project.write("test_desk.py", TEST)
    (project.path / "tests/test_gone.py").unlink()
    # Not that of a test file: somebody keeps recordings there for a purpose of their own.
    shutil.copytree(project.path / "tests/recordings/test_gone", project.path / "tests/recordings/exported")

    told = project.run("--harness-unused=report")
    assert told.ret == 0
    told.stdout.fnmatch_lines(
        [
            "tests/recordings/test_desk: test_other",
            "tests/recordings/test_gone: test_headline",
            "2 not deleted; --harness-unused=delete does that",
        ]
    )
    assert len(project.fixtures()) == 2

    failed = project.run("--harness-unused=error")
    failed.assert_outcomes(passed=1)
    assert failed.ret == pytest.ExitCode.TESTS_FAILED
    failed.stdout.fnmatch_lines(["2 not deleted; --harness-unused=delete does that"])

    project.run("--harness-unused=delete").stdout.fnmatch_lines(["2 deleted"])
    assert project.fixtures() == ["test_headline.jsonl"]
    assert project.fixtures("test_gone") == []
    assert project.fixtures("exported") == ["test_headline.jsonl"]
    last = project.run("--harness-unused=error")
    last.stdout.fnmatch_lines(["openharness: no unused recordings"])
    assert last.ret == 0


NO_PARAMETERS = "import pytest\n\n@pytest.mark.parametrize('number', [])\ndef test_each(number, recording): ..."


@pytest.mark.parametrize(
    "arguments, files, reason",
    [
        ([], {"conftest.py": "def pytest_collection_modifyitems(items):\n    items.pop()"}, "some tests were left out"),
        (["-k", "headline"], {}, "some tests were deselected"),
        (["--deselect", "tests/test_desk.py::test_other"], {}, "some tests were deselected"),
        (["tests/test_desk.py::test_headline"], {}, "single tests were chosen"),
        ([], {"test_broken.py": "import nothing_of_this_name"}, "some tests could not be collected"),
        (["-x"], {"test_a.py": "def test_fails():\n    assert 0"}, "some tests were not run"),
        (["-n2", "-k", "headline"], {}, "some tests were deselected"),
        (["--collect-only"], {}, "only a part of the tests was to be run"),
        (["--setup-only"], {}, "only a part of the tests was to be run"),
        (["--harness-mode=live"], {}, "the tests ran live, which uses none"),
        ([], {"test_none.py": NO_PARAMETERS}, "a test had no parameters this time"),
    ],
)
def test_unused_is_not_guessed(project: Project, arguments: list[str], files: dict[str, str], reason: str) -> None:
    """A session that did not run every test deletes nothing, and says why."""
    project.write("test_desk.py", TEST + TEST.partition("\n\n\n")[2].replace("headline(", "other("))
    project.run()
    for name, text in files.items():
        project.write(name, text)

    result = project.run("--harness-unused=delete", *arguments)

    result.stdout.fnmatch_lines([f"openharness: did not look for unused recordings, as *{reason}*"])
    assert project.fixtures() == ["test_headline.jsonl", "test_other.jsonl"]


def test_unused_after_the_last_failed(project: Project) -> None:
    """A session of what failed last runs a part of a module, and deletes nothing."""
    project.pytester.makeini(INI.replace("addopts = -p no:cacheprovider\n", ""))
    project.write("test_desk.py", TEST + "\n\ndef test_fails():\n    assert 0\n")
    project.run()

    project.run("--lf", "--harness-unused=delete").assert_outcomes(failed=1)

    assert project.fixtures() == ["test_headline.jsonl"]


def test_unused_spares_copies(project: Project) -> None:
    """A test that was renamed, and its recording copied, keeps the copy when the recording of the old name is deleted."""
    project.write("test_desk.py", TEST)
    project.run()
    folder = project.path / "tests/recordings/test_desk"
    (folder / "test_title.jsonl").write_bytes((folder / "test_headline.jsonl").read_bytes())
    project.write("test_desk.py", TEST.replace("test_headline", "test_title"))

    result = project.run("--harness-mode=replay", "--harness-unused=delete")

    result.assert_outcomes(passed=1)
    assert project.fixtures() == ["test_title.jsonl"]


def test_unused_spares_what_a_failed_test_could_use(project: Project) -> None:
    """A test that skips or fails before its run still has its recordings; those of a test that is gone are unused."""
    two = TEST.partition("\n\n\n")[2]
    project.write("test_desk.py", TEST + two.replace("headline(", "other(") + two.replace("headline(", "gone("))
    project.run()
    skips = two.replace("headline(recording):\n", "other(recording):\n    pytest.skip('later')\n")
    fails = TEST.replace("(recording):\n", "(recording):\n    assert 0\n")
    project.write("test_desk.py", f"import pytest\n{fails}{skips}")

    project.run("--harness-unused=delete").assert_outcomes(failed=1, skipped=1)

    assert project.fixtures() == ["test_headline.jsonl", "test_other.jsonl"]


FORGOTTEN = TEST.replace("(recording)", "()").replace(", **recording.options()", "")


@pytest.mark.parametrize("mode", ["replay", "auto"])
def test_guard(project: Project, mode: str) -> None:
    """A run that was not given its recording is stopped before its first request, and the test told what to do."""
    project.write("test_desk.py", FORGOTTEN)

    result = project.run(f"--harness-mode={mode}")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"E *test_headline reached the provider 'acme' with the call reader#1/0/0, and in mode '{mode}'*"]
    )
    assert project.calls == 0


@pytest.mark.parametrize("mode", ["live", "record"])
def test_guard_lets_live_tests_pass(project: Project, mode: str) -> None:
    """Sessions that are to call providers do, and so does a test that is marked as live."""
    project.write("test_desk.py", FORGOTTEN)
    project.run(f"--harness-mode={mode}").assert_outcomes(passed=1)

    project.write("test_desk.py", f'import pytest\n\npytestmark = pytest.mark.recording(mode="live")\n{FORGOTTEN}')
    project.run("--harness-mode=replay").assert_outcomes(passed=1)
    assert project.calls == 4


def test_a_run_that_was_not_given_the_recording(project: Project) -> None:
    """Where there is no provider either, as in CI, the report says what was forgotten."""
    project.write(
        "test_desk.py",
        """
import pytest
from desk import AGENTS, Desk
from openharness.core import create_harness

harness = create_harness(Desk)


async def test_forgotten(recording):
    await harness.run_reactive(agents=AGENTS, state=Desk())


async def test_given(recording):
    await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options(mode="live"))
""",
    )

    result = project.run("--harness-mode=replay")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["E *DefinitionError: Agent 'reader' has no provider.*", "No run of this test was given *"]
    )
    assert str(result.stdout).count("No run of this test was given its recording") == 1


def test_guard_is_not_fooled(project: Project) -> None:
    """A test that expects its run to fail, or calls from another thread, fails all the same."""
    project.write(
        "test_desk.py",
        """
import asyncio, threading
import pytest
from desk import AGENTS, Desk, harness
from openharness.core import AgentError


def test_expected():
    with pytest.raises(AgentError):
        asyncio.run(harness.run_reactive(agents=AGENTS, state=Desk()))


def test_thread():
    def work():
        try:
            asyncio.run(harness.run_reactive(agents=AGENTS, state=Desk()))
        except AgentError:
            pass
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
""",
    )

    project.run("--harness-mode=replay").assert_outcomes(failed=2)
    assert project.calls == 0


CAUGHT = """
import asyncio

import pytest
from desk import AGENTS, Desk, harness
from openharness.core import OpenHarnessError
from openharness.signals import FileSignalStore


async def answer(**options):
    try:
        return (await harness.run_reactive(agents=AGENTS, state=Desk(), **options)).state.headline
    except Exception:
        return "Sorry"


async def test_program(recording):
    assert await answer(**recording.options())


async def test_expected(recording):
    with pytest.raises(OpenHarnessError):
        await harness.run_reactive(agents=AGENTS, state=Desk(), max_activations=1, **recording.options())


async def test_gathered(recording):
    run = harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
    await asyncio.gather(run, return_exceptions=True)


@pytest.fixture
async def late(recording):
    options = recording.options()
    yield
    await answer(**options)


async def test_torn_down(late):
    pass


async def test_own_store(recording):
    store = FileSignalStore(recording.folder)
    assert await answer(store=store, fixture="test_program", mode="replay")
    await answer(**recording.options(mode="live"))
"""


def test_a_caught_replay_error_fails_its_test(project: Project) -> None:
    """A test whose replay failed has not passed, whoever caught the error; one that replays from its own store may."""
    project.write("test_desk.py", CAUGHT)
    result = project.run("--harness-mode=replay", "--deselect=tests/test_desk.py::test_own_store")
    result.assert_outcomes(passed=1, failed=3, errors=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["E*FixtureNotFoundError*", "E*Something caught this error*", "*Nothing is recorded for*"]
    )
    assert project.calls == 0

    project.run().assert_outcomes(passed=5)
    project.run("--harness-mode=replay").assert_outcomes(passed=5)
    desk = project.path / "src/desk.py"
    desk.write_text(desk.read_text().replace("List the facts in", "What is in"))
    drifted = project.run("--harness-mode=replay", "--harness-report=drift.json")
    drifted.assert_outcomes(passed=2, failed=3, errors=1)
    drifted.stdout.fnmatch_lines(
        ["E*ReplayDriftError*", "E*::test_program --harness-mode=record", "E*Something caught*"]
    )
    told = json.loads((project.path / "drift.json").read_text())["drifts"]
    assert [drift["test"].partition("::")[2] for drift in told] == [
        "test_expected",
        "test_gathered",
        "test_program",
        "test_torn_down",
    ]

    (project.path / "tests/recordings/test_desk/test_program.jsonl").write_text("{}\n")
    project.run("--harness-mode=replay", "-k", "test_program").stdout.fnmatch_lines(["*cannot be read*"])


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has subtests since 9")
def test_errors_that_pytest_does_not_raise(project: Project) -> None:
    """A test of unittest, or with subtests, is told that something caught its replay error only where something did."""
    project.write(
        "test_desk.py",
        """
import contextlib, unittest

import pytest
from desk import AGENTS, Desk, harness


class TestDesk(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def keep(self, recording):
        self.recording = recording

    async def test_raised(self):
        await harness.run_reactive(agents=AGENTS, state=Desk(), **self.recording.options())

    async def test_caught(self):
        with contextlib.suppress(Exception):
            await harness.run_reactive(agents=AGENTS, state=Desk(), **self.recording.options())


async def test_part(recording, subtests):
    with subtests.test("part"):
        await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
""",
    )
    project.run("--harness-mode=record").assert_outcomes(passed=3)
    project.run("--harness-mode=replay").assert_outcomes(passed=3)
    desk = project.path / "src/desk.py"
    desk.write_text(desk.read_text().replace("List the facts in", "What is in"))

    result = project.run("--harness-mode=replay")

    # A failed subtest counts beside the test that it is a part of.
    result.assert_outcomes(failed=4)
    assert result.stdout.str().count("Something caught this error") == 1


def test_a_caught_difference_of_an_emitted_signal_fails_its_test(project: Project) -> None:
    """A test that gives a run other signals than were recorded has not passed, though its program takes no notice."""
    project.write(
        "test_desk.py",
        """
import contextlib

from desk import AGENTS, Desk, harness
from openharness.core import OpenHarnessError


async def test_emitted(recording):
    async with harness.start(agents=AGENTS, state=Desk(), **recording.options()) as run:
        with contextlib.suppress(OpenHarnessError):
            await run.emit("note:added", {"mode": recording.mode})
    assert (await run.result()).state.headline
""",
    )
    project.run("--harness-mode=record").assert_outcomes(passed=1)

    result = project.run("--harness-mode=replay")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*ReplayDriftError*'note:added' where 'note:added' was recorded*", "E*Something caught*"]
    )


@pytest.mark.parametrize("mode", ["replay", "auto"])
def test_guard_is_not_fooled_by_the_store(project: Project, mode: str) -> None:
    """Runs that go on from a recording, or take the test's store without its options, call nobody unless they may."""
    text = """
import pytest

from desk import AGENTS, Desk, harness
from openharness.core import LimitExceededError


async def test_forked(recording):
    result = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
    if recording.mode != "record":
        await harness.fork(result.recording_id, at=1, agents=AGENTS, store=recording.store)


async def test_resumed(recording):
    with pytest.raises(LimitExceededError) as caught:
        await harness.run_reactive(agents=AGENTS, state=Desk(), max_activations=1, **recording.options())
    if recording.mode != "record":
        await harness.resume(caught.value.recording_id, agents=AGENTS, store=recording.store)


async def test_live(recording):
    await harness.run_reactive(agents=AGENTS, state=Desk(), store=recording.store)


async def test_other_name(recording):
    options = {**recording.options("one", mode="replay"), "mode": "record", "fixture": "another"}
    await harness.run_reactive(agents=AGENTS, state=Desk(), **options)


async def test_allowed(recording):
    await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options("allowed", mode="record"))
"""
    project.write("test_desk.py", text)
    project.run("--harness-mode=record").assert_outcomes(passed=5)
    calls = project.calls

    result = project.run(f"--harness-mode={mode}")
    result.assert_outcomes(passed=1, failed=4)
    assert project.calls == calls + 2
    for test in ("forked", "resumed", "live", "other_name"):
        result.stdout.re_match_lines([rf".*::test_{test} reached the provider 'acme'"])


def test_guard_knows_doubles(project: Project) -> None:
    """Scripts, providers whose calls a test file answers, and those whose type is listed may be called in every mode."""
    project.write(
        "test_desk.py",
        """
import functools

import acme_model
from desk import AGENTS, Desk, harness
from openharness.core import Completed, FunctionProvider, LimitedProvider, ProviderOutput
from openharness.testing import ScriptedProvider


class Mine(acme_model.Model):
    type = "mine"

    async def run(self, request, context):
        yield Completed(ProviderOutput(content="mine"))


class Tuned(acme_model.Model):
    type = "tuned"


def answer(request, *, text):
    return text


async def test_script():
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=ScriptedProvider(["a", "b"]))


async def test_limited_script():
    limited = LimitedProvider(ScriptedProvider(["a", "b"]), max_concurrency=1)
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=limited)


async def test_limited_model():
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=LimitedProvider(acme_model.Model()))


async def test_mine():
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=Mine())


async def test_function():
    provider = FunctionProvider(functools.partial(answer, text="mine"))
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=provider)


async def test_tuned_model():
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=Tuned())
""",
    )
    project.write("test_listed.py", FORGOTTEN)
    result = project.run("--harness-mode=replay")
    result.assert_outcomes(passed=4, failed=3)
    result.stdout.re_match_lines([r".*::test_tuned_model reached the provider 'tuned'"])
    assert project.calls == 0

    project.run("--harness-mode=replay", "-o", "harness_doubles=tuned acme").assert_outcomes(passed=7)


def test_guard_without_the_help_of_the_provider(project: Project) -> None:
    """The harness itself tells of every request."""
    project.write("test_desk.py", FORGOTTEN.replace("from desk", "import acme_model\nfrom desk", 1))
    model = project.path / "src/acme_model.py"
    model.write_text(MODEL.replace("announces = True", "announces = False"))

    project.run("--harness-mode=replay").assert_outcomes(failed=1)
    assert project.calls == 0


def test_guard_watches_to_the_end(project: Project) -> None:
    """A call while a test is torn down fails it, and so does one after a test run inside of the test."""
    project.write(
        "test_desk.py",
        """
import asyncio, contextlib
import pytest
from desk import AGENTS, Desk, harness
from openharness.core import AgentError

pytest_plugins = ("pytester",)


def call():
    with contextlib.suppress(AgentError):
        asyncio.run(harness.run_reactive(agents=AGENTS, state=Desk()))


def test_torn_down(request):
    request.addfinalizer(call)


def test_inside(pytester):
    pytester.makeini("[pytest]\\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile("def test_x(): pass")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    call()


def test_own_failure():
    call()
    assert 0
""",
    )

    result = project.run("--harness-mode=replay")

    result.assert_outcomes(passed=1, failed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_torn_down*", "*test_torn_down reached the provider*"])
    assert project.calls == 0


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has subtests since 9")
def test_guard_watches_between_tests(project: Project) -> None:
    """What still runs when a test is over calls nobody, neither before the next test nor after the last one."""
    project.write("test_desk.py", "def test_one(): ...\ndef test_two(): ...")
    project.write(
        "conftest.py",
        """
import asyncio, contextlib

from desk import AGENTS, Desk, harness
from openharness.core import AgentError

def pytest_runtest_logfinish():
    with contextlib.suppress(AgentError):
        asyncio.run(harness.run_reactive(agents=AGENTS, state=Desk()))

def pytest_sessionfinish():
    pytest_runtest_logfinish()
""",
    )

    project.run("--harness-mode=replay").assert_outcomes(passed=2)
    assert project.calls == 0


def test_subtests(project: Project) -> None:
    """A test of which a part failed has not passed: what it recorded is not published. One that skips a part has."""
    project.write(
        "test_desk.py",
        """
import asyncio
import pytest
from desk import AGENTS, Desk, harness


@pytest.mark.parametrize("part", ["pass", "pytest.skip('later')", "assert 0"], ids=["passes", "skips", "fails"])
def test_parts(recording, subtests, part):
    asyncio.run(harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options()))
    with subtests.test("one"):
        exec(part)
    with subtests.test("two"):
        pass
""",
    )

    project.run()

    assert project.fixtures() == ["test_parts-passes.jsonl", "test_parts-skips.jsonl"]
    assert project.unpublished() == 1


def test_a_damaged_recording(project: Project) -> None:
    """A recording with the marks of a merge in it fails its test in few words, and the command that is told mends it."""
    project.write("test_desk.py", TEST)
    project.run()
    file = project.path / "tests/recordings/test_desk/test_headline.jsonl"
    file.write_text("<<<<<<< ours\n" + file.read_text())

    result = project.run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*OpenHarness recording*", "The recording in tests/recordings/test_desk cannot be read. *"]
    )
    result.stdout.no_fnmatch_line("*_folder.py*")
    assert project.calls == 2
    (command,) = (line.strip() for line in result.outlines if line.strip().startswith("python -m pytest "))
    again = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=project.path, check=False)  # noqa: S603 - our own command
    assert again.returncode == 0
    project.run("--harness-mode=replay").assert_outcomes(passed=1)


def test_a_recording_of_a_newer_release(project: Project) -> None:
    """A recording that this release cannot read is told in few words, with the command that replaces it."""
    project.write("test_desk.py", TEST)
    project.run()
    recorded = project.path / "tests/recordings/test_desk/test_headline.jsonl"
    recorded.write_text(recorded.read_text().replace('"version":1', '"version":2'))

    result = project.run("--harness-mode=replay")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*StoreVersionError*", "*test_desk.py:*: StoreVersionError", "*was made with a newer release*"]
    )
    assert "_read.py" not in result.stdout.str()
    project.run("--harness-mode=record").assert_outcomes(passed=1)
    project.run("--harness-mode=replay").assert_outcomes(passed=1)


def test_a_damaged_record_of_another_store(project: Project) -> None:
    """An error of another store than that of the recordings says nothing about the recordings."""
    project.write(
        "test_desk.py",
        """
from openharness.core import CorruptRecordError


async def test_history(recording):
    raise CorruptRecordError("run-1", reason="of no worth", store="SqliteRunStore('runs.db')")
""",
    )
    result = project.run()

    result.assert_outcomes(failed=1)
    assert "OpenHarness recording" not in result.stdout.str()


def test_a_report_that_cannot_be_written(project: Project) -> None:
    """Where the file of the reports cannot be written the session fails, and still says how its tests went."""
    project.write("test_desk.py", TEST)
    project.run()

    result = project.run("--harness-report=src")

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["openharness: the drift reports could not be written to src: *"])
    assert not list(project.path.glob("*.tmp"))


def test_guard_watches_what_is_imported(project: Project) -> None:
    """A run that begins while a test file is imported is stopped, and its provider not called."""
    project.write("test_desk.py", f"import asyncio\n{FORGOTTEN}\n\nasyncio.run(test_headline())\n")

    result = project.run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *tests/test_desk.py reached the provider 'acme'*"])
    assert project.calls == 0


def test_sync_tests_and_closed_stores(project: Project) -> None:
    """A test without a loop of its own may run agents, and one that closes the store is published all the same."""
    project.write(
        "test_desk.py",
        """
import asyncio
from desk import AGENTS, Desk, harness


def test_sync(recording):
    asyncio.run(harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options()))


async def test_closed(recording):
    async with recording.store:
        first = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options("one"))
        second = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options("one"))
    assert not first.replayed and second.replayed


async def test_alias(recording):
    result = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
    await recording.store.publish(result.recording_id, "alias")
    assert (await recording.store.find_recording("alias")).id == result.recording_id


async def test_deleted(recording):
    result = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
    await recording.store.delete_recording(result.recording_id)
    assert await recording.store.find_recording("test_deleted") is None
""",
    )

    project.run().assert_outcomes(passed=4)
    assert project.fixtures() == ["alias.jsonl", "test_alias.jsonl", "test_closed--one.jsonl", "test_sync.jsonl"]


def test_options_that_cannot_work(project: Project) -> None:
    """A name or a mode that is none is refused where it is given."""
    project.write(
        "test_desk.py",
        """
import pytest
from openharness.core import InvalidValueError
from openharness.testing import RecordingFixture


def test_refused(recording):
    assert isinstance(recording, RecordingFixture)
    for arguments in ({"run": ""}, {"mode": "lively"}):
        with pytest.raises(InvalidValueError, match="must be"):
            recording.options(**arguments)
    assert recording.options(mode="live") == {"store": recording.store, "mode": "live"}
    assert recording.options()["fixture"] == "test_refused--2"
""",
    )

    project.run().assert_outcomes(passed=1)
