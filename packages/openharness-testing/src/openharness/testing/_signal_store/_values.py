"""Payloads: what comes back as it is, what comes back converted, what no store takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from openharness.core import Blob, InvalidValueError, SerializationError
from openharness.testing._kit._explore import explore
from openharness.testing._kit._same import assert_same, first_difference
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import (
    as_stored,
    load,
    make_blob,
    make_request,
    make_signal,
    make_signals,
    record,
)
from openharness.testing.corpus import ACCEPTED_VALUES, CONVERTED_VALUES, REFUSED_VALUES
from openharness.testing.strategies import log_entries

if TYPE_CHECKING:
    from openharness.core import LogEntry, Signal, SignalStore
    from openharness.testing.corpus import AcceptedValue, ConvertedValue, RefusedValue

__all__ = ("PayloadTests",)


_TEXTS = ("id", "name", "agent", "provider", "parent", "activation")
"""What of a signal is text."""


class _Word(str):
    """A text that shows itself as another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "nothing of the kind"


def _with(part: str, text: Any) -> Signal:
    signal = make_signal(0)
    if part in ("id", "name"):
        return attrs.evolve(signal, **{part: text})
    return attrs.evolve(signal, source=attrs.evolve(signal.source, **{part: text}))


def _part_of(signal: Signal, part: str) -> object:
    return getattr(signal if part in ("id", "name") else signal.source, part)


def _name(case: AcceptedValue | ConvertedValue | RefusedValue) -> str:
    return case.name


class PayloadTests(SignalStoreCase):
    """Payloads are JSON values, as states are."""

    @pytest.mark.parametrize("case", ACCEPTED_VALUES, ids=_name)
    async def test_an_accepted_payload_comes_back_as_it_is(self, store: SignalStore, case: AcceptedValue) -> None:
        """A JSON value comes back equal, of the same types, its keys in the same order, loaded and iterated alike."""
        signal = make_signal(payload=case.value)
        recording_id = await record(store, signal)
        assert_same(list((await load(store, recording_id)).signals), [signal], what="signals")
        assert_same([one async for one in store.iter_signals(recording_id)], [signal], what="signals")
        # Repeating it is no conflict: what is stored is equal to what comes.
        await store.append(recording_id, [signal])

    @pytest.mark.parametrize("case", CONVERTED_VALUES, ids=_name)
    async def test_a_convertible_payload_comes_back_in_its_json_form(
        self, store: SignalStore, case: ConvertedValue
    ) -> None:
        """An object that has a JSON form is stored in it, and may be appended again as the object."""
        recording_id = await record(store, make_signal(payload={"v": case.value}))
        await store.append(recording_id, [make_signal(payload={"v": case.value})])
        expected = [make_signal(payload={"v": case.expected})]
        assert_same(list((await load(store, recording_id)).signals), expected, what="signals")

    @pytest.mark.parametrize("case", REFUSED_VALUES, ids=_name)
    async def test_a_refused_payload_raises_and_changes_nothing(self, store: SignalStore, case: RefusedValue) -> None:
        """What has no JSON form raises SerializationError with the path, and nothing of the append is there."""
        recording_id = await record(store, make_signal(0))
        with pytest.raises(SerializationError) as caught:
            await store.append(recording_id, [make_signal(1), make_signal(2, name="a:b", payload=case.make())])
        if case.place is not None:
            assert caught.value.path == f"a:b.payload{case.place}"
        assert_same(list((await load(store, recording_id)).signals), [make_signal(0)], what="signals")
        await self.soon(store.append(recording_id, make_signals(1, start=1)), "appending after a refusal")

    @pytest.mark.parametrize("part", _TEXTS)
    async def test_a_name_or_source_of_another_class_is_plain_text(self, store: SignalStore, part: str) -> None:
        """A subclass of str, as the members of a StrEnum are, comes back as the text it holds; what is no text is refused."""
        recording_id = await record(store, _with(part, _Word("word")))
        (signal,) = (await load(store, recording_id)).signals
        assert signal == _with(part, "word")
        assert type(_part_of(signal, part)) is str
        await store.append(recording_id, [_with(part, "word")])
        for wrong in (0, False, b"", ["word"]):
            with pytest.raises(InvalidValueError):
                await store.append(recording_id, [attrs.evolve(_with(part, wrong), seq=1)])
        assert list((await load(store, recording_id)).signals) == [signal]

    async def test_refused_data_of_a_blob(self, store: SignalStore) -> None:
        """A blob whose data has no JSON form raises SerializationError, and nothing is written."""
        recording_id = await record(store)
        with pytest.raises(SerializationError):
            await store.append(recording_id, [Blob("sha256:" + "0" * 64, {"a": float("nan")}), make_signal(0)])
        assert list((await load(store, recording_id)).signals) == []

    async def test_random_logs_come_back_as_they_are(self, store: SignalStore) -> None:
        """Any log of signals and blobs comes back with its references resolved."""

        async def check(entries: list[LogEntry]) -> None:
            recording_id = await record(store, *entries)
            assert_same(list((await load(store, recording_id)).signals), as_stored(entries), what="signals")
            await store.delete_recording(recording_id)

        await explore(self, log_entries(), check)

    async def test_the_size_limit_is_told(self, store: SignalStore) -> None:
        """A store says which limit it keeps to."""
        assert store.max_bytes == self.max_bytes

    async def test_the_size_limit(self, store: SignalStore) -> None:
        """A payload beyond the limit raises SerializationError, one well below it comes back; so does a blob."""
        recording_id = await record(store)
        large = make_signal(0, payload="x" * (self.max_bytes // 2))
        await store.append(recording_id, [large])
        blob = make_blob("y" * (self.max_bytes // 2))
        await store.append(recording_id, [blob, make_request(1, [blob])])
        too_large: list[list[LogEntry]] = [
            [make_signal(2, payload="x" * self.max_bytes)],
            [make_signal(2, payload="\u20ac" * (self.max_bytes // 3 + 1))],
            [make_blob("x" * self.max_bytes), make_signal(2)],
        ]
        for entries in too_large:
            with pytest.raises(SerializationError):
                await store.append(recording_id, entries)
        signals: list[Any] = list((await load(store, recording_id)).signals)
        # Equality first: a message about megabytes of text helps nobody.
        assert first_difference(signals, as_stored([large, blob, make_request(1, [blob])])) is None
