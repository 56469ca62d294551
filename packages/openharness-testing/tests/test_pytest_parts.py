"""The parts of the pytest plugin that need no test run of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from openharness.core import FixtureNotFoundError, OpenHarnessError
from openharness.testing._pytest._books import Books
from openharness.testing._pytest._failures import replay_error
from openharness.testing._pytest._mode import session_mode
from openharness.testing._pytest._names import run_name


@pytest.mark.parametrize(
    "option, variable, ci, expected",
    [
        ("record", "live", "1", ("record", "--harness-mode")),
        (None, "live", "1", ("live", "OPENHARNESS_MODE")),
        (None, "", "true", ("replay", "the default where CI is set")),
        (None, None, "false", ("auto", "the default")),
        (None, None, None, ("auto", "the default")),
    ],
)
def test_where_the_mode_comes_from(
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    variable: str | None,
    ci: str | None,
    expected: tuple[str, str],
) -> None:
    """The option goes before the variable, and that before CI."""
    for name, value in (("OPENHARNESS_MODE", variable), ("CI", ci)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    chosen = session_mode(option)  # type: ignore[arg-type]

    assert (chosen.mode, chosen.reason) == expected


def test_light_where_it_is_not_used() -> None:
    """Loading the plugin, which every test run on the machine does, imports nothing of OpenHarness but itself."""
    program = (
        "import json, sys, openharness.testing._pytest.plugin\n"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith(('openharness.', 'hypothesis', 'attrs')))))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own program

    own = {"openharness.testing", "openharness.testing._pytest"}
    assert {name for name in json.loads(printed) if not name.startswith("openharness.testing._pytest.")} == own


def test_lazy_names() -> None:
    """Every public name is there, whatever is imported first; others are not."""
    import openharness.testing as package

    assert set(package.__all__) == set(package._WHERE)
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


def test_names_of_runs() -> None:
    """No two runs of a test share a name, also when one is called as another is numbered."""
    names = [run_name("test_x", run) for run in (1, 2, 12, "1", "2", "more", "More", "m/ore", "a--b", "x" * 300)]

    assert names[:3] == ["test_x", "test_x--2", "test_x--12"]
    assert names[5] == "test_x--more"
    assert len({name.lower() for name in names}) == len(names)
    assert max(map(len, names)) < 100


def test_books_of_several_processes() -> None:
    """What processes send to one another adds up, and says the same as before."""
    one, other, both = Books(), Books(), Books()
    one.collected = other.collected = {"a.py::test_a": ("a", "test_a"), "a.py::test_b": ("a", "test_b")}
    one.end("a.py::test_a", passed=False)
    one.end("a.py::test_a", passed=True)
    other.end("a.py::test_b", passed=True)
    other.end("a.py::test_b", passed=False)
    other.used.add(("a", "test_b"))
    other.gaps.add("a gap")

    for books in (one, other):
        both.add(json.loads(json.dumps(books.as_data())))

    assert both.ended == set(one.collected)
    assert both.passed == {"a.py::test_a"}
    assert (both.used, both.gaps, both.collected) == ({("a", "test_b")}, {"a gap"}, one.collected)


def test_replay_errors_are_found() -> None:
    """A replay error is found in groups and behind other errors, and nothing else is taken for one."""
    drift = FixtureNotFoundError("x", existing=[])
    behind = OpenHarnessError("behind")
    behind.__cause__ = ExceptionGroup("several", [ValueError(), drift])
    circular = ValueError()
    circular.__context__ = other = KeyError()
    other.__context__ = circular

    assert replay_error(behind) is drift
    assert replay_error(circular) is None
    assert replay_error(None) is None
