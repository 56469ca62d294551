"""Every example of the documentation is run, in the order of its page and in one folder for each page.

* A ``python`` block is executed; later blocks of the page see what it defined. With a caption it is a file, written and
  not executed.
* A ``text`` block holds what the ``python`` block before it printed; ``...`` stands for any text.
* In a ``console`` block, each line that begins with ``$`` is run and must succeed; the lines below it are what it
  prints. What would install packages or start a session of the noxfile is not run.

Anything else, such as ``none``, is only shown.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import pytest
from sybil import Document
from sybil.parsers.myst import CodeBlockParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sybil import Example

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOWN_ONLY = {"_build", "changelog.d", "examples"}
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("packages/*/README.md")),
    *sorted(
        page for page in ROOT.glob("docs/**/*.md") if not SHOWN_ONLY.intersection(page.relative_to(ROOT / "docs").parts)
    ),
]
# They run whole contract suites.
SLOW = ("write-a-provider.md", "write-a-signal-store.md")
NOT_RUN = ("export ", "git clone ", "python -m pip install ", "python3 noxfile.py ")
PRINTED = "printed by the last example"
# What pages call the reader's server and the schema in it, and what they are called here.
SERVER = ("postgresql://agents@db.example/agents", "history")
PLACE = "the server of this test run"
MODULE = "documentation_example"


def run_python(example: Example) -> None:
    """Execute a block, or write it to the file that its caption names."""
    caption = example.region.lexemes.get("options", {}).get("caption")
    if caption is not None:
        file = pathlib.Path(caption)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(example.parsed, encoding="utf-8")
        return
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    for shown, real in zip(SERVER, example.namespace.get(PLACE, ()), strict=False):
        source = source.replace(f'"{shown}"', f'"{real}"')
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, example.path, "exec", dont_inherit=True), example.namespace)  # noqa: S102 - our own pages
    example.namespace[PRINTED] = printed.getvalue()


def compare_output(example: Example) -> None:
    """Compare a block with what the one before it printed."""
    check_output(expected=example.parsed, actual=example.namespace.pop(PRINTED))


def run_console(example: Example) -> None:
    """Run the commands of a block, and compare what they print with the lines below them."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", example.parsed, re.MULTILINE):
        if command.startswith(NOT_RUN):
            continue
        words = shlex.split(command)
        # The one plugin takes longer to import than all the rest, and no page uses it.
        environment = {**os.environ, "PYTHONUTF8": "1", "PYTEST_ADDOPTS": "-p no:hypothesispytest"}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        assert words[0] == "python", f"{command!r} is not run by this test"
        done = subprocess.run(  # noqa: S603 - our own pages
            [sys.executable, *words[1:]],
            check=False,
            env=environment,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        if expected.strip():
            check_output(expected=expected, actual=done.stdout)


def check_output(*, expected: str, actual: str) -> None:
    """Fail with a diff unless the texts agree."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    checker = doctest.OutputChecker()
    assert checker.check_output(expected, actual, options), checker.output_difference(
        doctest.Example("", expected), actual, doctest.REPORT_NDIFF
    )


PARSERS = [
    CodeBlockParser("python", run_python),
    CodeBlockParser("text", compare_output),
    CodeBlockParser("console", run_console),
]


@pytest.fixture
def namespace(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """The globals of a page's examples, which run in an empty folder and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in os.environ if name.startswith("OPENHARNESS_")]:
        monkeypatch.delenv(name)
    module = types.ModuleType(MODULE)
    # Classes are looked up in the module that they name.
    monkeypatch.setitem(sys.modules, MODULE, module)
    before = set(sys.modules)
    path = list(sys.path)
    environment = dict(os.environ)
    yield vars(module)
    # A page may set what its reader would set.
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    for name in set(sys.modules) - before:
        file = str(getattr(sys.modules[name], "__file__", ""))
        if file.startswith((str(tmp_path), str(ROOT / "docs"))):
            del sys.modules[name]
    # Objects that the examples left behind complain here, not in another test.
    vars(module).clear()


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.relative_to(ROOT).as_posix(),
            marks=[pytest.mark.slow, pytest.mark.timeout(300)] if page.name in SLOW else [],
        )
        for page in PAGES
    ],
)
def test_page(page: pathlib.Path, namespace: dict[str, object], request: pytest.FixtureRequest) -> None:
    """Every example of a page runs and prints what the page says."""
    if page.parent.name.endswith("-postgres"):
        place = request.getfixturevalue("openharness_postgres")
        namespace[PLACE] = (place.dsn, place.schema)
    document = Document.parse(str(page), *PARSERS)
    document.namespace = namespace
    namespace["__file__"] = str(page)
    for example in document.examples():
        try:
            example.evaluate()
        except Exception as error:
            error.add_note(f"in {page.relative_to(ROOT)}, line {example.line}")
            raise


def test_readme() -> None:
    """The README opens with one sentence and a program of at most 25 lines, and names sessions that exist."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    opening, rest = text.split("\n\n", 2)[1:]
    program = rest.removeprefix("```python\n").split("\n```\n")[0].splitlines()

    assert opening.endswith(".")
    assert ". " not in opening
    assert len(program) <= 25
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for session in re.findall(r"python3 noxfile.py -s (\w+)", text):
        assert f"def {session}(session" in noxfile
