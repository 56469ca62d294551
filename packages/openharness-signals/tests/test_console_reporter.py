"""What people read of runs: the lines, their width, and nothing in them that a terminal would obey."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reporters_support import KINDS, NASTY, hostile_logs, run_told, settled, texts
from rich.cells import cell_len
from signals_support import EXAMPLES, recorded_run, signal
from terminal_support import Screen, Terminal

from openharness.core import InvalidValueError, ToolCall, create_harness
from openharness.core.errors import PatternError
from openharness.signals import ConsoleReporter, MissingLibraryError, ProgressReporter, report_recording
from openharness.signals._reporters._layout import TextLines, column, fit, shown
from openharness.testing import ScriptedProvider

if TYPE_CHECKING:
    from openharness.core import Recording


def printed(recording: Recording, **options: Any) -> str:
    """What is shown of a recording where there is no terminal."""
    stream = io.StringIO()
    with ConsoleReporter(stream, **options) as reporter:
        report_recording(recording, reporter)
    return stream.getvalue()


# --- What is shown ----------------------------------------------------------------------------------------------------


async def test_what_a_run_looks_like() -> None:
    """By default: how it began and ended, tool calls, answers with whom they are of, and the run's own signals."""
    story = "Once upon a time there was a king.\nHe told it every night, until nobody was left to listen."
    recording = settled(await run_told(text=story, kind="retried", max_concurrency=1))
    assert printed(recording, width=70) == (
        "   0.000                harness:start  run run-1, agents teller, … +14\n"
        "   0.500 teller#1       provider:error  overloaded: It is too busy.\n"
        "   0.600 teller#1       provider:retry  once more after 0.0 s\n"
        '   0.900 teller#1       tool:call  search {"q": "rain"}\n'
        "   1.700 teller#1       | Once upon a time there was a king.\n"
        "   2.500 teller#1       | He told it every night, until nobody was\n"
        "   2.800 teller#1       | left to listen.\n"
        '   3.300 teller#1       story:told  "Once upon a time there was a… +66\n'
        '   3.700 helper#1       tool:call  search {"q": "rain"}\n'
        "   4.500 helper#1       | Once upon a time there was a king.\n"
        "   5.300 helper#1       | He told it every night, until nobody was\n"
        "   5.600 helper#1       | left to listen.\n"
        "   6.100                harness:end  completed in 6.1 s, 3 provid… +36\n"
    )


async def test_the_levels() -> None:
    """Each level shows the signals of the one before it and more; debug shows every signal in a line of its own."""
    recording = settled(await run_told(kind="failed"))
    quiet, normal, verbose, debug = (
        printed(recording, level=level, width=100) for level in ("quiet", "normal", "verbose", "debug")
    )
    assert [line.split()[-1] for line in quiet.splitlines()] == ["busy.", "busy.", "+53"]
    assert set(quiet.splitlines()) < set(normal.splitlines()) < set(verbose.splitlines())
    assert "~ Well." in verbose
    assert "provider:start  storyteller, 1 message" in verbose
    assert len(debug.splitlines()) == len(recording.signals)
    for line, one in zip(debug.splitlines(), recording.signals, strict=True):
        assert one.name in line
    assert '"text": "Well. "' in debug


async def test_patterns_add_and_take_away() -> None:
    """What is included is shown at any level, what is excluded never; an unknown level and a bad pattern are errors."""
    recording = settled(await run_told())
    names = [line.split()[2] for line in printed(recording, level="quiet", include="agent:*").splitlines()[:-1]]
    assert names == ["agent:activated", "agent:activated", "agent:completed", "agent:skipped", "agent:completed"]
    left = printed(recording, exclude=["tool:*", "text:delta", re.compile("harness:.*")])
    assert [line.split()[2] for line in left.splitlines()] == ["story:told"]
    assert printed(recording, level="quiet", include="**", exclude="**") == ""
    with pytest.raises(PatternError):
        ConsoleReporter(io.StringIO(), include="a::b")
    with pytest.raises(InvalidValueError, match="level"):
        ConsoleReporter(io.StringIO(), level="loud")  # type: ignore[arg-type]
    for width in (19, 80.0, True):
        with pytest.raises(InvalidValueError, match="width"):
            ConsoleReporter(io.StringIO(), width=width)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["quiet", "normal", "verbose", "debug"])
async def test_live_and_recorded_look_alike(level: Any, kind: str) -> None:
    """What was shown of the run while it went on is what is shown of the recording."""
    stream = io.StringIO()
    with ConsoleReporter(stream, level=level) as reporter:
        recording = await run_told(reporter, kind=kind)
    assert stream.getvalue() == printed(recording, level=level)
    assert stream.getvalue()


