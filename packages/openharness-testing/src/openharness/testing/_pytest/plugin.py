"""The hooks and the fixture of the pytest plugin."""

from __future__ import annotations

import os
import pathlib
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from openharness.testing._pytest._books import Books
from openharness.testing._pytest._drifts import Drifts
from openharness.testing._pytest._guard import ProviderGuard, guarding, watching
from openharness.testing._pytest._mode import DRIFT_MODES, MODES, SessionMode, session_mode
from openharness.testing._pytest._names import MARKER, command, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence

    from openharness.core import DriftMode
    from openharness.testing._postgres._server import PostgresPlace
    from openharness.testing._pytest._fixture import RecordingFixture
    from openharness.testing._pytest._store import TestedSignalStore
    from openharness.testing._pytest._unused import Unused
    from openharness.testing._scripted import ScriptedProvider

_NAME: Final = "openharness-recordings"
_SENT: Final = "openharness_books"
_DRIFTS: Final = "openharness_drifts"

_phases: Final = pytest.StashKey[dict[str, str]]()
_opened: Final = pytest.StashKey["RecordingFixture | None"]()
_scripted: Final = pytest.StashKey["list[ScriptedProvider]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("openharness", "recordings of agents")
    group.addoption(
        "--harness-mode",
        choices=MODES,
        default=None,
        help="how tests with the fixture `recording` run their agents: replay what is recorded, record it anew, replay "
        "or else record (auto), or neither (live). Default: $OPENHARNESS_MODE, else replay where CI is set, else auto.",
    )
    group.addoption(
        "--harness-unused",
        choices=("report", "error", "delete"),
        default=None,
        help="tell of recordings that no test used (report), fail where there are any (error), or delete them. Needs a "
        "session that runs every test it finds.",
    )
    group.addoption(
        "--harness-drift",
        choices=DRIFT_MODES,
        default=None,
        help="what replays of tests with the fixture `recording` do where they differ from the recording: fail "
        "(error), go on and warn of every difference (warn), or go on (ignore). Default: what their harness says, else error.",
    )
    group.addoption(
        "--harness-report",
        metavar="FILE",
        default=None,
        help="write the drift reports of all tests to this file, as JSON.",
    )
    parser.addini(
        "harness_doubles",
        type="args",
        default=[],
        help="types of providers that are no models, which tests may call in every mode",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker, and begin to keep books."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(name, *, mode, drift): name the recording of a test, instead of by the test; run it in another mode; "
        "let its replays differ.",
    )
    mode = session_mode(cast("Any", config.getoption("harness_mode")))
    config.pluginmanager.register(Recordings(config, mode), _NAME)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop."""
    plugin = cast("Recordings | None", config.pluginmanager.unregister(name=_NAME))
    if plugin is not None:
        plugin.end()


@pytest.fixture
def recording(request: pytest.FixtureRequest) -> RecordingFixture:
    """The recordings of this test: give ``**recording.options()`` to its runs. See `RecordingFixture`."""
    plugin = cast("Recordings", request.config.pluginmanager.get_plugin(_NAME))
    return plugin.open(request.node)


@pytest.fixture
def scripted_provider(request: pytest.FixtureRequest) -> type[ScriptedProvider]:
    """`ScriptedProvider`, for providers whose ``assert_done`` the end of this test calls, if nothing else fails it."""
    from openharness.testing._scripted import ScriptedProvider

    made: list[ScriptedProvider] = []
    request.node.stash[_scripted] = made

    class CheckedProvider(ScriptedProvider):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    return CheckedProvider


@pytest.fixture(scope="session")
def openharness_postgres_dsn() -> Iterator[str]:
    """The URL of the PostgreSQL server of this test run, started when the first test asks for it."""
    given = os.environ.get("OPENHARNESS_TEST_POSTGRES_DSN")
    if given:
        yield given
        return
    from openharness.testing._postgres._server import PostgresServer

    with PostgresServer() as server:
        yield server.dsn


@pytest.fixture
def openharness_postgres(openharness_postgres_dsn: str) -> PostgresPlace:
    """A place for the tables of one test. See `openharness.testing.postgres`."""
    from openharness.testing._postgres._server import PostgresPlace

    # Unlike any other, also of other test runs on the same server.
    return PostgresPlace(dsn=openharness_postgres_dsn, schema=f"openharness_test_{secrets.token_hex(8)}")


class Recordings:
    """Keeps the recordings of one session. Registered as a plugin of its own.

    Args:
        config: The configuration of pytest.
        session: The mode of the session.
    """

    def __init__(self, config: pytest.Config, session: SessionMode) -> None:
        self._config = config
        self._session = session
        self._books = Books()
        self._sources: set[pathlib.Path] = set()
        self._unused: list[Unused] = []
        self._current: ProviderGuard | None = None
        self._drifts = Drifts()
        self._report = cast("str | None", config.getoption("harness_report"))
        self._unwritten: OSError | None = None
        self._drift: DriftMode | None = cast("Any", config.getoption("harness_drift"))
        # That of the test which runs this session inside of it, as tests of plugins do.
        self._outer = watching()
        self._found: list[pytest.Item] = []
        self._unused_mode = cast("str | None", config.getoption("harness_unused"))

    def open(self, item: pytest.Item) -> RecordingFixture:
        """Return the recordings of a test."""
        from openharness.testing._pytest._fixture import RecordingFixture
        from openharness.testing._pytest._store import TestedSignalStore

        place = place_of(item)
        store = TestedSignalStore(
            place.folder,
            on_use=lambda name: self._books.use(place.folder, name),
            sharing=lambda: self._books.sharing(place.folder, place.name),
        )
        recording = RecordingFixture(
            place.name, mode=place.mode or self._session.mode, drift=place.drift or self._drift, store=store
        )
        item.stash[_opened] = recording
        return recording

    def end(self) -> None:
        """Watch no more."""
        guarding(self._outer)

    # What is seen of the session.

    def pytest_report_header(self) -> str:
        """Say in which mode the tests run, and why."""
        return f"openharness: mode {self._session.mode} ({self._session.reason})"

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        """Watch while the files of tests are imported, too."""
        guarding(self._watch(collector.nodeid, self._session.mode, {*self._sources, collector.path}, lambda: None))
        try:
            return (yield)
        finally:
            guarding(self._outer)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note every test that there is."""
        self._found.append(item)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check the markers, and note where the recordings of every test are that is to run."""
        # By object: plugins change node ids, too.
        if {id(item) for item in self._found} - {id(item) for item in session.items}:
            # Plugins and conftest files that leave tests out need not tell anybody.
            self._books.gaps.add("some tests were left out")
        self._found.clear()
        for item in session.items:
            try:
                place = place_of(item)
            except pytest.UsageError:
                if not hasattr(self._config, "workerinput"):
                    raise
                # A process of pytest-xdist would end here without a word. The test tells of it once its turn comes.
                continue
            self._books.collected[item.nodeid] = (str(place.folder), place.name)
            # What pytest calls the one test that it makes of an empty list of parameters.
            if "NOTSET" in getattr(getattr(item, "callspec", None), "id", "").split("-"):
                self._books.gaps.add("a test had no parameters this time")
            self._sources.add(item.path)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected."""
        if report.failed:
            self._books.gaps.add("some tests could not be collected")

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note that tests were left out."""
        if items:
            self._books.gaps.add("some tests were deselected")
            deselected = {id(item) for item in items}
            self._found = [item for item in self._found if id(item) not in deselected]

    def pytest_plugin_registered(self, plugin: object) -> None:
        """Note the files of conftest modules."""
        file = getattr(plugin, "__file__", None)
        if isinstance(file, str) and pathlib.Path(file).name == "conftest.py":
            self._sources.add(pathlib.Path(file))

    # One test.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin a test, also one that is run again."""
        __tracebackhide__ = True
        self._current = None
        item.stash[_phases] = {}
        item.stash[_opened] = None
        item.stash[_scripted] = []
        if self._report is not None:
            self._drifts.begin(item.nodeid, command(item))
        try:
            self._current = self._guard(item)
        except pytest.UsageError as error:
            pytest.fail(str(error), pytrace=False)
        guarding(self._current)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Fail a test that reached a provider or could not be replayed, also when it did not notice, or left its script."""
        __tracebackhide__ = True
        result = yield
        if getattr(item, "_excinfo", None):
            # A test of unittest has failed or skipped already: its errors are kept there instead of being raised.
            return result
        if self._current is not None:
            self._current.verdict()
        for provider in item.stash.get(_scripted, ()):
            # A replay asks nobody.
            if provider.requests or item.stash.get(_opened, None) is None:
                provider.assert_done()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Publish what a test has recorded, once everything about it has passed."""
        __tracebackhide__ = True
        if self._current is not None:
            self._current.forget()
        # The guard watches on until the next test has one of its own: what a test leaves running may call between the two.
        result = yield
        if self._current is not None:
            self._current.verdict()
        phases = item.stash.setdefault(_phases, {})
        recording = item.stash.get(_opened, None)
        has_passed = phases.get("setup") == phases.get("call") == "passed"
        if recording is not None and recording.store.unsettled and has_passed:
            from openharness.testing._pytest._apart import run_apart

            run_apart(recording.store.settle())
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note how each phase of a test ended; add what its recordings have to do with a failure."""
        # No error of ours where core was never imported.
        if call.excinfo is not None and "openharness.core" in sys.modules:
            self._complete(item, call.excinfo)
        report = yield
        phases = item.stash.setdefault(_phases, {})
        # A test with subtests has a report of each, and after them one of its own, which does not know of theirs.
        if phases.get(report.when) != "failed":
            phases[report.when] = report.outcome
        if report.failed and call.excinfo is not None:
            self._explain(item, call.excinfo.value, report)
        if report.when == "teardown":
            self._books.end(item.nodeid, passed=set(phases.values()) == {"passed"})
        return report

    def _guard(self, item: pytest.Item) -> ProviderGuard:
        place = place_of(item)

        def opened() -> TestedSignalStore | None:
            recording = item.stash.get(_opened, None)
            return None if recording is None else recording.store

        return self._watch(item.nodeid, place.mode or self._session.mode, self._sources, opened)

    def _watch(
        self, test: str, mode: str, sources: Collection[pathlib.Path], opened: Callable[[], TestedSignalStore | None]
    ) -> ProviderGuard:
        return ProviderGuard(
            test,
            session=self._session,
            mode=mode,
            doubles=cast("list[str]", self._config.getini("harness_doubles")),
            sources=sources,
            opened=opened,
            differed=lambda reports: self._drifts.add(test, reports, raised=False),
        )

    def _complete(self, item: pytest.Item, raised: pytest.ExceptionInfo[BaseException]) -> None:
        """Let an error say what to do in this session, and no more than concerns the test."""
        from openharness.testing._pytest._failures import drift_of, hide_internals, replay_error, with_remedy

        if self._current is not None:
            # A subtest may fail with it while the test goes on.
            self._current.told(replay_error(raised.value))
        drift = drift_of(raised.value)
        if drift is not None:
            if item.stash.get(_opened, None) is not None:
                remedy = f"If the change is meant, record this test again:\n  {command(item)}"
                drift.report = with_remedy(drift.report, remedy)
            self._drifts.add(item.nodeid, [drift.report], raised=True)
        if not self._config.getoption("fulltrace"):
            hide_internals(raised)

    def _explain(self, item: pytest.Item, error: BaseException, report: pytest.TestReport) -> None:
        recording = item.stash.get(_opened, None)
        if recording is None:
            return
        from openharness.testing._pytest._failures import TITLE, advice, replay_error

        found = replay_error(error)
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None and found is error:
            # The summary at the end has one line for each test; in CI pytest would put the whole report there again.
            crash.message = crash.message.partition("\n")[0]
        text = advice(found if found is not None else error, item, recording)
        if text is None:
            return
        add = getattr(report.longrepr, "addsection", None)
        if add is None:
            report.sections.append((TITLE, text))
        else:
            # Shown whatever --show-capture says, and in every file that pytest writes.
            add(TITLE, text)

    # The end.

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over the books of a process of pytest-xdist."""
        self._drifts.take_over(getattr(node, "workeroutput", {}).get(_DRIFTS, {}))
        sent = getattr(node, "workeroutput", {}).get(_SENT)
        if error is not None or sent is None:
            self._books.gaps.add("a process of pytest-xdist was lost")
        else:
            self._books.add(sent)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Send the books to the main process, or write the reports and look for recordings that no test used."""
        if hasattr(self._config, "workerinput"):
            cast("Any", self._config).workeroutput[_DRIFTS] = self._drifts.as_data()
        elif self._report is not None:
            try:
                self._drifts.write(self._config.invocation_params.dir / self._report)
            except OSError as error:
                self._unwritten = error
                # Whoever reads the file next must not take what was there before for the reports of this session.
                _fail(session)
        if self._unused_mode is None:
            return
        self._note_gaps(session, exitstatus)
        if hasattr(self._config, "workerinput"):
            cast("Any", self._config).workeroutput[_SENT] = self._books.as_data()
            return
        if self._books.collected.keys() - self._books.ended:
            self._books.gaps.add("some tests were not run")
        if self._books.gaps:
            return
        from openharness.testing._pytest._unused import delete_unused, find_unused

        self._unused = find_unused(self._books, modules=self._config.getini("python_files"))
        if self._unused_mode == "delete":
            delete_unused(self._unused)
        elif self._unused_mode == "error" and self._unused:
            _fail(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell of reports that could not be written, and of recordings that no test used."""
        if self._unwritten is not None:
            terminalreporter.write_line(
                f"openharness: the drift reports could not be written to {self._report}: {self._unwritten}", red=True
            )
        if self._unused_mode is None:
            return
        if self._books.gaps:
            reasons = ", ".join(sorted(self._books.gaps))
            terminalreporter.write_line(f"openharness: did not look for unused recordings, as {reasons}")
        elif not self._unused:
            terminalreporter.write_line("openharness: no unused recordings")
        else:
            terminalreporter.section("unused recordings")
            for unused in self._unused:
                terminalreporter.write_line(unused.told(self._config))
            what = "deleted" if self._unused_mode == "delete" else "not deleted; --harness-unused=delete does that"
            terminalreporter.write_line(f"{len(self._unused)} {what}")

    def _note_gaps(self, session: pytest.Session, exitstatus: int) -> None:
        config = self._config
        if any("::" in argument for argument in config.args):
            self._books.gaps.add("single tests were chosen")
        # These leave out tests without telling anybody.
        if any(config.getoption(option, default=False) for option in ("lf", "stepwise", "collectonly", "setuponly")):
            self._books.gaps.add("only a part of the tests was to be run")
        if self._session.mode == "live":
            self._books.gaps.add("the tests ran live, which uses none")
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or session.shouldstop:
            self._books.gaps.add("the session ended early")


def _fail(session: pytest.Session) -> None:
    """Let a session fail in which every test has passed."""
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
