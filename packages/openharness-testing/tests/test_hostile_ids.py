"""Ids, keys and names that mean something to a database, a file system or a shell: in stores they mean themselves.

The long form, of ``nox -s faults``, is 2,000 of each; the corpus of the contracts, and what comes of putting its parts
together.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(_FAULTS))

from every_store import every_store  # noqa: E402
from places import folder_in_memory  # noqa: E402

from openharness.core import InvalidValueError, RecordingQuery, RunQuery, RunRecord  # noqa: E402
from openharness.core.records import check_id  # noqa: E402
from openharness.testing.corpus import HOSTILE_IDS, HOSTILE_KEYS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore, SignalStore
    from openharness.testing.postgres import PostgresPlace

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
COUNT = 2_000 if LONG else 100

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600 if LONG else 240)]

# What reached the database, or a file elsewhere, in published reports about stores of this kind.
_KNOWN = (
    "' OR '1'='1",
    "' UNION SELECT sql, 1, 1, 1 FROM sqlite_master --",
    "x' AND json_extract(metadata, '$.a') = 'b",
    "$.a') = 'b' OR ('1' = '1",
    'a" . "b',
    "..\\..\\secret",
    "....//....//etc/passwd",
    "%2e%2e%2f",
    "a\u2215b",
    "file:///etc/passwd",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "__proto__",
    "; rm -rf / #",
    "| cat /etc/passwd",
)


def hostile(count: int) -> list[str]:
    """Return texts that all differ and are ids."""
    parts = [*HOSTILE_IDS, *HOSTILE_KEYS, *_KNOWN]
    found = dict.fromkeys(part for part in parts if _is_id(part))
    chance = random.Random(5)
    while len(found) < count:
        made = "".join(chance.choices(parts, k=chance.randint(2, 4)))
        if _is_id(made):
            found[made] = None
    return list(found)[:count]


def _is_id(text: str) -> bool:
    try:
        check_id(text)
    except InvalidValueError:
        return False
    return True


async def _as_runs(store: RunStore, texts: list[str]) -> None:
    runs = {
        text: RunRecord(text, created_at=1, state=place, metadata={text: place, "text": text}, parent_run_id=text)
        for place, text in enumerate(texts)
    }
    await asyncio.gather(*map(store.save_run, runs.values()))
    ordered = sorted(texts, key=str.encode, reverse=True)
    assert [run.id for run in await store.list_runs()] == ordered
    for text, run in runs.items():
        assert await store.get_run(text) == run
        # As a key, as a value, and as what an id begins with.
        assert await store.list_runs(RunQuery(metadata={text: run.state})) == [run]
        assert await store.list_runs(RunQuery(metadata={"text": text})) == [run]
        begins = [one for one in ordered if one.startswith(text)]
        assert [one.id for one in await store.list_runs(RunQuery(id_prefix=text, include_state=False))] == begins
    for text in texts[::2]:
        await store.delete_run(text)
    left = set(texts[1::2])
    assert [run.id for run in await store.list_runs()] == [text for text in ordered if text in left]


async def _as_names(store: SignalStore, texts: list[str]) -> None:
    made: dict[str, str] = {}
    for text in texts:
        made[text] = await store.create_recording(run_id=text, tags=[text], metadata={text: text})
        await store.publish(made[text], text)
    for text, recording in made.items():
        for query in (RecordingQuery(run_id=text), RecordingQuery(tags=[text])):
            assert [info.id for info in await store.list_recordings(query)] == [recording]
        found = await store.find_recording(text)
        assert found is not None
        assert (found.id, found.run_id, found.metadata) == (recording, text, {text: text})
    assert len(await store.list_recordings()) == len(texts)
    assert sorted(await store.list_fixtures()) == sorted(texts)


@pytest.mark.parametrize("name", ["memory", "sqlite", "postgres", "files"])
async def test_ids_keys_and_names_mean_themselves(
    name: str, openharness_postgres: PostgresPlace, record_property: Callable[[str, object], None]
) -> None:
    """Each finds what has it and nothing else, nothing else is deleted, and no file is made elsewhere."""
    texts = hostile(COUNT)
    with folder_in_memory() as folder:
        inner = folder / "deep" / "inside"
        inner.mkdir(parents=True)
        async with every_store(inner, openharness_postgres) as (runs, signals):
            if name in runs:
                await _as_runs(runs[name], texts)
            # Listing files opens each of them.
            of_names = texts[: COUNT // 10] if name == "files" else texts
            await _as_names(signals[name], of_names)
        assert {path.relative_to(folder).parts[:2] for path in folder.rglob("*")} == {("deep",), ("deep", "inside")}
    record_property("ids", len(texts) if name in runs else 0)
    record_property("names", len(of_names))