async def test_answers_that_come_whole() -> None:
    """An answer that was not streamed is shown when it is there."""
    harness = create_harness()
    stream = io.StringIO()
    agents = {"poet": harness.agent(prompt="Rhyme!", activate_on="harness:start")}
    with ConsoleReporter(stream, exclude="harness:*") as reporter, harness.subscribe("**", reporter):
        await harness.run_reactive(agents=agents, state={}, provider=ScriptedProvider(["Rain,\nagain."]))
    assert [line.partition("| ")[2] for line in stream.getvalue().splitlines()] == ["Rain,", "again."]
    whole = io.StringIO()
    output = {"content": "All at once.", "thinking": "Hm."}
    ConsoleReporter(whole, level="verbose")(signal(0, "provider:end", {"call": "poet#1/0/0", "output": output}))
    assert [line[26:] for line in whole.getvalue().splitlines()] == [
        "~ Hm.",
        "| All at once.",
        "provider:end  0.0 s, 0 + 0 tokens",
    ]


async def test_runs_at_once_are_told_apart() -> None:
    """While several runs go on, each line says which one it is about."""
    one, other = settled(await recorded_run()), await recorded_run()
    stream = io.StringIO()
    reporter = ConsoleReporter(stream, level="verbose")
    reporter(one.signals[0])
    for signal_ in other.signals[:2]:
        reporter(signal_)
    reporter(one.signals[1])
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["harness:start", "[2]", "[2]", "[1]"]


# --- Width and characters ---------------------------------------------------------------------------------------------


@given(hostile_logs, st.integers(20, 130), st.sampled_from(["quiet", "normal", "verbose", "debug"]), st.booleans())
@settings(max_examples=EXAMPLES * 3)
@example([("text:delta", {"call": "a", "text": NASTY * 9}, NASTY)], 20, "normal", False)
def test_no_log_breaks_the_lines(
    log: list[tuple[str, object, str | None]], width: int, level: Any, progress: bool
) -> None:
    """Whatever a log holds, no line is wider than the width, and nothing is written that a terminal would obey."""
    stream = io.StringIO()
    reporter = (
        ProgressReporter(stream, width=width, interval=0.001)
        if progress
        else ConsoleReporter(stream, width=width, level=level)
    )
    with reporter:
        for seq, (name, payload, who) in enumerate(log):
            reporter(signal(seq, name, payload, activation=who, agent=who))
    for line in stream.getvalue().split("\n"):
        assert cell_len(line) <= width
        assert line == "".join(char for char in line if unicodedata.category(char) not in {"Cc", "Cs", "Co", "Cn"})
        assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2028\u2029") & set(line)


@given(texts, st.integers(0, 100))
def test_what_is_cut_off_is_counted(text: str, width: int) -> None:
    """A text that fits is left as it is; one that does not ends with the number of characters that are not there."""
    text = shown(text)
    cut = fit(text, width, cell_len)
    assert cell_len(cut) <= width
    if cut != text:
        kept, mark, number = cut.rpartition("… +")
        if mark:
            assert text.startswith(kept)
            assert len(kept) + int(number.replace(",", "")) == len(text)
        else:
            assert cut in {"…", ""}
            assert width < len(f"… +{len(text):,}") + 1
    assert cell_len(column(text, width + 1, cell_len)) == width + 1


@given(st.lists(texts, max_size=8), st.integers(2, 60))
def test_lines_do_not_depend_on_the_pieces(pieces: list[str], width: int) -> None:
    """However an answer is cut into pieces, it gives the same lines, with every character that is not white space."""
    text = "".join(pieces)
    found = []
    for cut in (pieces, list(text), [text]):
        lines = TextLines(width, cell_len)
        found.append([line for piece in cut for line in lines.add(piece)] + lines.end())
    assert found[0] == found[1] == found[2]
    assert "".join("".join(found[0]).split()) == "".join(shown(text.replace("\r\n", " ").replace("\n", " ")).split())
    assert all(cell_len(line) <= width for line in found[0])


def test_a_long_answer_takes_time_in_proportion() -> None:
    """A megabyte without a line break is broken in one pass: each character is looked at a bounded number of times."""
    looked_at = 0

    def cells(text: str) -> int:
        nonlocal looked_at
        looked_at += len(text)
        return len(text)

    lines = TextLines(80, cells).add("word " * 200_000)
    assert len(lines) > 10_000
    assert looked_at < 150 * 1_000_000


