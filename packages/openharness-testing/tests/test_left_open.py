"""A store is open while a newer release brings its tables forward: from then on it neither writes nor reads them."""

from __future__ import annotations

import asyncio
import os
import random
import re
import secrets
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import pytest

pytest.importorskip("openharness.run_store_sqlite")
pytest.importorskip("openharness.signal_store_sqlite")
pytest.importorskip("openharness.run_store_postgres")
pytest.importorskip("openharness.signal_store_postgres")

FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(FAULTS))

import asyncpg  # noqa: E402
from left_open import Place, next_version, place_of  # noqa: E402

from openharness.core import (  # noqa: E402
    RecordingInfo,
    RecordingQuery,
    RunQuery,
    RunRecord,
    Signal,
    StoreVersionError,
)
from openharness.testing.postgres import PostgresServer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from openharness.testing.postgres import PostgresPlace

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]
RUN = RunRecord("a", created_at=1, completed_at=2, state={"text": "hello"}, metadata={"tenant": "acme", "n": 1})
SIGNALS = [Signal(f"s{seq}", name=f"text:{seq}", payload={"n": seq}, timestamp=seq, seq=seq) for seq in range(4)]


_made: list[Place] = []


def new_place(kind: str, where: str) -> Place:
    """Return a place of which nothing is left after the test."""
    _made.append(place_of(kind, where))
    return _made[-1]


