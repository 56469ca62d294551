"""Try the stores against every hazard that the page "Durability" names, and print what came of it as a table.

    python .ci/faults.py [--short] [ROW ...]

A row is a kind of fault, and what shows that the stores stand it: tests of the packages, in their long form. They note
what they did and what they found (`record_property` of pytest); the table adds that up. Tests whose names have
"notice" in them are controls: the same check of a store with a planted bug, which must find something. With ``--short``
the tests run as they do for every change.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEMORY = pathlib.Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it

RUNS = "packages/openharness-run-store-sqlite/tests"
SIGNALS = "packages/openharness-signal-store-sqlite/tests"
FILES = "packages/openharness-signals/tests"
SHARED = "packages/openharness-testing/tests"
CONTRACTS = (
    f"{RUNS}/test_contract.py",
    f"{SIGNALS}/test_contract.py",
    f"{FILES}/test_contract_file.py",
    f"{FILES}/test_contract_memory.py",
    "packages/openharness-core/tests/test_contract_memory.py",
)


@dataclasses.dataclass(frozen=True)
class Tests:
    """Some tests.

    Attributes:
        paths: The files they are in.
        words: Which of them, as ``-k`` of pytest says it; empty for all.
        examples: How many random examples each property test of the contracts tries in the long form; None for as many
            as ever.
    """

    paths: tuple[str, ...]
    words: str = ""
    examples: int | None = None


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


def of(*paths: str, words: str = "", examples: int | None = None) -> Tests:
    """Name tests."""
    return Tests(paths, words, examples)


ROWS = (
    Row(
        1,
        "kill -9 while it writes",
        (
            of(f"{RUNS}/test_kill.py", f"{SIGNALS}/test_kill.py"),
            of(f"{FILES}/test_killed_processes.py", words="not never_closed"),
            of(f"{FILES}/test_resume_after_kill.py"),
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
            of(f"{SHARED}/test_mixed_load.py"),
            of(f"{RUNS}/test_processes.py", words="four"),
            of(*CONTRACTS, words="processes_write or many_instances"),
        ),
    ),
    Row(
        5,
        "several processes create a file",
        (of(f"{RUNS}/test_processes.py", words="create"), of(f"{SIGNALS}/test_one_file.py", words="create")),
    ),
    Row(6, "cancellation at every await", (of(f"{RUNS}/test_failures.py", *CONTRACTS, words="cancelled"),)),
    Row(
        7,
        "never closed",
        (
            of(f"{RUNS}/test_exit.py", "packages/openharness-sqlite/tests/test_exit.py"),
            of(f"{FILES}/test_killed_processes.py", *CONTRACTS, words="never_closed"),
        ),
    ),
    Row(8, "closed twice, at once, elsewhere", (of(f"{RUNS}/test_writer.py", *CONTRACTS, words="clos or loop"),)),
    Row(9, "something else opens the file", (of(f"{RUNS}/test_opening.py", words="nothing_but_sqlite"),)),
    Row(
        10,
        "full disk, read-only file",
        (
            of(f"{RUNS}/test_writer.py", f"{SIGNALS}/test_store.py", words="full_disk or last_room or size_of_files"),
            of(f"{RUNS}/test_opening.py", f"{SIGNALS}/test_store.py", words="only_be_read or may_only"),
            of(f"{FILES}/test_file_store.py", words="failing_disk or read_only"),
        ),
    ),
    Row(
        11,
        "damaged files",
        (
            of(f"{RUNS}/test_damage.py"),
            of(f"{SIGNALS}/test_store.py", words="checksum or leads_elsewhere"),
            of(f"{FILES}/test_format.py", words="cut or flipped or changed or kept_parts or zeros"),
            of(*CONTRACTS, words="damage"),
        ),
    ),
    Row(
        12,
        "files of other versions",
        (
            of(f"{RUNS}/test_opening.py", f"{SIGNALS}/test_one_file.py", words="older or newer or migration or died"),
            of(f"{FILES}/test_golden.py", f"{FILES}/test_migrating.py"),
        ),
    ),
    Row(
        13,
        "values of every kind",
        (of(*CONTRACTS, words="accepted or convertible or refused or random_states or random_logs", examples=5_000),),
    ),
    Row(14, "random operations, against a model", (of(*CONTRACTS, words="random_operations", examples=1_000),)),
    Row(
        15,
        "hostile ids, keys and files",
        (
            of(*CONTRACTS, words="mean_nothing or can_be_no_id or one_at_a_time or all_keys or an_id_alone"),
            of(f"{FILES}/test_hostile_files.py", f"{FILES}/test_file_names.py"),
        ),
    ),
    Row(16, "values changed by others", (of(*CONTRACTS, words="changing or two_objects or copied or does_not_share"),)),
    Row(23, "memory of long-lived processes", (of(f"{SHARED}/test_memory.py"),)),
    # Stores on a server bring this file with them.
    Row(
        24,
        "the server is restarted",
        tuple(
            of(str(path.relative_to(ROOT))) for path in sorted(ROOT.glob("packages/*postgres*/tests/test_restarts.py"))
        ),
    ),
)


def main(arguments: list[str]) -> int:
    """Run the rows that are named, or all of them; print the table and return the exit code."""
    is_long = "--short" not in arguments
    wanted = {int(word) for word in arguments if word.isdigit()}
    rows = [row for row in ROWS if not wanted or row.number in wanted]
    outcomes: dict[int, Outcome] = {}
    for row in rows:
        started = time.monotonic()
        outcomes[row.number] = outcome = Outcome()
        for tests in row.tests:
            run(tests, outcome, is_long=is_long)
        outcome.seconds = time.monotonic() - started
        print(line(row, outcome), *outcome.failures, sep="\n", flush=True)
    print("", *table(rows, outcomes), sep="\n", flush=True)
    return 0 if all(outcomes[row.number].is_good for row in rows if row.tests) else 1


def run(tests: Tests, outcome: Outcome, *, is_long: bool) -> None:
    """Run tests and add up what they noted."""
    environment = {**os.environ, "OPENHARNESS_LONG": "1"} if is_long else dict(os.environ)
    if is_long and tests.examples is not None:
        environment["OPENHARNESS_CONTRACT_EXAMPLES"] = str(tests.examples)
    # Where thousands of examples are tried a disk would only make them slow; when a process is killed, it matters.
    in_memory = tests.examples is not None and os.access(MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else None) as folder:
        report = pathlib.Path(folder, "report.xml")
        options = [f"--junitxml={report}", "-o", "junit_family=xunit1", f"--basetemp={folder}/tests", "-q"]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "--timeout=7200"]
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
    for case in cases:
        count(case, outcome)
    if outcome.failures:
        outcome.failures.append(done.stdout[-20_000:])


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


def line(row: Row, outcome: Outcome) -> str:
    """Return the line of a row: what was done, what was found, and what the controls found."""
    if not row.tests:
        return f"{row.number:>2}  {row.title:<36} nothing here to try it on"
    verdict = "good" if outcome.is_good else "BAD"
    parts = [
        f"{outcome.counts['passed']} tests passed, {outcome.counts['failed']} failed, {outcome.counts['hung']} hung"
    ]
    if outcome.counts["skipped"]:
        parts[0] += f", {outcome.counts['skipped']} skipped"
    if outcome.figures:
        parts.append(", ".join(f"{name} {number:,}" for name, number in outcome.figures.items()))
    if outcome.counts["controls"]:
        found = sum(outcome.controls[name] for name in ("lost", "errors", "strange", "damaged", "early"))
        parts.append(f"{outcome.counts['controls']} controls found {found:,}")
    return f"{row.number:>2}  {row.title:<36} {verdict:<5} {'; '.join(parts)}  ({outcome.seconds:.0f} s)"


def table(rows: list[Row], outcomes: dict[int, Outcome]) -> list[str]:
    """Return the table of all rows."""
    good = sum(outcomes[row.number].is_good for row in rows)
    tried = sum(bool(row.tests) for row in rows)
    return [*(line(row, outcomes[row.number]) for row in rows), f"{good} of {tried} rows are good"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
