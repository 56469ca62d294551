"""Kill processes that record into files, again and again: ``python kill_recorders.py FOLDER KILLS WHAT``.

WHAT is a function of ``signals_processes``. Each is run in a forked child, which is killed some time after it has
acknowledged a few things: to start a new interpreter for each would take most of the time. Then all that was acknowledged
must be there, in whole appends.

``append_for_ever``: one recording after the other, which many children continue.
``acknowledge_first``: the control, which acknowledges before it writes; it ends with the first loss.
``finish_for_ever``: recordings that are finalized and published.

Prints one line of JSON: kills, acknowledged (signals, or steps of recordings), lost, damaged.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import signals_processes as children

from openharness.signals import FileSignalStore

_KILLS_OF_A_RECORDING = 20
"""Then the next recording begins: what is read after each kill must not grow without end."""


def kill_one(what: str, folder: Path, recording_id: str, chance: random.Random) -> list[str]:
    """Start a child, kill it some time after it has acknowledged some things, and return all it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.dup2(writing, 1)
            asyncio.run(getattr(children, what)(FileSignalStore(folder), recording_id))
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        told = [lines.readline() for _ in range(chance.randint(1, 6))]
        time.sleep(chance.random() * 0.003)
        os.kill(child, signal.SIGKILL)
        told += lines
    _, status = os.waitpid(child, 0)
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise SystemExit("A child ended by itself.")
    return [line.strip() for line in told if line.endswith("\n")]


async def _signals(folder: Path, recording_id: str) -> list[object]:
    recording = await FileSignalStore(folder).load_recording(recording_id)
    return [] if recording is None else list(recording.signals)


def append(what: str, folder: Path, kills: int, *, until_lost: bool) -> dict[str, int]:
    """Kill children that append to one recording; each continues what the one before left."""
    chance = random.Random(7)
    figures = dict.fromkeys(("kills", "acknowledged", "lost", "damaged"), 0)
    recording_id, before = "", 0
    for number in range(kills):
        if number % _KILLS_OF_A_RECORDING == 0:
            recording_id = asyncio.run(FileSignalStore(folder).create_recording(run_id=children.RUN_ID))
            before = 0
        told = int(kill_one(what, folder, recording_id, chance)[-1])
        found = asyncio.run(_signals(folder, recording_id))
        whole = [one for start in range(0, len(found), children.BATCH) for one in children.batch(start)]
        figures["kills"] += 1
        figures["acknowledged"] += told - before
        figures["lost"] += max(0, told - len(found))
        figures["damaged"] += whole != found
        before = len(found)
        if until_lost and figures["lost"]:
            break
    return figures


def finish(folder: Path, kills: int) -> dict[str, int]:
    """Kill children that record, finalize and publish."""
    chance = random.Random(8)
    figures = dict.fromkeys(("kills", "acknowledged", "lost", "damaged"), 0)
    for number in range(kills):
        # In a folder of their own, or listing them would take longer and longer.
        part = folder / str(number // _KILLS_OF_A_RECORDING)
        told = kill_one("finish_for_ever", part, "-", chance)
        lost, damaged = asyncio.run(_check_finished(part, dict(line.split() for line in told)))
        figures["kills"] += 1
        figures["acknowledged"] += len(told)
        figures["lost"] += lost
        figures["damaged"] += damaged
    return figures


async def _check_finished(folder: Path, acknowledged: dict[str, str]) -> tuple[int, int]:
    """Return how much of what was acknowledged is lost, and how many recordings are not what they should be."""
    store = FileSignalStore(folder)
    lost = damaged = 0
    infos = {info.id: info for info in await store.list_recordings()}
    for made, what in acknowledged.items():
        lost += await _signals(folder, made) != children.batch(0)
        lost += what != "appended" and (made not in infos or infos[made].outcome != "completed")
    published = [made for made, what in acknowledged.items() if what == "published"]
    if published:
        found = await store.find_recording("shared")
        # The last one that was acknowledged, or the one that was about to be.
        lost += found is None or found.id < published[-1]
    for made in infos:
        recording = await store.load_recording(made)
        damaged += recording is None or recording.info.outcome not in {"completed", "incomplete"}
        damaged += recording is not None and list(recording.signals) not in ([], children.batch(0))
    return lost, damaged


if __name__ == "__main__":
    place, count, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    made = (
        finish(place, count)
        if what == "finish_for_ever"
        else append(what, place, count, until_lost=what == "acknowledge_first")
    )
    sys.stdout.write(json.dumps(made) + "\n")
