"""What importing ``openharness.core`` costs: a ratio to what it stands on, each in fresh interpreters.

The measure is ``import attrs, cattrs, aiosqlite``, of which asyncio is two thirds. Other libraries for agents are imported,
too, where they are installed; the dependency group ``peers`` brings them. Run it with ``python import_time.py``;
``--check`` ends with an error when a goal is missed. Figures are CPU time of whole processes less that of a bare
interpreter, everything in turn within each round; median, least and greatest.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 11
GOAL = 1.25
BARE = "pass"
MEASURE = "import attrs, cattrs, aiosqlite"
OURS = "import openharness.core"
SHOWN = (MEASURE, "import asyncio", "import attrs, msgspec", OURS)
PEERS = {"langgraph.graph": 6, "pydantic_ai": 6, "agents": 12, "burr.core": None, "dbos": None}
"""Modules of others, and how many times our CPU time they take, at least."""


def cpu_clock() -> Callable[[], float]:
    """The CPU seconds of all children so far, by the finest clock there is."""
    try:
        import resource
    except ImportError:  # not on Windows
        return lambda: os.times().children_user + os.times().children_system

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    return spent


CLOCK = cpu_clock()


def fresh(program: str) -> float:
    """CPU milliseconds of a fresh interpreter that runs a program."""
    before = CLOCK()
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - one of the programs above
    return 1e3 * (CLOCK() - before)


def main() -> int:
    """Measure, print, and say whether the goal is met."""
    peers = {f"import {name}": goal for name, goal in PEERS.items() if importlib.util.find_spec(name.partition(".")[0])}
    times: dict[str, list[float]] = {program: [] for program in (BARE, *SHOWN, *peers)}
    for program in times:
        fresh(program)  # byte code and page cache
    for _ in range(ROUNDS):
        for program, taken in times.items():
            taken.append(fresh(program))
    bare = statistics.median(times[BARE])
    costs = {program: statistics.median(taken) - bare for program, taken in times.items()}
    for program in (*SHOWN, *peers):
        taken = times[program]
        print(
            f"{program:<34}{costs[program]:7.1f} ms ({min(taken) - bare:.1f} - {max(taken) - bare:.1f})"
            f"   {costs[program] / costs[MEASURE]:.2f}"
        )
    ratio = costs[OURS] / costs[MEASURE]
    best = (min(times[OURS]) - min(times[BARE])) / (min(times[MEASURE]) - min(times[BARE]))
    print(f"{OURS} / {MEASURE} = {ratio:.2f}, of the least times {best:.2f} (at most {GOAL})")
    missed = min(ratio, best) > GOAL
    for program, goal in peers.items():
        dearer = costs[program] / costs[OURS]
        missed = missed or (goal is not None and dearer < goal)
        print(f"{program} / {OURS} = {dearer:.1f}" + ("" if goal is None else f" (at least {goal})"))
    return 1 if missed and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
