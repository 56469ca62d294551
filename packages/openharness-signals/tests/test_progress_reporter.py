"""Where long runs stand: a display in a real terminal, and lines where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from reporters_support import KINDS, Storyteller, hostile_logs, run_told, settled
from rich.cells import cell_len
from signals_support import EXAMPLES, delta, signal
from terminal_support import Screen, Terminal

from openharness.core import AgentError, InvalidValueError, create_harness
from openharness.signals import MemorySignalStore, ProgressReporter, report_recording
from openharness.testing import ScriptedProvider

if TYPE_CHECKING:
    from openharness.core import Recording

STORY = "Once upon a time there was a king. He told it every night, until nobody was left to listen."


def printed(recording: Recording, **options: float) -> str:
    """What is shown of a recording where there is no terminal."""
    stream = io.StringIO()
    with ProgressReporter(stream, width=70, **options) as reporter:
        report_recording(recording, reporter)
    return stream.getvalue()


# --- Where there is no terminal ---------------------------------------------------------------------------------------


async def test_what_a_run_looks_like_in_a_file() -> None:
    """That it began, what each activation took, what went wrong, and how it ended."""
    recording = settled(await run_told(text=STORY, kind="retried", max_concurrency=1))
    assert printed(recording) == (
        "   0.000                harness:start  run run-1, agents teller, … +14\n"
        "   0.500 teller#1       provider:error  overloaded: It is too busy.\n"
        "   0.600 teller#1       provider:retry  once more after 0.0 s\n"
        "   3.300 teller#1       completed in 3.2 s, 19 tokens\n"
        "   6.200 helper#1       completed in 5.9 s, 19 tokens\n"
        "   6.300                harness:end  completed in 6.3 s, 3 provid… +36\n"
    )


async def test_a_long_silence_is_broken() -> None:
    """When nothing was said for a while of the run's time, a line says who is at work."""
    recording = settled(await run_told(text=STORY, kind="completed", max_concurrency=1))
    lines = [line[24:] for line in printed(recording, interval=1).splitlines() if "at work" in line]
    assert lines[0] == "at work: teller#1 writes, 0.9 s, 6 tokens… +31"
    assert 2 <= len(lines) <= 6
    for interval in (0, -1, True, "1", float("nan")):
        with pytest.raises(InvalidValueError, match="interval"):
            ProgressReporter(io.StringIO(), interval=interval)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
async def test_live_and_recorded_look_alike(kind: str) -> None:
    """What was shown of the run while it went on is what is shown of the recording."""
    stream = io.StringIO()
    with ProgressReporter(stream, width=70) as reporter:
        recording = await run_told(reporter, kind=kind)
    assert stream.getvalue() == printed(recording)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].split()[1] == "harness:end"


async def test_a_run_that_is_resumed() -> None:
    """Of a resumed run, the activation that goes on is told of, although it began before."""
    harness, store = create_harness(), MemorySignalStore()
    told = harness.agent(prompt="fail", activate_on="harness:start")
    with pytest.raises(AgentError):
        await harness.run_reactive(agents={"teller": told}, state={}, provider=Storyteller(), store=store)
    (info,) = await store.list_recordings()
    stream = io.StringIO()
    again = ScriptedProvider(["Once."])
    with ProgressReporter(stream) as reporter, harness.subscribe("**", reporter):
        await harness.resume(info.id, agents={"teller": told}, provider=again, store=store)
    words = [line.split()[1:3] for line in stream.getvalue().splitlines()]
    assert words[0][0] == "harness:resumed"
    assert words[1] == ["teller#1", "completed"]
    assert words[2] == ["harness:end", "completed"]


# --- In a terminal ----------------------------------------------------------------------------------------------------


async def test_the_display(terminal: Terminal) -> None:
    """While a run goes on its activations stand below the lines that stay; when it has ended, these are all there is."""
    recording = settled(await run_told(text=STORY, kind="completed", max_concurrency=1))
    with ProgressReporter(terminal.stream, width=70) as reporter:
        position = [one.name for one in recording.signals].index("provider:end")
        for one in recording.signals[:position]:
            reporter(one)
        # A line that stays draws what is below it, too.
        reporter(signal(20, "subscriber:error", {"message": "oh"}))
        *above, run, writer, waiting = Screen().feed(terminal.read()).text.splitlines()
        assert [line.split()[1] for line in above] == ["harness:start", "subscriber:error"]
        assert "2 at work, 0 completed, 1 provider call" in run
        assert waiting.split()[:2] == ["helper#1", "waits,"]
        assert writer.split()[:2] == ["teller#1", "writes,"]
        assert writer.endswith("left to listen.")
        assert Screen().feed(terminal.read()).cursor_shown
        for one in recording.signals[position:]:
            reporter(one)
        left = Screen().feed(terminal.read())
    assert [line.split()[1] for line in left.text.splitlines()] == [
        "harness:start",
        "subscriber:error",
        "teller#1",
        "helper#1",
        "harness:end",
    ]
    assert left.cursor_shown
    assert Screen().feed(terminal.read()).text == left.text


@pytest.mark.parametrize("kind", KINDS)
async def test_the_terminal_is_left_as_it_was(terminal: Terminal, kind: str) -> None:
    """However a run ends, only the lines that stay are left, those that a file would have."""
    with ProgressReporter(terminal.stream, width=70) as reporter:
        recording = await run_told(reporter, kind=kind)
        # The run has ended, so the display is gone before the reporter is closed.
        screen = Screen().feed(terminal.read())
    assert screen.text + "\n" == printed(recording)
    assert screen.cursor_shown


