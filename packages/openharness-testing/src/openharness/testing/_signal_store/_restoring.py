"""Recordings of other stores are taken over as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from openharness.core import InvalidValueError, RecordingConflictError, RecordingInfo, RunStatus, StoreUnsupportedError
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import NOON, found_ids, load, make_signals, record

if TYPE_CHECKING:
    from openharness.core import SignalStore

__all__ = ("RestoreTests",)

_INFO = RecordingInfo(
    id="rec/of another: store",
    run_id="run-7",
    name="a fixture",
    created_at=NOON,
    tags=("z", "a"),
    metadata={"z": 1.0, "a": [None]},
    resumed_from="rec_before",
)


class RestoreTests(SignalStoreCase):
    """`SignalStore.restore_recording`."""

    @requires(Ability.RESTORE)
    async def test_what_is_restored_is_as_it_was(self, store: SignalStore) -> None:
        """Id, run, name, time, tags, metadata and origin are kept; the counts are those of what is appended."""
        given = attrs.evolve(_INFO, signal_count=99, outcome=RunStatus.FAILED, duration_ms=5, provider_types=("x",))
        await store.restore_recording(given)
        assert_same(await store.get_recording_info(_INFO.id), _INFO, what="info")
        assert await found_ids(store, created_before=NOON + 1, metadata={"z": 1}, tags="a", run_id="run-7") == [
            _INFO.id
        ]
        await store.append(_INFO.id, make_signals(2, run_id="run-7"))
        await store.finalize(_INFO.id, outcome="failed", duration_ms=5)
        await store.publish(_INFO.id, "a fixture")
        recording = await load(store, _INFO.id)
        assert_same(
            recording.info, attrs.evolve(_INFO, signal_count=2, outcome=RunStatus.FAILED, duration_ms=5), what="info"
        )
        assert_same(list(recording.signals), make_signals(2, run_id="run-7"), what="signals")
        assert await store.find_recording("a fixture") == recording.info

    @requires(Ability.RESTORE)
    async def test_restoring_again_changes_nothing(self, store: SignalStore) -> None:
        """The same again is no error, also when there are signals, and when it was finalized."""
        await store.restore_recording(_INFO)
        await store.append(_INFO.id, make_signals(2))
        await store.restore_recording(_INFO)
        await store.finalize(_INFO.id, outcome="completed")
        await store.restore_recording(_INFO)
        assert len((await load(store, _INFO.id)).signals) == 2
        assert await found_ids(store) == [_INFO.id]

    @requires(Ability.RESTORE)
    @pytest.mark.parametrize(
        "change",
        [
            {"run_id": "run-8"},
            {"name": None},
            {"created_at": NOON + 1},
            {"tags": ("a", "z")},
            {"metadata": {"z": 1, "a": [None]}},
            {"metadata": None},
            {"resumed_from": None},
        ],
        ids=lambda change: next(iter(change)),
    )
    async def test_another_recording_of_the_id_is_not_touched(self, store: SignalStore, change: dict[str, Any]) -> None:
        """Where the id is taken by a recording with anything else in it, RecordingConflictError is raised."""
        await store.restore_recording(_INFO)
        await store.append(_INFO.id, make_signals(1))
        with pytest.raises(RecordingConflictError):
            await store.restore_recording(attrs.evolve(_INFO, **change))
        assert_same(await store.get_recording_info(_INFO.id), attrs.evolve(_INFO, signal_count=1), what="info")

    @requires(Ability.RESTORE)
    async def test_what_can_be_no_recording_is_refused(self, store: SignalStore) -> None:
        """An id or a time that could be none raises InvalidValueError, and nothing is made."""
        for change in ({"id": ""}, {"run_id": "x" * 201}, {"created_at": True}, {"name": "a\0"}):
            with pytest.raises(InvalidValueError):
                await store.restore_recording(attrs.evolve(_INFO, **change))
        assert await found_ids(store) == []

    async def test_a_store_that_cannot_says_so(self, store: SignalStore) -> None:
        """Without the ability, StoreUnsupportedError is raised and nothing is made."""
        if Ability.RESTORE in self.abilities:
            pytest.skip(f"{type(self).__name__} declares {Ability.RESTORE}")
        await record(store)
        with pytest.raises(StoreUnsupportedError):
            await store.restore_recording(_INFO)
        assert len(await found_ids(store)) == 1
