"""Try the stores against every hazard that the page "Durability" names, and print what came of it as a table.

    python .ci/faults.py [--short] [--at-most EXAMPLES] [ROW ...]

A row is a kind of fault, and what shows that the stores stand it: tests of the packages, in their long form. They note
what they did and what they found (`record_property` of pytest); the table adds that up. Tests whose names have
"notice" in them are controls: the same check of a store with a planted bug, which must find something. With ``--short``
the tests run as they do for every change. The long form of all rows takes a night on a machine of two cores; with
``--at-most`` no test of random examples tries more than so many, which shortens rows 6, 13, 14 and 16.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

_LONGEST = 10 * 3_600
"""Seconds for a test that does not say itself how long it may take."""
ROOT = pathlib.Path(__file__).resolve().parent.parent
MEMORY = pathlib.Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it

RUNS = "packages/openharness-run-store-sqlite/tests"
SIGNALS = "packages/openharness-signal-store-sqlite/tests"
FILES = "packages/openharness-signals/tests"
SERVED = ("packages/openharness-run-store-postgres/tests", "packages/openharness-signal-store-postgres/tests")
SHARED = "packages/openharness-testing/tests"
LOCAL = (
    f"{RUNS}/test_contract.py",
    f"{SIGNALS}/test_contract.py",
    f"{FILES}/test_contract_file.py",
    f"{FILES}/test_contract_memory.py",
    "packages/openharness-core/tests/test_contract_memory.py",
)
ON_A_SERVER = tuple(f"{folder}/test_contract.py" for folder in SERVED)
CONTRACTS = (*LOCAL, *ON_A_SERVER)

FOUND = ("lost", "errors", "strange", "damaged", "half", "wrong", "early", "duplicates")
"""What tests call what must not be. The first is a column of the table, and so is the last; the others share one."""
TRIED = (
    "kills",
    "points",
    "failures",
    "processes",
    "openings",
    "cancellations",
    "values",
    "examples",
    "sequences",
    "ids",
    "names",
    "interleavings",
    "bit_flips",
    "random_blocks",
    "truncations",
    "foreign_files",
    "runs",
    "signals",
    "restarts",
)
"""What tests call what they tried."""
COLUMNS = ("row", "fault", "", "tried", "acknowledged", "lost", "twice", "otherwise wrong", "controls", "seconds")


@dataclasses.dataclass(frozen=True)
class Tests:
    """Some tests.

    Attributes:
        paths: The files they are in.
        words: Which of them, as ``-k`` of pytest says it; empty for all.
        examples: How many random examples each property test of the contracts tries in the long form; None for as many
            as ever.
        steps: How many operations a random sequence of them has at most in the long form; None for as many as ever.
    """

    paths: tuple[str, ...]
    words: str = ""
    examples: int | None = None
    steps: int | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A kind of fault, and what shows that the stores stand it."""

    number: int
    title: str
    tests: tuple[Tests, ...]


@dataclasses.dataclass
class Outcome:
    """What came of a row."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    figures: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    controls: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether every test passed, and there was one."""
        return not self.failures and self.counts["passed"] > 0


def of(*paths: str, words: str = "", examples: int | None = None, steps: int | None = None) -> Tests:
    """Name tests."""
    return Tests(paths, words, examples, steps)