@pytest.fixture(autouse=True)
def leave_nothing() -> Iterator[None]:
    """Remove what a test has made on a server that may be used on."""
    yield
    while _made:
        _made.pop().drop()


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where places are made: a folder, and a server."""
    return str(tmp_path) if request.param == "sqlite" else request.getfixturevalue("openharness_postgres").dsn


def new_run(number: int, text: str = "new") -> RunRecord:
    """A run that nobody has saved."""
    return RunRecord(f"new-{number}", created_at=number, state={"text": text}, metadata={"n": number})


async def all_of(*several: Awaitable[Any]) -> None:
    """Wait for all; one error is enough where all are the same."""
    results = await asyncio.gather(*several, return_exceptions=True)
    kinds = {type(result) for result in results}
    assert kinds == {StoreVersionError}, kinds
    raise results[0]


async def listed(several: Any) -> list[Any]:
    """Read to the end."""
    return [one async for one in several]


WITH_RUNS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "a new run": lambda store: store.save_run(new_run(1)),
    "a known run": lambda store: store.save_run(RUN),
    "many runs": lambda store: all_of(*(store.save_run(new_run(number)) for number in range(200))),
    "many large runs": lambda store: all_of(*(store.save_run(new_run(number, "x" * 20_000)) for number in range(40))),
    "delete": lambda store: store.delete_run("a"),
    "delete what is not there": lambda store: store.delete_run("nobody"),
    "prune": lambda store: store.prune_runs(keep_last=0),
    "count what would be pruned": lambda store: store.prune_runs(older_than=9, dry_run=True),
    "get": lambda store: store.get_run("a"),
    "get what is not there": lambda store: store.get_run("nobody"),
    "list": lambda store: store.list_runs(),
    "list by metadata": lambda store: store.list_runs(RunQuery(metadata={"tenant": "acme", "n": 1})),
    "list without states": lambda store: store.list_runs(RunQuery(include_state=False, status="completed")),
    "iterate": lambda store: listed(store.iter_runs()),
    "count": lambda store: store.count_runs(),
    "count by status": lambda store: store.count_runs(RunQuery(status="completed", limit=3)),
}

WITH_SIGNALS: dict[str, Callable[[Any, RecordingInfo, RecordingInfo], Awaitable[Any]]] = {
    "create": lambda store, mine, other: store.create_recording(run_id="new", tags=["t"], metadata={"n": 1}),
    "append to one's own": lambda store, mine, other: store.append(mine.id, SIGNALS[2:]),
    "append to another's": lambda store, mine, other: store.append(other.id, SIGNALS[2:]),
    "append what is there": lambda store, mine, other: store.append(mine.id, SIGNALS[:2]),
    "append at once": lambda store, mine, other: all_of(*(store.append(one.id, SIGNALS[2:]) for one in (mine, other))),
    "a checkpoint": lambda store, mine, other: store.add_checkpoint(mine.id, "new", 1),
    "finalize": lambda store, mine, other: store.finalize(mine.id, outcome="completed"),
    "publish": lambda store, mine, other: store.publish(mine.id, "new"),
    "restore": lambda store, mine, other: store.restore_recording(RecordingInfo(id="new", run_id="r", created_at=1)),
    "delete": lambda store, mine, other: store.delete_recording(mine.id),
    "delete what is not there": lambda store, mine, other: store.delete_recording("nobody"),
    "load": lambda store, mine, other: store.load_recording(mine.id),
    "load what is not there": lambda store, mine, other: store.load_recording("nobody"),
    "iterate": lambda store, mine, other: listed(store.iter_signals(mine.id, patterns="text:*")),
    "about one": lambda store, mine, other: store.get_recording_info(mine.id),
    "list": lambda store, mine, other: store.list_recordings(RecordingQuery(tags=["mine"], metadata={"by": "mine"})),
    "count": lambda store, mine, other: store.count_recordings(),
    "search": lambda store, mine, other: store.search_recordings(["text:0", "text:*"]),
    "a fixture": lambda store, mine, other: store.find_recording("known"),
    "a fixture that is not there": lambda store, mine, other: store.find_recording("nobody"),
    "fixtures": lambda store, mine, other: store.list_fixtures(),
    "wait": lambda store, mine, other: store.wait_for_change(mine),
    "follow": lambda store, mine, other: listed(store.follow(mine.id)),
}


async def record(store: Any, by: str) -> RecordingInfo:
    """Record two signals, and return what is known of the recording."""
    recording_id = await store.create_recording(run_id=by, tags=[by], metadata={"by": by})
    await store.append(recording_id, SIGNALS[:2])
    info = await store.get_recording_info(recording_id)
    assert info is not None
    return info


async def bring_forward(place: Place) -> Any:
    """Return a store of the next version, which is open."""
    with next_version(place):
        store = place.open()
        await (store.count_runs() if place.kind == "runs" else store.count_recordings())
    return store


async def see_that_all_are_refused(place: Place, works: Mapping[str, Callable[[], Awaitable[Any]]]) -> None:
    """Each raises the error that opening a newer file raises, and nothing is changed by any."""
    version = place.module.SCHEMA.version
    before = await asyncio.to_thread(place.content)
    for name, work in works.items():
        for _ in range(2):
            with pytest.raises(StoreVersionError) as caught:
                await work()
            assert (caught.value.found, caught.value.supported) == (version + 1, version), name
            assert "Install a newer release" in str(caught.value), name
        assert await asyncio.to_thread(place.content) == before, name


async def test_whatever_an_older_run_store_does_first_is_refused(where: str) -> None:
    """Each method of stores that were open, used or not, raises StoreVersionError, and nothing is written."""
    place = new_place("runs", where)
    olds = {name: place.open() for name in WITH_RUNS}
    for number, old in enumerate(olds.values()):
        # Half of them have prepared their statements.
        await (old.save_run(RUN) if number % 2 else old.count_runs())
    new = await bring_forward(place)
    await see_that_all_are_refused(place, {name: partial(WITH_RUNS[name], old) for name, old in olds.items()})
    await new.save_run(new_run(1))
    assert {run.id for run in await new.list_runs()} == {"a", "new-1"}
    for store in (*olds.values(), new):
        await store.close()


async def test_whatever_an_older_signal_store_does_first_is_refused(where: str) -> None:
    """Each method of stores that were open, used or not, raises StoreVersionError, and nothing is written."""
    place = new_place("signals", where)
    olds = {name: place.open() for name in WITH_SIGNALS}
    one = next(iter(olds.values()))
    other = await record(one, "other")
    await one.publish(other.id, "known")
    mine = {name: await record(old, "mine") for name, old in olds.items()}
    new = await bring_forward(place)
    works = {name: partial(WITH_SIGNALS[name], old, mine[name], other) for name, old in olds.items()}
    await see_that_all_are_refused(place, works)
    await new.append(other.id, SIGNALS[2:])
    recording = await new.load_recording(other.id)
    assert recording is not None
    assert list(recording.signals) == SIGNALS
    for store in (*olds.values(), new):
        await store.close()


@pytest.mark.parametrize("kind", ["runs", "signals"])
async def test_the_stores_beside_it_go_on(where: str, kind: str) -> None:
    """Where runs and recordings are in one place, a newer version of the ones does not concern the stores of the others."""
    place = new_place(kind, where)
    beside = Place("signals" if kind == "runs" else "runs", place.url, place.path, place.dsn, place.schema)
    async with beside.open() as store:
        used = store.save_run(RUN) if beside.kind == "runs" else record(store, "mine")
        await used
        await (await bring_forward(place)).close()
        if beside.kind == "runs":
            await store.save_run(new_run(1))
            assert {run.id for run in await store.list_runs()} == {"a", "new-1"}
        else:
            await record(store, "another")
            assert await store.count_recordings() == 2


@pytest.mark.parametrize("kind", ["runs", "signals"])
@pytest.mark.parametrize("steps", ["one by one", "at once"])
async def test_who_is_left_behind_by_several_versions_is_refused(where: str, kind: str, steps: str) -> None:
    """It does not matter how many versions came meanwhile, nor whether each was there for a while; the error says which."""
    place = new_place(kind, where)
    version = place.module.SCHEMA.version
    stores = {version: place.open()}
    await write_once(stores[version])
    with next_version(place):
        if steps == "one by one":
            stores[version + 1] = place.open()
            await write_once(stores[version + 1])
        with next_version(place, notes="more"):
            stores[version + 2] = place.open()
            await write_once(stores[version + 2])
    for supported, store in stores.items():
        if supported < version + 2:
            with pytest.raises(StoreVersionError) as caught:
                await write_once(store)
            assert (caught.value.found, caught.value.supported) == (version + 2, supported)
        else:
            await write_once(store)
        await store.close()


async def write_once(store: Any) -> None:
    """Write something."""
    await (store.save_run(RUN) if hasattr(store, "save_run") else store.create_recording(run_id="r"))


@pytest.mark.parametrize("kind", ["runs", "signals"])
async def test_a_version_that_was_set_back_by_hand_deceives_nobody(where: str, kind: str) -> None:
    """Whoever has the tables open is refused by the mark of the newer version, whatever the version is said to be."""
    place = new_place(kind, where)
    version = place.module.SCHEMA.version
    async with place.open() as old:
        await write_once(old)
        await (await bring_forward(place)).close()
        if place.path is None:
            back = f"UPDATE {{t}}versions SET version = {version}"  # noqa: S608
        else:
            back = (
                f"PRAGMA user_version = {version}"
                if kind == "runs"
                else f"UPDATE openharness_schema SET version = {version}"  # noqa: S608
            )
        await asyncio.to_thread(place.sql, back)
        for work in (write_once(old), old.count_runs() if kind == "runs" else old.count_recordings()):
            with pytest.raises(StoreVersionError) as caught:
                await work
            assert (caught.value.found, caught.value.supported) == (version + 1, version)


@pytest.mark.parametrize("kind", ["runs", "signals"])
async def test_a_write_that_comes_during_the_migration_waits_and_is_refused(tmp_path: Path, kind: str) -> None:
    """A write that was asked for while the tables were brought forward is not in them when it was not before."""
    place = new_place(kind, str(tmp_path))
    begun, go_on = threading.Event(), threading.Event()

    def wait(connection: object) -> None:
        del connection
        begun.set()
        assert go_on.wait(60)

    async with place.open() as old:
        await write_once(old)
        with next_version(place, wait):
            new = place.open()
            bringing = asyncio.ensure_future(new.count_runs() if kind == "runs" else new.count_recordings())
            await asyncio.to_thread(begun.wait, 60)
            writing = asyncio.ensure_future(write_once(old))
            # It tries, and finds the lock of the migration.
            await asyncio.wait((writing,), timeout=0.05)
            go_on.set()
            assert await bringing == 1
        with pytest.raises(StoreVersionError):
            await writing
        assert await (new.count_runs() if kind == "runs" else new.count_recordings()) == 1
        await new.close()


@pytest.mark.parametrize(
    "options",
    [
        "",
        "&statement_cache_size=0",
        # The snapshot is that of the beginning, from before the wait for the lock.
        "&default_transaction_isolation=repeatable%20read",
        "&default_transaction_isolation=serializable",
    ],
)
@pytest.mark.parametrize("kind", ["runs", "signals"])
async def test_on_a_server_a_write_waits_for_the_migration_and_is_refused(
    openharness_postgres: PostgresPlace, kind: str, options: str
) -> None:
    """A write that is sent while the tables are brought forward waits for the end of that, and is refused then."""
    place = new_place(kind, openharness_postgres.dsn)
    number = random.randrange(2**31)
    watching = await asyncpg.connect(place.dsn)

    async def waiting(sql: str, task: asyncio.Future[Any]) -> None:
        while not task.done() and not await watching.fetch(sql):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.005)

    try:
        async with attrs.evolve(place, url=place.url + options).open() as old:
            await write_once(old)
            await watching.execute(f"SELECT pg_advisory_lock({number})")
            with next_version(place, f"SELECT pg_advisory_xact_lock({number})"):
                new = place.open()
                bringing = asyncio.ensure_future(new.count_runs() if kind == "runs" else new.count_recordings())
                await waiting(f"SELECT FROM pg_locks WHERE objid = {number} AND NOT granted", bringing)
                writing = asyncio.ensure_future(write_once(old))
                await waiting(
                    "SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
                    f"WHERE relnamespace = '{place.schema}'::regnamespace AND NOT granted",
                    writing,
                )
                await watching.execute(f"SELECT pg_advisory_unlock({number})")
                assert await bringing == 1
            with pytest.raises(StoreVersionError):
                await writing
            assert await (new.count_runs() if kind == "runs" else new.count_recordings()) == 1
            await new.close()
    finally:
        await watching.close()


@pytest.mark.slow
async def test_who_comes_back_after_a_restart_is_refused() -> None:
    """A store whose connections were lost, and whose tables were brought forward meanwhile, is refused with new ones."""
    with PostgresServer() as server:
        places = [place_of(kind, server.dsn) for kind in ("runs", "signals")]
        olds = [place.open() for place in places]
        for old in olds:
            await write_once(old)
        await asyncio.to_thread(server.restart, "fast")
        for place, old in zip(places, olds, strict=True):
            new = await bring_forward(place)
            for work in (write_once(old), old.count_runs() if place.kind == "runs" else old.count_recordings()):
                with pytest.raises(StoreVersionError):
                    await work
            assert await (new.count_runs() if place.kind == "runs" else new.count_recordings()) == 1
            await new.close()
            await old.close()


async def test_names_of_schemas_are_only_names(openharness_postgres: PostgresPlace) -> None:
    """Quotes, braces and backslashes in the name of a schema change nothing of what is looked for."""
    name = f"q'\"{{}}\\ {secrets.token_hex(4)}"
    dsn = openharness_postgres.dsn
    place = Place("runs", f"{dsn}{'&' if '?' in dsn else '?'}schema={quote(name)}", dsn=dsn, schema=name)
    _made.append(place)
    async with place.open() as old:
        await old.save_run(RUN)
        assert await old.list_runs() == [RUN]
        await (await bring_forward(place)).close()
        for work in (old.save_run(RUN), old.list_runs()):
            with pytest.raises(StoreVersionError):
                await work


@pytest.mark.slow
@pytest.mark.timeout(3_600 if LONG else 240)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork and kill -9 are POSIX")
class TestProcesses:
    """Processes of an older release write as fast as they can while another brings the tables forward."""

    @pytest.fixture
    def leave(self, where: str, record_property: Callable[[str, object], None]) -> Callable[..., dict[str, int]]:
        """Return what runs the program and returns its figures, which also go into the report of the tests."""

        def run(*words: object) -> dict[str, int]:
            kind, *rest = map(str, words)
            done = subprocess.run(  # noqa: S603 - our own program
                [sys.executable, FAULTS / "left_open.py", kind, where, *rest],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.stderr, done.returncode) == ("", 0)
            figures = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}
            for name, number in figures.items():
                record_property(name, number)
            return figures

        return run

    @pytest.mark.parametrize("kind", ["runs", "signals"])
    def test_nothing_of_an_older_release_is_later_than_the_migration(
        self, leave: Callable[..., dict[str, int]], kind: str
    ) -> None:
        """Each process ends with the error that says so; what it had acknowledged before is there, and the migration has it."""
        rounds, processes = (100, 4) if LONG else (2, 3)
        figures = leave(kind, processes, rounds)
        assert figures.pop("acknowledged") >= 5 * rounds * processes
        assert figures == {"refused": rounds * processes, "late": 0, "lost": 0}

    # One kind is enough: what is tried is the check.
    def test_the_check_notices_a_release_that_does_not_look(self, leave: Callable[..., dict[str, int]]) -> None:
        """The same check finds rows that the newer release does not, when the older one does not look for it."""
        figures = leave("runs", 1, 1, "not-looking")
        assert figures["refused"] == 0
        assert figures["late"] > 0
