"""The demo, run as a user runs it."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
import sys

import pytest

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
            assert re.search(rf"^ +[\d.]+ {agent}#1 +\| \w", done.stdout, re.MULTILINE)
        assert re.search(r"^ +[\d.]+ editor +agent:skipped", done.stdout, re.MULTILINE)
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