ROWS = (
    Row(
        1,
        "kill -9 while it writes",
        (
            of(f"{RUNS}/test_kill.py", f"{SIGNALS}/test_kill.py"),
            of(f"{FILES}/test_killed_processes.py", words="not never_closed"),
            of(f"{FILES}/test_resume_after_kill.py"),
            of(f"{SHARED}/test_killed_clients.py"),
            of(*CONTRACTS, words="killed"),
        ),
    ),
    Row(2, "power loss", (of(f"{SHARED}/test_power_loss.py"),)),
    Row(
        3,
        "the n-th operation fails",
        (
            of(f"{SHARED}/test_nth_failure.py"),
            of(f"{RUNS}/test_failures.py", words="statement"),
            of(f"{FILES}/test_file_store.py", words="nth_call or failing_disk"),
        ),
    ),
    Row(
        4,
        "several processes at once",
        (
            of(f"{SHARED}/test_mixed_load.py", words="not trouble"),
            of(f"{RUNS}/test_processes.py", words="four"),
            of(*CONTRACTS, words="processes_write or many_instances"),
        ),
    ),
    Row(
        5,
        "several processes create a file",
        (
            of(f"{RUNS}/test_processes.py", words="create"),
            of(f"{SIGNALS}/test_one_file.py", words="create"),
            of(f"{SHARED}/test_bringing_forward.py", words="same_moment and none"),
        ),
    ),
    Row(
        6,
        "cancellation at every await",
        (
            of(f"{RUNS}/test_failures.py", *CONTRACTS, words="cancelled"),
            # Each has several operations at once, of which most are cancelled; the stores in memory never wait.
            of(*CONTRACTS, words="cancellations_at_random", examples=3_000),
        ),
    ),
    Row(
        7,
        "never closed",
        (
            of(f"{RUNS}/test_exit.py", "packages/openharness-sqlite/tests/test_exit.py"),
            of(f"{FILES}/test_killed_processes.py", *CONTRACTS, words="never_closed"),
        ),
    ),
    Row(8, "closed twice, at once, elsewhere", (of(f"{RUNS}/test_writer.py", *CONTRACTS, words="clos or loop"),)),
    Row(
        9,
        "something else opens the file",
        (
            of(f"{RUNS}/test_opening.py", f"{RUNS}/test_backup.py", words="nothing_but_sqlite"),
            of(f"{RUNS}/test_backup.py", words="while_processes_write"),
        ),
    ),
    Row(
        10,
        "full disk, read-only file",
        (
            of(f"{RUNS}/test_writer.py", f"{SIGNALS}/test_store.py", words="full_disk or last_room or size_of_files"),
            of(f"{RUNS}/test_opening.py", f"{SIGNALS}/test_older_files.py", words="only_be_read or may_only"),
            of(f"{FILES}/test_file_store.py", words="failing_disk or read_only"),
        ),
    ),
    Row(
        11,
        "damaged files",
        (
            of(f"{RUNS}/test_damage.py", f"{SIGNALS}/test_damage.py"),
            of(f"{SIGNALS}/test_store.py", words="checksum or leads_elsewhere"),
            of(f"{FILES}/test_format.py", words="cut or flipped or changed or kept_parts or zeros"),
            of(f"{FILES}/test_golden.py", words="cut or flipped"),
            of(*CONTRACTS, words="damage"),
        ),
    ),
    Row(
        12,
        "files of other versions",
        (
            of(f"{RUNS}/test_killed_migrations.py"),
            of(f"{SHARED}/test_bringing_forward.py", words="killed or old or parts"),
            of(f"{SHARED}/test_left_open.py"),
            of(f"{RUNS}/test_opening.py", f"{SIGNALS}/test_one_file.py", words="older or newer or migration or died"),
            of(f"{RUNS}/test_opening.py", words="rows_of_version"),
            of(f"{SIGNALS}/test_older_files.py", f"{FILES}/test_migrating.py"),
            of(f"{FILES}/test_golden.py", words="not cut and not flipped"),
        ),
    ),
    Row(
        13,
        "values of every kind",
        (
            of(f"{SHARED}/test_random_values.py", examples=1_000_000),
            of(*CONTRACTS, words="accepted or convertible or refused"),
            of(*LOCAL, words="random_states or random_logs", examples=5_000),
            of(*ON_A_SERVER, words="random_states or random_logs", examples=500),
        ),
    ),
    Row(
        14,
        "random operations, against a model",
        (
            of(*LOCAL, words="random_operations", examples=20_000, steps=50),
            # Each question takes a journey to the server, and there are dozens to each operation.
            of(*ON_A_SERVER, words="random_operations", examples=1_000, steps=50),
        ),
    ),
    Row(
        15,
        "hostile ids, keys and files",
        (
            of(f"{SHARED}/test_hostile_ids.py"),
            of(*CONTRACTS, words="mean_nothing or can_be_no_id or one_at_a_time or all_keys or an_id_alone"),
            of(f"{FILES}/test_hostile_files.py", f"{FILES}/test_file_names.py"),
        ),
    ),
    Row(
        16,
        "values changed by others",
        (
            of(*CONTRACTS, words="changing or two_objects or copied or does_not_share"),
            # Six to each.
            of(*CONTRACTS, words="random_moments", examples=1_700),
        ),
    ),
    Row(23, "memory of long-lived processes", (of(f"{SHARED}/test_memory.py"),)),
    Row(
        24,
        "the server is restarted",
        (of(*(f"{folder}/test_restarts.py" for folder in SERVED)), of(f"{SHARED}/test_mixed_load.py", words="trouble")),
    ),
)


def main(arguments: list[str]) -> int:
    """Run the rows that are named, or all of them; print the table and return the exit code."""
    parser = argparse.ArgumentParser(description="Try the stores against every hazard.")
    parser.add_argument("rows", metavar="ROW", nargs="*", type=int)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--at-most", metavar="EXAMPLES", type=int)
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - {row.number for row in ROWS}:
        parser.error(f"there is no row {', '.join(map(str, sorted(unknown)))}")
    rows = [row for row in ROWS if not options.rows or row.number in options.rows]
    outcomes: dict[int, Outcome] = {}
    for row in rows:
        started = time.monotonic()
        outcomes[row.number] = outcome = Outcome()
        for tests in row.tests:
            run(tests, outcome, is_long=not options.short, at_most=options.at_most)
        outcome.seconds = time.monotonic() - started
        print(*told(row, outcome), *outcome.failures, sep="\n", flush=True)
    print("", *table(rows, outcomes), sep="\n", flush=True)
    return 0 if all(outcomes[row.number].is_good for row in rows) else 1