# --- Where it goes ----------------------------------------------------------------------------------------------------


async def test_colours_are_for_terminals(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal lines have colours and its width; with NO_COLOR, a dumb terminal, or elsewhere they have none."""
    recording = settled(await run_told(kind="failed"))
    with ConsoleReporter(terminal.stream) as reporter:
        report_recording(recording, reporter)
    written = terminal.read()
    assert "\x1b[36m" in written
    assert "\x1b[31m" in written
    assert Screen().feed(written).text + "\n" == printed(recording, width=80)
    monkeypatch.setenv("NO_COLOR", "1")
    colours = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    with ConsoleReporter(terminal.stream) as reporter:
        report_recording(recording, reporter)
    assert len(colours.findall(terminal.read())) == len(colours.findall(written))
    assert "\x1b" not in printed(recording)


async def test_the_width_follows_the_terminal(terminal: Terminal) -> None:
    """What is shown is as wide as the terminal it is shown in, not as the one of standard output."""
    narrow = Terminal(columns=40)
    try:
        recording = settled(await run_told(kind="failed"))
        with ConsoleReporter(narrow.stream) as reporter:
            report_recording(recording, reporter)
        assert max(map(len, Screen().feed(narrow.read()).rows)) == 40
    finally:
        narrow.close()


async def test_tools_that_end() -> None:
    """What a tool returned, or why it did not, stands behind the name of the tool."""

    def divide(by: int) -> float:
        """Divide one."""
        return 1 / by

    harness, stream = create_harness(), io.StringIO()
    agent = harness.agent(prompt="Divide.", activate_on="harness:start", updates="x", tools=[divide], max_turns=3)
    calls = [ToolCall(str(by), name, {"by": by}) for by, name in ((2, "divide"), (0, "divide"), (3, "share"))]
    with ConsoleReporter(stream, width=140) as reporter, harness.subscribe("**", reporter):
        await harness.run_reactive(
            agents={"adder": agent}, state={"x": ""}, provider=ScriptedProvider([calls, ["done"]])
        )
    printed = [line[26:].rstrip() for line in stream.getvalue().splitlines()]
    ends = sorted(line for line in printed if line.startswith(("tool:result", "tool:rejected")))
    assert ends == [
        "tool:rejected  share unknown_tool: there is no tool 'share'. There are: 'divide'.",
        "tool:result  divide 0.5",
        "tool:result  divide exception: ZeroDivisionError: division by zero",
    ]


async def test_answers_that_do_not_fit() -> None:
    """What is wrong with an answer stands where it was rejected."""
    harness, stream = create_harness(), io.StringIO()
    agent = harness.agent(prompt="Count.", activate_on="harness:start", updates="x", output=int)
    with ConsoleReporter(stream, width=140) as reporter, harness.subscribe("**", reporter):
        await harness.run_reactive(agents={"a": agent}, state={"x": 0}, provider=ScriptedProvider(["one", "1"]))
    printed = [line[26:].rstrip() for line in stream.getvalue().splitlines()]
    assert "text:rejected  output cannot be read: it must be JSON and nothing else, got 'one'." in printed


async def test_a_stream_that_cannot_hold_a_character() -> None:
    """A stream in ASCII gets what it cannot hold written out."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with ConsoleReporter(stream, width=60) as reporter:
        await run_told(reporter, text="日本 " + "long " * 40)
        stream.flush()
    assert b"\\u65e5\\u672c long" in raw.getvalue()


class _Gone(io.StringIO):
    """A stream whose other end is closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


async def test_a_broken_stream_breaks_no_run() -> None:
    """The run goes on and tells once that its reporter failed; the reporter does not try again."""
    recording = await run_told(ConsoleReporter(_Gone()))
    assert recording.info.outcome == "completed"
    errors = [one.payload["message"] for one in recording.signals if one.name == "subscriber:error"]
    assert len(errors) == 1
    assert "Broken pipe" in errors[0]


def test_the_library_is_loaded_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the package loads no terminal library; without one, the reporters say what to install."""
    code = "import sys, openharness.signals; print([name for name in ('rich', 'pygments') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: S603
    assert done.stdout == "[]\n"
    monkeypatch.setitem(sys.modules, "rich.cells", None)
    for reporter in (ConsoleReporter, ProgressReporter):
        with pytest.raises(MissingLibraryError, match=r"openharness-signals\[console\]") as caught:
            reporter(io.StringIO())
        assert (caught.value.library, caught.value.extra) == ("rich", "console")
        assert isinstance(caught.value, ImportError)
