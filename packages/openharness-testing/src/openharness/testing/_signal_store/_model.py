"""Random sequences of operations, compared with a model after every one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from openharness.core import (
    OpenHarnessError,
    Recording,
    RecordingInfo,
    RecordingQuery,
    RunStatus,
    SignalStore,
)
from openharness.testing._kit._explore import Bridge, explore_sequences
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._catalogue_model import Catalogue, Log
from openharness.testing._signal_store._samples import ENDS, load
from openharness.testing.strategies import log_entries, recording_queries

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from openharness.core import JSONValue, Signal

__all__ = ("ModelTests",)

_RUNS = ("run-1", "run-2", "run/1")
_NAMES = ("a", "A", "a/b", "\xe9")
_TAGS = ("x", "X", "%")
_PAYLOADS: st.SearchStrategy[JSONValue] = st.sampled_from(
    [None, 0, 1, True, "text", "\0\ud83d", [1.0], {"b": 1, "a": []}]
)
"""Few and small: random ones have a test of their own."""

_PATTERNS = ("**", "text:*", "tool:**", "harness:start", "*:call", "provider:*")


@attrs.define
class _Holder:
    """The store in use, which reopening replaces."""

    store: SignalStore
    reopen: Callable[[], SignalStore] | None

    async def empty(self) -> None:
        """Delete every recording: each sequence begins with nothing."""
        for info in await self.store.list_recordings():
            await self.store.delete_recording(info.id)

    async def replace(self) -> None:
        """Close the store and make another on the same data."""
        assert self.reopen is not None
        await self.store.close()
        self.store = self.reopen()


class _Machine(RuleBasedStateMachine):
    """Applies each operation to the store and to the model."""

    recordings: Bundle[str] = Bundle("recordings")

    def __init__(self, bridge: Bridge, holder: _Holder) -> None:
        super().__init__()
        self._bridge = bridge
        self._holder = holder
        self._model = Catalogue()
        self._run(holder.empty())

    @property
    def _store(self) -> SignalStore:
        return self._holder.store

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._bridge.run(coroutine)

    def _change(self, coroutine: Coroutine[Any, Any, Any], expected: type[Exception] | None) -> None:
        """Apply a change that succeeds, or raises what the model says."""
        raised: type[Exception] | None = None
        try:
            self._run(coroutine)
        except OpenHarnessError as error:
            raised = type(error)
        assert raised == expected

    @rule(
        target=recordings,
        run_id=st.sampled_from(_RUNS),
        name=st.none() | st.sampled_from(_NAMES),
        tags=st.lists(st.sampled_from(_TAGS), max_size=2, unique=True),
    )
    def create(self, run_id: str, name: str | None, tags: list[str]) -> str:
        """Create a recording."""
        return self._create(run_id, name, tags)

    def _create(self, run_id: str, name: str | None, tags: list[str]) -> str:
        recording_id: str = self._run(self._store.create_recording(run_id=run_id, name=name, tags=tags))
        assert recording_id not in self._model.logs
        self._model.logs[recording_id] = Log(run_id, name, tuple(tags))
        return recording_id

    @initialize(target=recordings, data=st.data())
    def begin(self, data: st.DataObject) -> MultipleResults[str]:
        """Begin with some recordings: without any there is little to do, and Hypothesis may leave a rule out."""
        made: list[str] = []
        for name, tags in (("a", ["x"]), ("A", ["x", "X"]), (None, [])):
            recording_id = self._create("run-1", name, tags)
            entries = data.draw(log_entries(run_id="run-1", min_signals=2, max_signals=4, payloads=_PAYLOADS))
            self._change(self._store.append(recording_id, entries), self._model.logs[recording_id].append(entries))
            made.append(recording_id)
        return multiple(*made)

    @rule(recording_id=recordings, data=st.data(), back=st.sampled_from([0, 0, 0, 1, 2, -1]))
    def append(self, recording_id: str, data: st.DataObject, back: int) -> None:
        """Append what follows, or what is there already, or what leaves a gap."""
        log = self._model.logs[recording_id]
        start = max(0, len(log.signals) - back)
        entries = data.draw(
            log_entries(run_id=log.run_id, start=start, known=log.blobs, max_signals=3, payloads=_PAYLOADS)
        )
        if entries:
            self._change(self._store.append(recording_id, entries), log.append(entries))

    @rule(recording_id=recordings)
    def append_again(self, recording_id: str) -> None:
        """Append the whole log once more."""
        log = self._model.logs[recording_id]
        if log.entries:
            self._change(self._store.append(recording_id, list(log.entries)), log.append(log.entries))

    @rule(recording_id=recordings, outcome=st.sampled_from(ENDS), duration_ms=st.none() | st.integers(0, 2))
    def finalize(self, recording_id: str, outcome: RunStatus, duration_ms: int | None) -> None:
        """Finalize a recording, open or not."""
        expected = self._model.logs[recording_id].finalize(outcome, duration_ms)
        self._change(self._store.finalize(recording_id, outcome=outcome, duration_ms=duration_ms), expected)

    @rule(recording_id=recordings, seqs=st.lists(st.integers(0, 3), min_size=1, max_size=3))
    def add_checkpoints(self, recording_id: str, seqs: list[int]) -> None:
        """Add checkpoints, new ones and others."""
        for seq, name in zip(seqs, ("here", "\xe9", "here"), strict=False):
            expected = self._model.logs[recording_id].add_checkpoint(name, seq)
            self._change(self._store.add_checkpoint(recording_id, name, seq), expected)

    @rule(recording_id=recordings)
    def publish(self, recording_id: str) -> None:
        """Publish a recording under the name it was made for."""
        name = self._model.logs[recording_id].name
        if name is not None:
            self._change(self._store.publish(recording_id, name), None)
            self._model.published[name] = recording_id

    @rule(recording_id=consumes(recordings))
    def delete(self, recording_id: str) -> None:
        """Delete a recording."""
        self._change(self._store.delete_recording(recording_id), None)
        self._model.delete(recording_id)

    @rule(recording_id=recordings)
    def read(self, recording_id: str) -> None:
        """Read every part of a log, and the signals of every pattern."""
        signals = self._model.logs[recording_id].signals
        by_range, by_pattern = self._run(_read_parts(self._store, recording_id))
        for (start, stop), found in by_range.items():
            assert_same(found, signals[start:stop], what=f"the signals from {start} to {stop}")
        for pattern, found in by_pattern.items():
            expected = [signal for signal in signals[1:] if _matches(pattern, signal.name)]
            assert_same(found, expected, what=f"the signals from 1 on that match {pattern!r}")

    @rule(query=recording_queries(run_ids=_RUNS, names=_NAMES, tags=_TAGS))
    def list(self, query: RecordingQuery) -> None:
        """List recordings."""
        everything = self._run(self._store.list_recordings(attrs.evolve(query, limit=None, offset=0)))
        assert {info.id for info in everything} == self._model.matching(query)
        order = [(info.created_at, info.id.encode()) for info in everything]
        assert order == sorted(order, reverse=True)
        stop = None if query.limit is None else query.offset + query.limit
        page = self._run(self._store.list_recordings(query))
        assert [info.id for info in page] == [info.id for info in everything[query.offset : stop]]

    @precondition(lambda self: cast("_Machine", self)._holder.reopen is not None)  # noqa: SLF001 - it is the machine
    @rule()
    def close_and_reopen(self) -> None:
        """Go on with a new store on the same data."""
        self._run(self._holder.replace())

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """Every recording, its info and every fixture name are those of the model."""
        held: _Held = self._run(_all_of(self._store))
        assert set(held.recordings) == set(self._model.logs)
        for recording_id, log in self._model.logs.items():
            recording = held.recordings[recording_id]
            assert_same(list(recording.signals), log.signals, what="signals")
            assert_same(list(recording.checkpoints), log.ordered_checkpoints(), what="checkpoints")
            assert_same(recording.info, held.infos[recording_id], what="info")
            assert {name: getattr(recording.info, name) for name in log.facts()} == log.facts()
        assert held.fixtures == sorted(self._model.published)
        assert held.published == {name: self._model.published.get(name) for name in _NAMES}


@attrs.frozen
class _Held:
    """All that a store holds."""

    infos: dict[str, RecordingInfo]
    recordings: dict[str, Recording]
    fixtures: list[str]
    published: dict[str, str | None]


# One coroutine for many questions: each time Hypothesis waits for one, two threads take turns.


async def _all_of(store: SignalStore) -> _Held:
    infos = {info.id: info for info in await store.list_recordings()}
    found = {name: await store.find_recording(name) for name in _NAMES}
    return _Held(
        infos=infos,
        recordings={recording_id: await load(store, recording_id) for recording_id in infos},
        fixtures=await store.list_fixtures(),
        published={name: None if info is None else info.id for name, info in found.items()},
    )


async def _read_parts(
    store: SignalStore, recording_id: str
) -> tuple[dict[tuple[int, int | None], list[Signal]], dict[str, list[Signal]]]:
    ranges = [(start, stop) for start in (0, 1, 2, 4) for stop in (None, 0, 1, 2, 4)]
    return (
        {
            (start, stop): [signal async for signal in store.iter_signals(recording_id, start=start, stop=stop)]
            for start, stop in ranges
        },
        {
            pattern: [signal async for signal in store.iter_signals(recording_id, start=1, patterns=pattern)]
            for pattern in _PATTERNS
        },
    )


def _matches(pattern: str, name: str) -> bool:
    """What the few patterns of this module mean, said without the code that stores use."""
    segments = name.split(":")
    return {
        "**": True,
        "text:*": len(segments) == 2 and segments[0] == "text",
        "tool:**": segments[0] == "tool",
        "harness:start": name == "harness:start",
        "*:call": len(segments) == 2 and segments[1] == "call",
        "provider:*": len(segments) == 2 and segments[0] == "provider",
    }[pattern]


class ModelTests(SignalStoreCase):
    """Whatever is done, in whatever order, the store answers as the model."""

    async def test_random_operations_agree_with_the_model(
        self, store: SignalStore, reopen_if_durable: Callable[[], SignalStore] | None
    ) -> None:
        """Random appends, ends, publications, readings and reopenings have the answers the contract gives them."""
        holder = _Holder(store, reopen_if_durable)
        try:
            await explore_sequences(self, lambda bridge: _Machine(bridge, holder))
        finally:
            await holder.store.close()
