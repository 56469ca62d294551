"""Add up the figures of a file with a small model and two tools; killed at any moment, go on where it was.

    python run.py OUTPUT [FILE]        start, or resume the run that was killed
    python run.py OUTPUT --replay      replay the last run, without a model

OUTPUT is the folder of the recordings.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bookkeeper import Books, define_agents, harness

from openharness.core import OpenHarnessError
from openharness.provider_llamacpp import LlamaCppProvider
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from openharness.core import RunResult, Signal

ACCOUNTS = Path(__file__).parent / "accounts"


def tell(signal: Signal) -> None:
    """Say what has happened, once it is durable."""
    print(f"{signal.seq:3} {signal.name}", flush=True)


async def go_on(store: FileSignalStore, file: str) -> RunResult[Books]:
    """Resume the last run if it was killed, else begin one."""
    options = {"agents": define_agents(ACCOUNTS), "store": store}
    harness.subscribe(["provider:end", "tool:result", "harness:end"], tell)
    killed = [info for info in await store.list_recordings() if info.outcome == "incomplete"]
    async with LlamaCppProvider() as provider:
        if killed:
            print(f"Resuming {killed[0].id}", flush=True)
            return await harness.resume(killed[0].id, **options, provider=provider)
        return await harness.run_reactive(**options, state=Books(file), provider=provider)


async def replay(store: FileSignalStore) -> RunResult[Books]:
    """Replay the last run: no model, no tool."""
    recordings = await store.list_recordings()
    if not recordings:
        sys.exit("There is nothing to replay: no run has been recorded in this folder yet.")
    return await harness.run_reactive(
        agents=define_agents(ACCOUNTS), store=store, recording=recordings[0].id, mode="replay"
    )


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("file", nargs="?", default="march.txt")
    parser.add_argument("--replay", action="store_true")
    arguments = parser.parse_args()
    files = sorted(path.name for path in ACCOUNTS.iterdir())
    if arguments.file not in files:
        parser.error(f"FILE must be one of {', '.join(files)}, got {arguments.file!r}.")
    store = FileSignalStore(arguments.output)
    try:
        result = asyncio.run(replay(store) if arguments.replay else go_on(store, arguments.file))
    except OpenHarnessError as error:
        # A run that has failed stays as it is; the next start begins a new one.
        sys.exit(str(error))
    print(f"{'replayed' if result.replayed else 'done'}: {len(result.signals)} signals, {result.state.total}")


if __name__ == "__main__":
    main()
