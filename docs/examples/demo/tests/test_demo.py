"""The demo, run as a user runs it, and its display."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import Signal, SignalSource

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = pathlib.Path(__file__).parents[1]
SUPPORT = DEMO.parents[2] / "packages/openharness-provider-http/tests/support"


def run_demo(*arguments: str, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Run the demo as a program."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", str(DEMO / "run.py"), *arguments],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        timeout=170,
    )


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_the_demo_shows_what_it_promises(tmp_path: pathlib.Path) -> None:
    """It records, replays with equal signals, catches a changed prompt, and lists both runs; a second time as well."""
    for round_number in (1, 2):
        done = run_demo(folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        for agent in ("reader", "planner", "messenger", "editor"):
            assert re.search(rf"^ +{agent} +\w", done.stdout, re.MULTILINE)
        assert "(not yet: its guard waits for another answer)" in done.stdout
        faster = re.search(r"signals in [\d.]+ s, ([\d,]+) times as fast", done.stdout)
        assert faster
        assert int(faster[1].replace(",", "")) >= 3
        assert "-What will be done next?" in done.stdout
        assert "+What will be done tomorrow?" in done.stdout
        assert len(re.findall(r"^ +run_\w+ +record +completed", done.stdout, re.MULTILINE)) == round_number
        assert len(re.findall(r"^ +run_\w+ +replay +completed", done.stdout, re.MULTILINE)) == round_number
        assert "\x1b" not in done.stdout
    output = tmp_path / "demo-output"
    assert (output / "recordings" / "incident.jsonl").is_file()
    assert (output / "runs.db").is_file()
    assert (output / ".gitignore").read_text() == "*\n"


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("provider, path", [("claude", ""), ("openai", "/v1")])
def test_other_providers(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, provider: str, path: str) -> None:
    """The agents do not know who answers them: a real server does, asked through the SDK of either vendor."""
    monkeypatch.syspath_prepend(SUPPORT)
    real = importlib.import_module("real_server")
    (tmp_path / "short.txt").write_text("A full disk lost 12 orders on Monday. Ann will add an alarm.\n")
    with real.running_model() as url:
        chosen = f"{provider}:{real.MODEL}?base_url={url}{path}"
        done = run_demo("short.txt", "--provider", chosen, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"answers by {real.MODEL}" in done.stdout
    assert "Every signal and the final state are equal." in " ".join(done.stdout.split())


def test_a_provider_that_is_not_there(tmp_path: pathlib.Path) -> None:
    """A provider that nobody offers ends the demo with code 1 and what is installed."""
    done = run_demo("--provider", "cloud", folder=tmp_path)
    assert done.returncode == 1
    assert "'claude' (openharness-provider-claude)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_text_that_cannot_be_read_is_a_wrong_argument(tmp_path: pathlib.Path) -> None:
    """A missing, an empty and a binary text end the demo with code 2 and a sentence, before anything is written."""
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xff")
    for name in ("missing.txt", "empty.txt", "binary.txt"):
        done = run_demo(name, folder=tmp_path)
        assert done.returncode == 2
        assert name in done.stderr
        assert not (tmp_path / "demo-output").exists()


@pytest.mark.slow
def test_a_text_that_is_too_long_is_an_error(tmp_path: pathlib.Path) -> None:
    """A text that does not fit into the model ends the demo with code 1 and the numbers."""
    (tmp_path / "long.txt").write_text("word " * 6000)
    done = run_demo("long.txt", "--output", "elsewhere", folder=tmp_path)
    assert done.returncode == 1
    assert "the context has room for 4096" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the module that prints, with standard output in memory."""
    monkeypatch.syspath_prepend(str(DEMO))
    monkeypatch.setenv("NO_COLOR", "1")
    yield importlib.import_module("terminal")
    sys.modules.pop("terminal", None)


def tell(terminal: Any, *, live: bool) -> None:
    """Print two answers that are written at once."""
    screen = terminal.Terminal()
    screen.live = live
    narrator = terminal.Narrator(screen)
    payloads: list[tuple[str, dict[str, Any]]] = [
        ("provider:start", {"call": "poet#1/0/0"}),
        ("provider:start", {"call": "critic#1/0/0"}),
        ("text:delta", {"call": "poet#1/0/0", "text": "Rain, a"}),
        ("text:delta", {"call": "critic#1/0/0", "text": "Fine"}),
        ("text:complete", {"call": "critic#1/0/0", "text": "Fine."}),
        ("agent:skipped", {"agent": "editor"}),
        ("text:delta", {"call": "poet#1/0/0", "text": "gain.\n\nAnd"}),
        ("text:delta", {"call": "poet#1/0/0", "text": " again."}),
        ("text:complete", {"call": "poet#1/0/0", "text": "Rain, again.\n\nAnd again."}),
    ]
    for number, (name, payload) in enumerate(payloads):
        narrator(Signal(id=f"run:{number}", name=name, payload=payload, timestamp=0, seq=number, source=SignalSource()))


def test_answers_at_once_are_not_mixed_on_a_terminal(terminal: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the first answer is shown while it is written, and the other one follows."""
    tell(terminal, live=True)
    assert " ".join(capsys.readouterr().out.split()) == (
        "poet Rain, again. And again. critic Fine. editor (not yet: its guard waits for another answer)"
    )


def test_answers_are_lines_elsewhere(terminal: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere answers are printed one by one, when they are complete."""
    tell(terminal, live=False)
    assert " ".join(capsys.readouterr().out.split()) == (
        "critic Fine. editor (not yet: its guard waits for another answer) poet Rain, again. And again."
    )


def test_long_answers_are_wrapped(terminal: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """No line of an answer is longer than the terminal is wide, and no word is lost."""
    screen = terminal.Terminal()
    screen.live, screen.width = True, 40
    narrator = terminal.Narrator(screen)
    text = "one two three four five six seven eight nine ten eleven twelve"
    for number, (name, payload) in enumerate(
        [
            ("provider:start", {"call": "poet#1/0/0"}),
            *(("text:delta", {"call": "poet#1/0/0", "text": character}) for character in text),
            ("text:complete", {"call": "poet#1/0/0", "text": text}),
        ]
    ):
        narrator(Signal(id=f"run:{number}", name=name, payload=payload, timestamp=0, seq=number, source=SignalSource()))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 40
    assert printed.split() == ["poet", *text.split()]
