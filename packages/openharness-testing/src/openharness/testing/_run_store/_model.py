"""Random sequences of operations, compared with a model and with the store in memory after every one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openharness.core import InMemoryRunStore, RunQuery, RunRecord, RunStatus, RunStore
from openharness.testing._kit._explore import Bridge, explore_sequences
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._history import History
from openharness.testing.strategies import METADATA_KEYS, METADATA_SCALARS, run_queries, run_records

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from openharness.core import JSONValue


__all__ = ("ModelTests",)

_IDS = st.sampled_from(["a", "A", "a/b", "ab", "b", "\xe9", "\U0001f600", "\uff5e"])
_STATES: st.SearchStrategy[JSONValue] = st.sampled_from([None, 0, True, "text", "\0\ud83d", [1.0], {"b": 1, "a": []}])
"""Few and small: random ones have a test of their own."""
_SAVED = run_records(ids=_IDS, states=_STATES) | run_records(ids=_IDS, states=_STATES, min_keys=2)


_SEARCHES = [
    *(RunQuery(status=status) for status in RunStatus),
    *(RunQuery(created_after=moment) for moment in range(1_000, 1_005)),
    *(RunQuery(created_before=moment) for moment in range(1_000, 1_005)),
    *(RunQuery(id_prefix=prefix) for prefix in ("a", "A", "a/", "a%", "_", "\xe9")),
    *(RunQuery(metadata={key: value}) for key in METADATA_KEYS for value in METADATA_SCALARS),
]
"""Every value of every condition."""


class _Machine(RuleBasedStateMachine):
    """Applies each operation to the store, to the store in memory, and to the model."""

    def __init__(self, bridge: Bridge, holder: _Holder) -> None:
        super().__init__()
        self._bridge = bridge
        self._holder = holder
        self._reference = InMemoryRunStore()
        self._model = History()
        self._run(holder.empty())

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._bridge.run(coroutine)

    def _both(self, operation: Callable[[RunStore], Coroutine[Any, Any, Any]]) -> Any:
        """Apply an operation to the store and to the reference, and return their common answer."""
        answer = self._run(operation(self._holder.store))
        assert_same(
            answer, self._run(operation(self._reference)), what="the answer, compared with the store in memory,"
        )
        return answer

    @initialize(runs=st.lists(_SAVED, min_size=4, max_size=8))
    def begin(self, runs: list[RunRecord]) -> None:
        """Begin with a history: without one there is little to ask for, and Hypothesis may leave a rule out."""
        self.save(runs)

    @rule(runs=st.lists(_SAVED, min_size=1, max_size=4))
    def save(self, runs: list[RunRecord]) -> None:
        """Save runs, new or again."""
        for run in runs:
            self._both(lambda store: store.save_run(run))  # noqa: B023 - called at once
            self._model.save(run)

    @rule(run_id=_IDS)
    def delete(self, run_id: str) -> None:
        """Delete a run, there or not."""
        self._both(lambda store: store.delete_run(run_id))
        self._model.delete(run_id)

    @rule(run_id=_IDS)
    def get(self, run_id: str) -> None:
        """Get a run, there or not."""
        answer = self._both(lambda store: store.get_run(run_id))
        assert_same(answer, self._model.runs.get(run_id), what="the run, compared with the model,")

    @rule()
    def search(self) -> None:
        """List by every value of every condition."""
        for query, answer in zip(_SEARCHES, self._both(_search), strict=True):
            assert_same(answer, self._model.list(query), what=f"the runs of {query}, compared with the model,")

    @rule(query=run_queries())
    def list(self, query: RunQuery) -> None:
        """List, iterate and count."""
        expected = self._model.list(query)
        assert_same(
            self._both(lambda store: store.list_runs(query)), expected, what="the runs, compared with the model,"
        )
        assert_same(self._both(lambda store: _iterate(store, query)), expected, what="the runs that were iterated")
        assert self._both(lambda store: store.count_runs(query)) == len(expected)

    @rule(query=run_queries(), data=st.data())
    def list_after(self, query: RunQuery, data: st.DataObject) -> None:
        """List from a cursor on."""
        after = (
            data.draw(_SAVED | st.sampled_from(list(self._model.runs.values())))
            if self._model.runs
            else data.draw(_SAVED)
        )
        page = attrs.evolve(query, cursor=after.cursor)
        expected = self._model.list(query, after=after)
        assert_same(
            self._both(lambda store: store.list_runs(page)), expected, what="the page, compared with the model,"
        )
        assert self._both(lambda store: store.count_runs(page)) == len(expected)

    @rule(
        older_than=st.integers(1_000, 1_004),
        keep_last=st.none() | st.integers(0, 3),
        status=st.none() | st.sets(st.sampled_from(RunStatus), max_size=3),
        dry_run=st.booleans(),
    )
    def prune(self, *, older_than: int, keep_last: int | None, status: set[RunStatus] | None, dry_run: bool) -> None:
        """Delete old runs."""
        arguments: dict[str, Any] = {"older_than": older_than, "keep_last": keep_last, "status": status}
        # Every moment is tried before one is chosen.
        for moment in range(1_000, 1_005):
            trial: dict[str, Any] = {**arguments, "older_than": moment, "dry_run": True}
            expected = self._model.prune(**trial)
            assert self._both(lambda store: store.prune_runs(**trial)) == expected, trial  # noqa: B023 - called at once
        if not dry_run:
            assert self._both(lambda store: store.prune_runs(**arguments)) == self._model.prune(**arguments)

    @precondition(lambda self: cast("_Machine", self)._holder.reopen is not None)  # noqa: SLF001 - it is the machine
    @rule()
    def close_and_reopen(self) -> None:
        """Go on with a new store on the same data."""
        self._run(self._holder.replace())

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """The store has the runs of the model, no more and no less."""
        assert_same(self._run(self._holder.store.list_runs()), self._model.list(RunQuery()), what="all runs")


async def _search(store: RunStore) -> list[list[RunRecord]]:
    # One coroutine for many questions: each time Hypothesis waits for one, two threads take turns.
    return [await store.list_runs(query) for query in _SEARCHES]


async def _iterate(store: RunStore, query: RunQuery) -> list[RunRecord]:
    return [run async for run in store.iter_runs(query)]


@attrs.define
class _Holder:
    """The store in use, which reopening replaces."""

    store: RunStore
    reopen: Callable[[], RunStore] | None

    async def empty(self) -> None:
        """Delete every run: each sequence begins with nothing."""
        for run in await self.store.list_runs(RunQuery(include_state=False)):
            await self.store.delete_run(run.id)

    async def replace(self) -> None:
        """Close the store and make another on the same data."""
        assert self.reopen is not None
        await self.store.close()
        self.store = self.reopen()


class ModelTests(RunStoreCase):
    """Whatever is done, in whatever order, the store answers as the model and as the store in memory."""

    async def test_random_operations_agree_with_the_model(
        self, store: RunStore, reopen_if_durable: Callable[[], RunStore] | None
    ) -> None:
        """Random saves, deletes, listings, pages, prunings and reopenings have the answers the contract gives them."""
        holder = _Holder(store, reopen_if_durable)
        try:
            await explore_sequences(self, lambda bridge: _Machine(bridge, holder))
        finally:
            await holder.store.close()
