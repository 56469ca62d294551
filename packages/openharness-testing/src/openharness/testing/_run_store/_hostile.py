"""Ids and metadata keys that mean something to a database or a file system, and nothing to a store."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import as_stored, ids, make_run, save_at_once
from openharness.testing.corpus import HOSTILE_IDS, HOSTILE_KEYS

if TYPE_CHECKING:
    from openharness.core import RunStore

__all__ = ("HostileTests",)


class HostileTests(RunStoreCase):
    """Ids, keys and texts are data, exactly as they are."""

    async def test_ids_mean_nothing(self, store: RunStore) -> None:
        """Ids that look like paths, SQL, wildcards or each other are all kept apart."""
        runs = [make_run(run_id, state=index) for index, run_id in enumerate(HOSTILE_IDS)]
        await save_at_once(store, *runs)
        for run in runs:
            assert_same(await store.get_run(run.id), run, what=f"run {run.id!a}")
        assert await ids(store) == sorted(HOSTILE_IDS, key=str.encode, reverse=True)

    async def test_ids_are_deleted_one_at_a_time(self, store: RunStore) -> None:
        """Deleting by such an id deletes that run and no other."""
        await save_at_once(store, *(make_run(run_id) for run_id in HOSTILE_IDS))
        left = sorted(HOSTILE_IDS, key=str.encode, reverse=True)
        for run_id in random.Random(0).sample(HOSTILE_IDS, len(HOSTILE_IDS)):  # noqa: S311 - the same order every time
            await store.delete_run(run_id)
            left.remove(run_id)
            assert await ids(store) == left, f"after deleting {run_id!a}"

    @pytest.mark.parametrize("run_id", HOSTILE_IDS, ids=ascii)
    async def test_an_id_alone(self, store: RunStore, run_id: str) -> None:
        """A run with such an id is saved, got, found by prefix, replaced and deleted."""
        await store.save_run(make_run(run_id, state=1))
        await store.save_run(make_run(run_id, state=2, recording_id=run_id, parent_run_id=run_id))
        run = make_run(run_id, state=2, recording_id=run_id, parent_run_id=run_id)
        assert_same(await store.get_run(run_id), run, what="run")
        assert await ids(store, id_prefix=run_id) == [run_id]
        await store.delete_run(run_id)
        assert await store.get_run(run_id) is None

    async def test_keys_mean_nothing(self, store: RunStore) -> None:
        """Metadata keys that look like paths, SQL or parameters find exactly the runs that have them."""
        runs = [make_run(f"r{index:02}", metadata={key: "value"}) for index, key in enumerate(HOSTILE_KEYS)]
        await save_at_once(store, *runs, make_run("other", metadata={"other": "value"}))
        for run, key in zip(runs, HOSTILE_KEYS, strict=True):
            assert await ids(store, metadata={key: "value"}) == [run.id], f"the key {key!a}"
            assert await ids(store, metadata={key: "other"}) == [], f"the key {key!a}"
            assert_same(await store.get_run(run.id), as_stored(run), what="run")

    async def test_values_mean_nothing(self, store: RunStore) -> None:
        """Metadata values that look like SQL or parameters are compared as text."""
        runs = [make_run(f"r{index:02}", metadata={"k": text}) for index, text in enumerate(HOSTILE_KEYS)]
        await save_at_once(store, *runs)
        for run, text in zip(runs, HOSTILE_KEYS, strict=True):
            assert await ids(store, metadata={"k": text}) == [run.id], f"the value {text!a}"

    async def test_all_keys_in_one_record(self, store: RunStore) -> None:
        """One record with all such keys comes back, in order, and is found by all of them at once."""
        run = make_run(metadata=dict.fromkeys(HOSTILE_KEYS, 1))
        await store.save_run(run)
        assert_same(await store.get_run("run-1"), run, what="run")
        assert await ids(store, metadata=dict.fromkeys(HOSTILE_KEYS, 1.0)) == ["run-1"]
        assert await ids(store, metadata=dict.fromkeys(HOSTILE_KEYS, 1) | {"a.b": 2}) == []

    async def test_error_texts_mean_nothing(self, store: RunStore) -> None:
        """The sentence about an error comes back whole: quotes, line breaks, emoji."""
        text = 'it\'s "bad"\n\tat \\n line 1; DROP TABLE runs; -- \u2028 \U0001f600 %s {0}' * 50
        run = make_run(error=text, status="failed")
        await store.save_run(run)
        assert_same(await store.get_run("run-1"), run, what="run")
