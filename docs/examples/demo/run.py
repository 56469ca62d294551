"""Agents on a real model: recorded, replayed without it, and a changed prompt that is caught.

::

    python run.py                    # reads incident.txt, which lies beside this file
    python run.py my-report.txt      # reads a text of yours
    python run.py --provider claude  # asks Claude, with the key in ANTHROPIC_API_KEY
    python run.py --help

What happens to whom is in ``incident.py``; how it is printed, in ``terminal.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from incident import Incident, define_agents
from terminal import Terminal

from openharness.core import OpenHarnessError, ReplayDriftError, RunQuery, create_harness
from openharness.core.plugins import open_provider
from openharness.run_store_sqlite import SqliteRunStore
from openharness.signals import ConsoleReporter, FileSignalStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import Harness, Provider, RunResult, RunStore

HERE = pathlib.Path(__file__).parent
FIXTURE = "incident"
CHANGED_QUESTION = "What will be done tomorrow?"
LISTED = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit code: 0 when all was as it should be, 1 when not, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="demo", description="Record agents on a real model, replay them without it, and catch a changed prompt."
    )
    parser.add_argument(
        "report", nargs="?", type=pathlib.Path, default=HERE / "incident.txt", help="the text the agents read"
    )
    parser.add_argument(
        "--provider",
        default="llamacpp",
        help="who answers the agents, who do not know: llamacpp, the small model inside this process; claude or openai; "
        "or one of these with a model and options, such as openai:llama3.2?base_url=http://localhost:11434/v1",
    )
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("demo-output"), help="the folder for what is written"
    )
    options = parser.parse_args(arguments)
    try:
        report = options.report.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{options.report} cannot be read as a text: {error}")
    if not report:
        parser.error(f"{options.report} is empty; the agents need something to read.")
    terminal = Terminal()
    demo = Demo(terminal, report=report, name=options.report.name, folder=options.output, provider=options.provider)
    try:
        asyncio.run(demo.run())
    except (OpenHarnessError, OSError, DemoError) as error:
        terminal.error(str(error))
        return 1
    except KeyboardInterrupt:
        terminal.error("Stopped. What was recorded until then is kept, and marked as cancelled.")
        return 130
    return 0


class DemoError(Exception):
    """Something the demo shows was not so."""


class Demo:
    """The demo, one method for each of its parts.

    Args:
        terminal: Where to print.
        report: The text the agents read.
        name: What the text is called.
        folder: Where recordings and history are written.
        provider: Who answers the agents while they are recorded, as `open_provider` names it.
    """

    def __init__(self, terminal: Terminal, *, report: str, name: str, folder: pathlib.Path, provider: str) -> None:
        self._terminal = terminal
        self._report = report
        self._name = name
        self._folder = folder
        self._provider = provider
        self._harness: Harness[Incident] = create_harness(Incident)
        self._store = FileSignalStore(folder / "recordings")

    async def run(self) -> None:
        """Record, replay, change a prompt, and list the runs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # What a demo writes belongs to nobody's repository.
        (self._folder / ".gitignore").write_text("*\n", encoding="utf-8")
        say = self._terminal.say
        say(f"Four agents work on {self._name} ({len(self._report.split())} words), two of them at once.")
        async with self._store, SqliteRunStore(self._folder / "runs.db") as history:
            recorded, seconds = await self._record(history)
            await self._replay(history, recorded, seconds)
            await self._change_a_prompt()
            await self._list(history)
        self._terminal.title("Files")
        self._terminal.table(
            [
                ("path", "holds"),
                (f"{self._folder / 'recordings' / FIXTURE}.jsonl", "the recording, to read and to commit"),
                (f"{self._folder / 'runs.db'}", "the history, one SQLite file"),
            ]
        )
        self._terminal.write("\n")

    async def _record(self, history: RunStore) -> tuple[RunResult[Incident], float]:
        async with open_provider(self._provider) as provider:
            self._terminal.title(f"1. Record, with {provider.display_name or provider.type}")
            with (
                ConsoleReporter(
                    sys.stdout, include="agent:skipped", exclude="harness:*", width=self._terminal.width
                ) as reporter,
                self._harness.subscribe("**", reporter),
            ):
                recorded, seconds = await self._timed(mode="record", provider=provider, run_store=history)
        metrics = recorded.metrics
        (model,) = {
            str(signal.payload["output"]["model"]) for signal in recorded.signals if signal.name == "provider:end"
        }
        self._terminal.say(
            f"{metrics.provider_calls} answers by {model}: {metrics.input_tokens} tokens read and "
            f"{metrics.output_tokens} written in {seconds:.1f} s, recorded as {len(recorded.signals)} signals."
        )
        return recorded, seconds

    async def _replay(self, history: RunStore, recorded: RunResult[Incident], seconds: float) -> None:
        self._terminal.title("2. Replay, with no provider at all")
        replayed, again = await self._timed(mode="replay", run_store=history)
        if replayed.signals != recorded.signals or replayed.state != recorded.state:
            raise DemoError("The replay should equal the recorded run signal for signal, and does not.")
        self._terminal.say(
            f"{len(replayed.signals)} signals in {again:.2f} s, {seconds / again:,.0f} times as fast. "
            "Every signal and the final state are equal."
        )

    async def _change_a_prompt(self) -> None:
        self._terminal.title("3. Replay, after somebody changed a prompt")
        try:
            await self._timed(mode="replay", plan_question=CHANGED_QUESTION)
        except ReplayDriftError as drift:
            self._terminal.block(str(drift))
        else:
            raise DemoError("The replay with a changed prompt should be refused, and is not.")

    async def _list(self, history: RunStore) -> None:
        self._terminal.title("4. The history, from runs.db")
        runs = await history.list_runs(RunQuery(limit=LISTED))
        rows = [("run", "", "status", "began", "note")]
        for run in runs:
            state: Any = run.state
            began = datetime.datetime.fromtimestamp(run.created_at / 1000).astimezone()
            kind = (run.metadata or {}).get("mode", "")
            rows.append((run.id, str(kind), str(run.status), f"{began:%H:%M:%S}", _cut(state["note"], 48)))
        self._terminal.table(rows)
        others = await history.count_runs() - len(runs)
        if others > 0:
            self._terminal.say(f"... and {others} before them")

    async def _timed(
        self,
        *,
        mode: Any,
        provider: Provider | None = None,
        run_store: RunStore | None = None,
        **changes: str,
    ) -> tuple[RunResult[Incident], float]:
        started = time.perf_counter()
        result = await self._harness.run_reactive(
            agents=define_agents(self._harness, **changes),
            state=Incident(report=self._report),
            provider=provider,
            fixture=FIXTURE,
            mode=mode,
            store=self._store,
            run_store=run_store,
            metadata={"mode": mode, "report": self._name},
        )
        return result, time.perf_counter() - started


def _cut(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


if __name__ == "__main__":
    sys.exit(main())
