"""States and metadata: what comes back as it is, what comes back converted, what no store takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import InMemoryRunStore, RunRecord, SerializationError
from openharness.core.values import encode_json
from openharness.testing._kit._explore import explore
from openharness.testing._kit._same import assert_same, first_difference
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import NOON, as_stored, ids, make_run
from openharness.testing.corpus import ACCEPTED_VALUES, CONVERTED_VALUES, REFUSED_VALUES
from openharness.testing.strategies import json_values

if TYPE_CHECKING:
    from openharness.core import JSONValue, RunStore
    from openharness.testing.corpus import AcceptedValue, ConvertedValue, RefusedValue

__all__ = ("SizeTests", "ValueTests")


def _name(case: AcceptedValue | ConvertedValue | RefusedValue) -> str:
    return case.name


def _fits_metadata(value: object) -> bool:
    """Metadata takes neither NUL nor surrogates."""
    return not re.search(r"\\u(0000|d[89a-f])", encode_json(value).decode())


_METADATA_VALUES = [case for case in ACCEPTED_VALUES if _fits_metadata(case.value) and not case.name.endswith("-deep")]


async def _refusal(store: RunStore, run: RunRecord) -> tuple[type[SerializationError], str]:
    """How a store refuses a record: the class of the error and its path."""
    with pytest.raises(SerializationError) as caught:
        await store.save_run(run)
    return type(caught.value), caught.value.path


class ValueTests(RunStoreCase):
    """The same values are accepted and refused as by the store in memory, and come back the same."""

    @pytest.mark.parametrize("case", ACCEPTED_VALUES, ids=_name)
    async def test_an_accepted_state_comes_back_as_it_is(self, store: RunStore, case: AcceptedValue) -> None:
        """A JSON value comes back equal, of the same types, its keys in the same order, got and listed alike."""
        run = make_run(state=case.value)
        await store.save_run(run)
        got = await store.get_run("run-1")
        assert_same(got, run, what="run")
        assert_same(await store.list_runs(), [run], what="runs")
        async with InMemoryRunStore() as reference:
            await reference.save_run(run)
            assert_same(got, await reference.get_run("run-1"), what="run, compared with the store in memory,")

    @pytest.mark.parametrize("case", _METADATA_VALUES, ids=_name)
    async def test_accepted_metadata_comes_back_as_it_is(self, store: RunStore, case: AcceptedValue) -> None:
        """A JSON value in the metadata comes back as exactly as one in the state."""
        run = make_run(metadata={"z": 1, "value": case.value, "a": {"nested": [case.value]}})
        await store.save_run(run)
        assert_same(await store.get_run("run-1"), run, what="run")

    @pytest.mark.parametrize("case", CONVERTED_VALUES, ids=_name)
    async def test_a_convertible_state_comes_back_in_its_json_form(self, store: RunStore, case: ConvertedValue) -> None:
        """An object that has a JSON form is stored in it, in every store in the same one."""
        await store.save_run(make_run(state=case.value))
        assert_same(await store.get_run("run-1"), make_run(state=case.expected), what="run")

    @pytest.mark.parametrize("case", REFUSED_VALUES, ids=_name)
    async def test_a_refused_state_raises_and_changes_nothing(self, store: RunStore, case: RefusedValue) -> None:
        """What has no JSON form raises SerializationError with the path, as in memory, and the run stays as it was."""
        await store.save_run(make_run(state="before"))
        refusal = await _refusal(store, make_run(state=case.make()))
        async with InMemoryRunStore() as reference:
            assert refusal == await _refusal(reference, make_run(state=case.make()))
        if case.place is not None:
            assert refusal == (SerializationError, f"state{case.place}")
        assert_same(await store.list_runs(), [make_run(state="before")], what="runs")
        await self.soon(store.save_run(make_run("run-2", state="after")), "saving after a refusal")
        assert await ids(store) == ["run-2", "run-1"]

    async def test_a_refused_new_run_is_not_there(self, store: RunStore) -> None:
        """A run whose state was refused does not exist, not even without its state."""
        await _refusal(store, make_run(state={"a": float("nan")}, metadata={"k": 1}))
        assert await store.get_run("run-1") is None
        assert await ids(store, metadata={"k": 1}) == []
        assert await store.count_runs() == 0

    async def test_random_states_come_back_as_they_are(self, store: RunStore) -> None:
        """Any JSON value comes back equal, of the same types, its keys in the same order."""

        async def check(state: JSONValue) -> None:
            await store.save_run(make_run(state=state))
            assert_same(await store.get_run("run-1"), make_run(state=state), what="run")

        await explore(self, json_values(), check)


class SizeTests(RunStoreCase):
    """The size limit: exactly the same number of bytes everywhere."""

    async def test_a_state_of_just_the_limit_is_taken(self, store: RunStore) -> None:
        """JSON text of exactly the limit is stored and comes back; a byte more is refused with the path."""
        # Two bytes are the quotes; equality first, since a message about 16 MiB of text helps nobody.
        fits = make_run(state="x" * (self.max_bytes - 2))
        await store.save_run(fits)
        assert first_difference(await store.get_run("run-1"), fits) is None
        refusal = await _refusal(store, make_run(state="x" * (self.max_bytes - 1)))
        assert refusal == (SerializationError, "state")
        assert first_difference(await store.get_run("run-1"), fits) is None

    async def test_the_limit_counts_bytes_and_not_characters(self, store: RunStore) -> None:
        """A text of fewer characters than the limit, and more bytes, is refused."""
        refusal = await _refusal(store, make_run(state="\u20ac" * (self.max_bytes // 3 + 1)))
        assert refusal == (SerializationError, "state")
        assert await store.count_runs() == 0

    async def test_metadata_has_the_same_limit(self, store: RunStore) -> None:
        """Metadata beyond the limit is refused with its own path."""
        metadata: dict[str, Any] = {"k": "x" * self.max_bytes}
        run = RunRecord("run-1", created_at=NOON, state=None, metadata=metadata)
        assert await _refusal(store, run) == (SerializationError, "metadata")
        assert await store.count_runs() == 0

    async def test_a_large_state_does_not_disturb_small_ones(self, store: RunStore) -> None:
        """A listing without states does not depend on their size, and small records beside a large one are right."""
        large = make_run("large", state=["y" * (self.max_bytes // 4)] * 3)
        await store.save_run(large)
        await store.save_run(make_run("small", state=1))
        assert await ids(store, include_state=False) == ["small", "large"]
        assert first_difference(await store.get_run("large"), as_stored(large)) is None