def run(tests: Tests, outcome: Outcome, *, is_long: bool, at_most: int | None) -> None:
    """Run tests and add up what they noted."""
    environment = {**os.environ, "OPENHARNESS_LONG": "1"} if is_long else dict(os.environ)
    if is_long and tests.examples is not None:
        examples = tests.examples if at_most is None else min(at_most, tests.examples)
        environment["OPENHARNESS_CONTRACT_EXAMPLES"] = str(examples)
    if is_long and tests.steps is not None:
        environment["OPENHARNESS_CONTRACT_STEPS"] = str(tests.steps)
    # Where thousands of examples are tried a disk would only make them slow; when a process is killed, it matters.
    in_memory = tests.examples is not None and os.access(MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else None) as folder:
        report = pathlib.Path(folder, "report.xml")
        options = [
            f"--junitxml={report}",
            "-o",
            "junit_family=xunit1",
            f"--basetemp={folder}/tests",
            "-q",
            "--tb=short",
        ]
        timeout = f"--timeout={_LONGEST if is_long else 600}"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, timeout]
        if tests.words:
            command += ["-k", tests.words]
        done = subprocess.run(
            [*command, *tests.paths], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if not report.is_file():
            outcome.failures.append(done.stdout + done.stderr)
            return
        cases = ET.parse(report).getroot().findall(".//testcase")  # noqa: S314 - written just now
    if not cases:
        outcome.failures.append(f"no test of {', '.join(tests.paths)} is called {tests.words!r}")
    before = len(outcome.failures)
    for case in cases:
        count(case, outcome)
    if len(outcome.failures) > before:
        outcome.failures.append(done.stdout[-8_000:])


def count(case: ET.Element, outcome: Outcome) -> None:
    """Add up one test."""
    name = case.get("name", "")
    failure = case.find("failure") if case.find("failure") is not None else case.find("error")
    if failure is not None:
        message = failure.get("message", "")
        kind = "hung" if "Timeout" in message or "hangs" in message else "failed"
        outcome.failures.append(f"{kind}: {case.get('classname')}.{name}: {message[:500]}")
    elif case.find("skipped") is not None:
        kind = "skipped"
    elif is_control(name):
        kind = "controls"
    else:
        kind = "passed"
    outcome.counts[kind] += 1
    figures = outcome.controls if is_control(name) else outcome.figures
    for figure in case.findall("properties/property"):
        value = figure.get("value", "")
        if value.isdigit():
            key = figure.get("name", "").replace(" ", "_")
            if key.startswith(("most", "slowest")):
                figures[key] = max(figures[key], int(value))
            else:
                figures[key] += int(value)


def is_control(name: str) -> bool:
    """Tell whether a test is about a planted bug."""
    return "the_check_notices" in name or "the_test_would_notice" in name


def told(row: Row, outcome: Outcome) -> list[str]:
    """Return what is said of a row once it is over: how many tests there were, and every figure."""
    counts = ", ".join(f"{number} {kind}" for kind, number in outcome.counts.items())
    lines = [f"{row.number} {row.title}: {'good' if outcome.is_good else 'BAD'}; tests: {counts}"]
    for title, figures in (("found", outcome.figures), ("controls", outcome.controls)):
        if figures:
            lines.append(f"    {title}: " + ", ".join(f"{name} {number:,}" for name, number in figures.items()))
    return lines


def table(rows: list[Row], outcomes: dict[int, Outcome]) -> list[str]:
    """Return the table of all rows, in Markdown, each column as wide as it needs."""
    lines = [COLUMNS, *(cells(row, outcomes[row.number]) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    written = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    good = sum(outcomes[row.number].is_good for row in rows)
    return [*written, f"{good} of {len(rows)} rows are good"]


def cells(row: Row, outcome: Outcome) -> tuple[str, ...]:
    """Return a row of the table."""
    figures = outcome.figures
    tried = [f"{figures[name]:,} {name.replace('_', ' ')}" for name in TRIED if figures[name]]
    others = sum(figures[name] for name in FOUND[1:-1])
    found = sum(outcome.controls[name] for name in FOUND)
    return (
        str(row.number),
        row.title,
        "good" if outcome.is_good else "BAD",
        ", ".join(tried) or f"{outcome.counts['passed']} tests",
        f"{figures['acknowledged']:,}" if figures["acknowledged"] else "",
        *(f"{figures[name]:,}" if name in figures else "" for name in (FOUND[0], FOUND[-1])),
        f"{others:,}" if any(name in figures for name in FOUND[1:-1]) else "",
        f"{outcome.counts['controls']} found {found:,}" if outcome.counts["controls"] else "",
        f"{outcome.seconds:,.0f}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