async def test_a_cancelled_run(terminal: Terminal) -> None:
    """A run that is cancelled in the middle of an answer leaves no display behind."""
    harness = create_harness()
    agents = {"teller": harness.agent(prompt="hang", activate_on="harness:start")}
    with ProgressReporter(terminal.stream) as reporter, harness.subscribe("**", reporter):
        running = asyncio.create_task(harness.run_reactive(agents=agents, state={}, provider=Storyteller()))
        while "teller#1" not in Screen().feed(terminal.read()).text:  # noqa: ASYNC110 - a terminal gives no notice
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    lines = [line.split()[1] for line in Screen().feed(terminal.read()).text.splitlines()]
    assert lines == ["harness:start", "harness:cancelled", "harness:end"]


async def test_closing_takes_the_display_away(terminal: Terminal) -> None:
    """An error of the program that never lets the run end leaves no display either; closing twice is no error."""
    recording = settled(await run_told())
    reporter = ProgressReporter(terminal.stream)
    with contextlib.suppress(KeyError), reporter:
        for one in recording.signals[:4]:
            reporter(one)
        assert "at work" in Screen().feed(terminal.read()).text
        raise KeyError
    assert [line.split()[1] for line in Screen().feed(terminal.read()).text.splitlines()] == ["harness:start"]
    reporter.close()


async def test_signals_are_not_drawn_one_by_one(terminal: Terminal) -> None:
    """Thousands of pieces of an answer cost no drawing; a clock draws, a few times in a second."""
    recording = settled(await run_told())
    with ProgressReporter(terminal.stream) as reporter:
        for one in recording.signals[:3]:
            reporter(one)
        for seq in range(3, 5_003):
            reporter(delta(seq, "word ", call="teller#1/0/0"))
        assert terminal.read().count("at work") < 100


async def test_many_activations_do_not_flood_the_screen(terminal: Terminal) -> None:
    """Of many activations ten are shown, and how many there are besides."""
    with ProgressReporter(terminal.stream) as reporter:
        for seq in range(25):
            agent = f"agent{seq}"
            payload = {"agent": agent, "activation": f"{agent}#1", "depth": 1}
            reporter(signal(seq, "agent:activated", payload, agent=agent, activation=f"{agent}#1"))
        reporter(signal(25, "subscriber:error", {"message": "oh"}))
        lines = Screen().feed(terminal.read()).text.splitlines()
    assert [line.split()[0] for line in lines[2:12]] == [f"agent{number}#1" for number in range(10)]
    assert lines[12].split() == ["and", "15", "more"]
    assert len(lines) == 13


def test_a_dumb_terminal_gets_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on which nothing can be drawn anew gets the lines of a file."""
    monkeypatch.setenv("TERM", "dumb")
    with ProgressReporter(terminal.stream) as reporter:
        reporter(signal(0, "harness:start", {}))
        reporter(signal(1, "subscriber:error", {"message": "oh"}))
    assert "\x1b" not in terminal.read()
    assert len(terminal.read().splitlines()) == 2


@given(hostile_logs)
@settings(max_examples=EXAMPLES)
def test_no_log_breaks_the_display(log: list[tuple[str, object, str | None]]) -> None:
    """Whatever a log holds, no line of the display reaches the last column, and none holds what a terminal obeys."""
    reporter = ProgressReporter(io.StringIO(), width=40)
    for seq, (name, payload, who) in enumerate(log):
        activated = {"agent": str(who), "activation": str(who), "depth": 1}
        reporter(signal(2 * seq, "agent:activated", activated, activation=str(who)))
        reporter(signal(2 * seq + 1, name, payload, activation=str(who)))
        for line in reporter._display():
            text = "".join(part for part, _ in line)
            assert cell_len(text) < 40
            assert text.isprintable() or set(text) & set("\u200c\u200d")


PROGRAM = """
import asyncio, signal, sys
sys.path.insert(0, sys.argv[1])
# A program in the background of a script is started deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from reporters_support import Storyteller
from openharness.core import create_harness
from openharness.signals import ProgressReporter

async def main():
    harness = create_harness()
    agents = {"teller": harness.agent(prompt="hang", activate_on="harness:start")}
    with ProgressReporter() as reporter, harness.subscribe("**", reporter):
        await harness.run_reactive(agents=agents, state={}, provider=Storyteller())

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_program_that_is_stopped(terminal: Terminal, how: str) -> None:
    """Killed, a program leaves a terminal with a cursor; interrupted, one without a display as well."""
    import signal as signals

    support = str(Path(__file__).parent / "support")
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", PROGRAM, support],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal.stream,
        env=environment,
    ) as program:
        try:
            while "teller#1" not in Screen().feed(terminal.read()).text:
                assert program.poll() is None
                terminal.wait()
            program.send_signal(getattr(signals, how))
            written, _ = program.communicate(timeout=50)
        finally:
            program.kill()
    screen = Screen().feed(terminal.read())
    assert screen.cursor_shown
    assert written == b""
    assert ("1 at work" in screen.text) == (how == "SIGKILL")
    assert ("harness:cancelled" in screen.text) == (how == "SIGINT")
