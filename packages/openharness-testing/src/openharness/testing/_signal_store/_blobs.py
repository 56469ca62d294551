"""The message pool: blobs are written once and resolved wherever a signal refers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from openharness.core import Blob, SerializationError, Signal, digest
from openharness.core.storage import MessagePool
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import as_stored, load, make_blob, make_request, make_signal, record

if TYPE_CHECKING:
    from openharness.core import JSONObject, JSONValue, LogEntry, SignalStore

__all__ = ("BlobTests",)


class BlobTests(SignalStoreCase):
    """`openharness.core.Blob` in a log."""

    async def test_references_are_resolved_when_a_recording_is_loaded(self, store: SignalStore) -> None:
        """Messages and tools come back whole, in order, repeated where they are repeated."""
        one, two, tool = make_blob("one"), make_blob("two"), make_blob("tool")
        entries: list[LogEntry] = [
            one,
            make_request(0, [one]),
            two,
            tool,
            make_request(1, [one, two, one], [tool]),
            make_signal(2),
        ]
        recording_id = await record(store, *entries)
        assert_same(list((await load(store, recording_id)).signals), as_stored(entries), what="signals")

    async def test_references_are_resolved_outside_of_the_range(self, store: SignalStore) -> None:
        """A signal read alone has the messages that were written long before it, and with other signals."""
        blob = make_blob("written first")
        entries: list[LogEntry] = [
            blob,
            make_request(0, [blob]),
            *(make_signal(seq) for seq in range(1, 5)),
            make_request(5, [blob]),
        ]
        recording_id = await record(store, *entries)
        last = [signal async for signal in store.iter_signals(recording_id, start=5)]
        assert_same(last, as_stored(entries)[5:], what="signals")
        found = [signal async for signal in store.iter_signals(recording_id, start=1, patterns="provider:*")]
        assert_same(found, as_stored(entries)[5:], what="signals")

    async def test_long_conversations_come_back_whole(self, store: SignalStore) -> None:
        """Requests whose first messages are blobs that refer to blobs have all their messages, in order."""
        texts = [f"message {number}" for number in range(40)]
        signals = [
            Signal(
                id=f"run-1/{seq}",
                name="provider:start",
                payload={"request": {"messages": [{"role": "user", "content": text} for text in texts[:count]]}},
                timestamp=seq,
                seq=seq,
            )
            for seq, count in enumerate((1, 15, 16, 17, 24, 39, 40))
        ]
        pool = MessagePool()
        recording_id = await record(store)
        for signal in signals:
            blobs, pooled = pool.pool(signal)
            await store.append(recording_id, [*blobs, pooled])
        assert_same(list((await load(store, recording_id)).signals), signals, what="signals")
        last = [signal async for signal in store.iter_signals(recording_id, start=6)]
        assert_same(last, signals[6:], what="signals")

    async def test_a_blob_may_be_used_by_a_later_append(self, store: SignalStore) -> None:
        """A blob appended alone, or in an earlier append, serves all later signals."""
        blob = make_blob("before")
        recording_id = await record(store, blob)
        assert list((await load(store, recording_id)).signals) == []
        await store.append(recording_id, [make_request(0, [blob])])
        await store.append(recording_id, [make_request(1, [blob])])
        expected = as_stored([blob, make_request(0, [blob]), make_request(1, [blob])])
        assert_same(list((await load(store, recording_id)).signals), expected, what="signals")

    async def test_repeating_a_blob_changes_nothing(self, store: SignalStore) -> None:
        """A blob that is there already is left as it is, and the append it comes with may be repeated."""
        blob = make_blob("again")
        entries: list[LogEntry] = [blob, make_request(0, [blob]), blob]
        recording_id = await record(store, *entries)
        await store.append(recording_id, entries)
        await store.append(recording_id, [blob, make_request(1, [blob])])
        expected = as_stored([blob, make_request(0, [blob]), make_request(1, [blob])])
        assert_same(list((await load(store, recording_id)).signals), expected, what="signals")

    async def test_blobs_belong_to_their_recording(self, store: SignalStore) -> None:
        """Two recordings may hold the same blob; deleting one leaves the other whole."""
        blob = make_blob("shared")
        entries: list[LogEntry] = [blob, make_request(0, [blob])]
        one, two = await record(store, *entries), await record(store, *entries)
        await store.delete_recording(one)
        assert_same(list((await load(store, two)).signals), as_stored(entries), what="signals")

    async def test_only_requests_refer_to_blobs(self, store: SignalStore) -> None:
        """A payload of any other signal that looks like a reference is left as it is."""
        blob = make_blob("text")
        payload: JSONObject = {
            "request": {"messages": [blob.digest], "tools": [blob.digest]},
            "messages": [blob.digest],
        }
        signals = [
            make_signal(0, name="analysis:complete", payload=payload),
            make_signal(1, name="provider:end", payload=payload),
            make_signal(2, name="x", payload=blob.digest),
        ]
        recording_id = await record(store, blob, *signals)
        assert_same(list((await load(store, recording_id)).signals), signals, what="signals")

    async def test_messages_that_are_no_references_stand_for_themselves(self, store: SignalStore) -> None:
        """Objects among the messages, and requests of another shape, come back as they were."""
        blob = make_blob("text")
        message = {"role": "user", "content": "whole"}
        request = make_request(0, [blob, blob])
        mixed = attrs.evolve(request, payload={"request": {"messages": [message, blob.digest], "tools": [], "n": 1.0}})
        payloads: list[JSONValue] = [None, "text", [], {"request": None}, {"request": {"messages": "text"}}]
        shapes = [
            make_signal(1 + index, name="provider:start", payload=payload) for index, payload in enumerate(payloads)
        ]
        recording_id = await record(store, blob, mixed, *shapes)
        assert_same(list((await load(store, recording_id)).signals), as_stored([blob, mixed, *shapes]), what="signals")

    async def test_the_data_of_a_blob_comes_back_as_it_is(self, store: SignalStore) -> None:
        """NUL, lone surrogates, order of keys and kinds of numbers survive in a blob as in a payload."""
        text = make_blob("\0 \ud83d \ude00 \u2028")
        numbers: JSONObject = {"z": [1, 1.0, -0.0, True, None, 2**63 - 1], "a": {"": 1e16}}
        blob = Blob(digest(numbers), numbers)
        entries: list[LogEntry] = [text, blob, make_request(0, [text], [blob])]
        recording_id = await record(store, *entries)
        assert_same(list((await load(store, recording_id)).signals), as_stored(entries), what="signals")

    async def test_a_blob_with_a_wrong_digest_is_refused(self, store: SignalStore) -> None:
        """A digest that is not that of the data raises SerializationError, and nothing is written."""
        recording_id = await record(store)
        wrong = Blob("sha256:" + "0" * 64, {"role": "user", "content": "x"})
        with pytest.raises(SerializationError):
            await store.append(recording_id, [wrong, make_signal(0)])
        assert list((await load(store, recording_id)).signals) == []

    async def test_a_reference_to_a_blob_that_is_not_there_is_refused(self, store: SignalStore) -> None:
        """A blob precedes its first use: without it, the append raises, and nothing is written."""
        blob = make_blob("missing")
        recording_id = await record(store, make_signal(0))
        other = await record(store, blob)
        appends: list[list[LogEntry]] = [[make_request(1, [blob])], [make_request(1, [blob]), blob]]
        for entries in appends:
            with pytest.raises(SerializationError):
                await store.append(recording_id, entries)
        assert_same(list((await load(store, recording_id)).signals), [make_signal(0)], what="signals")
        assert list((await load(store, other)).signals) == []
