"""What stores build on: encoded runs and signals, checksums, and the message pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core.errors import CorruptRecordError, InvalidValueError, SerializationError
from openharness.core.records import Blob, RunRecord, RunStatus, Signal, SignalSource
from openharness.core.storage import (
    EncodedBlob,
    EncodedRun,
    EncodedSignal,
    MessagePool,
    SignalDecoder,
    _log_reading,
    decode_run,
    decode_signal,
    encode_blob,
    encode_entries,
    encode_run,
    encode_signal,
    references,
    resolve_signal,
)
from openharness.core.values import decode_json, digest, dump_json, to_json

if TYPE_CHECKING:
    import random

TEXT = st.text(st.characters(), max_size=8)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
NAMES = st.none() | st.text(max_size=5)
RUNS = st.builds(
    RunRecord,
    st.text("ab\u00e9/", min_size=1, max_size=9),
    created_at=st.integers(-(10**12), 10**12),
    completed_at=st.none() | st.integers(0, 10**12),
    state=JSON,
    metadata=st.none() | st.dictionaries(st.text("abc.\u00e9"), st.integers(0, 9) | st.booleans() | st.none()),
    status=st.none() | st.sampled_from(RunStatus),
    error=st.none() | TEXT,
    recording_id=st.none() | st.just("rec_1"),
    parent_run_id=st.none() | st.just("run_0"),
)
SIGNALS = st.builds(
    Signal,
    st.text(max_size=5),
    name=st.text(max_size=5),
    payload=JSON,
    timestamp=st.integers(-(10**12), 10**12),
    seq=st.integers(0, 10**9),
    source=st.builds(SignalSource, NAMES, NAMES, NAMES, NAMES),
)


@given(RUNS)
def test_a_run_is_the_same_after_its_columns(run: RunRecord) -> None:
    """What is encoded is what is decoded, and the checksum of the columns vouches for it."""
    row = encode_run(run)
    back = decode_run(row, checksum=row.checksum)
    assert back == attrs.evolve(run, state=to_json(run.state))
    assert repr(back.state) == repr(to_json(run.state))
    assert encode_run(back) == row
    assert decode_run(row, include_state=False) == attrs.evolve(run, state=None)


@given(RUNS)
def test_columns_are_text_that_every_database_keeps(run: RunRecord) -> None:
    """No column holds NUL or lone surrogates, whatever the state and the error hold."""
    for column in attrs.astuple(encode_run(run)):
        if isinstance(column, str):
            column.encode()
            assert "\0" not in column


ROW = encode_run(RunRecord("run_1", created_at=1, completed_at=2, state={"a": 1}, metadata={"b": 2}, error="no"))


@pytest.mark.parametrize(
    "column,value",
    [
        ("id", "run_2"), ("created_at", 2), ("completed_at", None), ("status", "failed"), ("error", None), ("error", "nO"),
        ("recording_id", "x"), ("parent_run_id", "x"), ("metadata", '{"b":3}'), ("metadata", None), ("state", '{"a": 1}'),
    ],
)  # fmt: skip
def test_a_changed_column_is_found_by_the_checksum(column: str, value: Any) -> None:
    """Every column counts: a change of any of them is a damaged record, named by its id."""
    changed = attrs.evolve(ROW, **{column: value})
    with pytest.raises(CorruptRecordError, match="checksum") as caught:
        decode_run(changed, checksum=ROW.checksum)
    assert caught.value.record_id == changed.id


@pytest.mark.parametrize(
    "column,value",
    [
        ("state", "{"), ("state", "NaN"), ("state", "[" * 300 + "]" * 300), ("metadata", "[]"), ("metadata", "nonsense"),
        ("metadata", '{"a":"\\u0000"}'), ("metadata", '{"a":"\\ud800"}'), ("metadata", '{"\ud800":1}'),
        ("status", "done"), ("status", None), ("created_at", 1.5), ("created_at", None), ("id", ""),
        ("recording_id", "\n"), ("error", b"bytes"),
    ],
)  # fmt: skip
def test_columns_that_make_no_run_are_a_damaged_record(column: str, value: Any) -> None:
    """Without a checksum, too, what somebody else wrote into a row is one kind of error."""
    with pytest.raises(CorruptRecordError):
        decode_run(attrs.evolve(ROW, **{column: value}))


def test_the_checksum_stays_what_it_is() -> None:
    """Rows that were written once must be readable for ever: the algorithm cannot change."""
    row = EncodedRun(
        id="run_1", created_at=1, completed_at=None, status="running", error=None, recording_id=None, parent_run_id=None,
        metadata=None, state='{"a":1}',
    )  # fmt: skip
    assert row.checksum == "2e5d5ef3781a8d2f319768120d91fd26"


def test_limits_name_what_is_too_large() -> None:
    """State and metadata are measured on their own."""
    run = RunRecord("run_1", created_at=1, state="x" * 50, metadata={"k": "y" * 50})
    with pytest.raises(SerializationError, match="metadata"):
        encode_run(run, max_bytes=55)
    with pytest.raises(SerializationError, match="state"):
        encode_run(attrs.evolve(run, metadata=None), max_bytes=51)
    assert encode_run(run, max_bytes=58)


@given(SIGNALS)
def test_a_signal_is_the_same_after_its_text(signal: Signal) -> None:
    """Ids, names, sources and payloads survive, lone surrogates included, from bytes as from text."""
    encoded = encode_signal(signal)
    expected = attrs.evolve(signal, payload=to_json(signal.payload))
    for text in (encoded, encoded.decode()):
        back = decode_signal(text)
        assert back == expected
        assert repr(back.payload) == repr(expected.payload)
    assert encode_signal(decode_signal(encoded)) == encoded


GOOD: dict[str, Any] = {
    "id": "run_1/0", "name": "a", "seq": 0, "timestamp": 1, "agent": None, "provider": None, "parent": None,
    "activation": None, "payload": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1}, {"name": None}, {"seq": -1}, {"seq": "0"}, {"seq": 1.5}, {"seq": True}, {"timestamp": "x"}, {"agent": 1},
        {"provider": []}, {"parent": {}}, {"activation": False}, {"payload": 2**70}, {"seq": "\ud800"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("surrogate", [False, True])
def test_what_is_no_signal_is_refused(change: dict[str, Any], surrogate: bool) -> None:
    """A text with a field of another type is an error, whichever decoder reads it."""
    import json

    text = json.dumps({**GOOD, "payload": "\ud800" if surrogate else "x", **change})
    with pytest.raises(SerializationError):
        decode_signal(text)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", b"\xff", '"x"', "[" * 5000])
def test_texts_that_are_no_signal_at_all(text: Any) -> None:
    """Anything else is the same error."""
    with pytest.raises(SerializationError):
        decode_signal(text)


def test_a_payload_too_deep_is_refused_on_reading() -> None:
    """A stranger's signal cannot hold what one of ours cannot."""
    text = encode_signal(decode_signal(encode_signal(Signal("x", name="a", timestamp=1, seq=0, payload="HERE"))))
    for levels in (150, 250):
        hostile = text.replace(b'"HERE"', b"[" * levels + b"]" * levels)
        if levels == 150:
            assert decode_signal(hostile).payload is not None
        else:
            with pytest.raises(SerializationError, match=r"a\.payload.*200 levels"):
                decode_signal(hostile)


def test_a_payload_that_cannot_be_stored_is_named() -> None:
    """The error has the signal's name and the path in its payload."""
    signal = Signal("run_1/0", name="a:b", timestamp=1, seq=0, payload={"x": [object()]})
    with pytest.raises(SerializationError) as caught:
        encode_signal(signal)
    assert caught.value.path == "a:b.payload.x[0]"
    with pytest.raises(SerializationError, match="at most 10 bytes"):
        encode_signal(attrs.evolve(signal, payload=None), max_bytes=10)


def start(seq: int, messages: Any, tools: Any = ()) -> Signal:
    """The signal that announces a request."""
    payload = {"call": "a#1/0/0", "request": {"messages": messages, "tools": list(tools), "model": "m"}}
    return Signal(f"run_1/{seq}", name="provider:start", timestamp=1, seq=seq, payload=payload)


@given(
    st.lists(JSON.filter(lambda item: not isinstance(item, str) or item.isascii()), max_size=5),
    st.lists(JSON, max_size=3),
)
def test_the_pool_gives_back_what_it_took(messages: list[Any], tools: list[Any]) -> None:
    """Resolving a pooled signal gives the signal, whatever its messages are, and each blob is written once."""
    signal = start(0, [to_json(message) for message in messages], [to_json(tool) for tool in tools])
    blobs, pooled = MessagePool().pool(signal)
    assert len({blob.digest for blob in blobs}) == len(blobs)
    assert all(blob.digest == digest(blob.data) for blob in blobs)
    assert references(pooled) == [blob.digest for blob in blobs]
    resolved = resolve_signal(decode_signal(encode_signal(pooled)), {blob.digest: blob.data for blob in blobs})
    assert resolved == signal


def respelt(value: Any, chance: random.Random) -> Any:
    """A value with the same canonical text and, by chance, another text of its own."""
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: respelt(value[key], chance) for key in keys}
    if isinstance(value, list):
        return [respelt(item, chance) for item in value]
    if type(value) is int and abs(value) < 2**50:
        return chance.choice([value, float(value), -0.0 if value == 0 else value])
    return value


@given(
    values=st.lists(JSON, min_size=1, max_size=4),
    chance=st.randoms(use_true_random=False),
    requests=st.integers(1, 5),
    resumed=st.integers(0, 5),
)
def test_what_is_restored_is_exactly_what_was_sent(
    values: list[Any], chance: random.Random, requests: int, resumed: int
) -> None:
    """Messages and tools with one digest and different texts each come back with their own, also after a resume."""
    pool, known, before = MessagePool(), dict[str, Any](), list[Signal]()
    for seq in range(requests):
        if seq == resumed:
            pool = MessagePool()
            pool.adopt(before)
        messages, tools = ([respelt(to_json(value), chance) for value in chance.choices(values, k=3)] for _ in "mt")
        signal = start(seq, messages, tools)
        blobs, pooled = pool.pool(signal)
        for blob in blobs:
            assert digest(blob.data) == blob.digest
            known.setdefault(blob.digest, decode_json(encode_blob(blob)))  # A store keeps what it has.
        restored = resolve_signal(decode_signal(encode_signal(pooled)), known)
        assert dump_json(restored.payload) == dump_json(signal.payload)
        before.append(restored)


def test_a_conversation_is_written_once() -> None:
    """Of N turns, each with all messages before it, the log takes space for each message and each turn once."""
    known: dict[str, Any] = {}
    pool = MessagePool()
    messages: list[Any] = []
    sizes: list[int] = []
    for turn in range(400):
        messages.append({"role": "user", "content": f"message {turn:03} " + "x" * 100})
        blobs, pooled = pool.pool(start(turn, list(messages)))
        known.update((blob.digest, blob.data) for blob in blobs)
        sizes.append(len(encode_signal(pooled)) + sum(len(encode_blob(blob)) for blob in blobs))
        assert resolve_signal(pooled, known) == start(turn, messages)
    assert max(sizes) < 3_000
    # The same from the sixteenth turn on, but for the digits of seq: nothing grows with the turns before.
    assert sum(sizes[208:400]) <= sum(sizes[16:208]) + 192 * 4


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_list_is_pooled_in_one_way(count: int, before: int) -> None:
    """What a long list becomes depends on the list alone; what was known decides only what is written again."""
    messages: list[Any] = [{"role": "user", "content": str(number)} for number in range(count)]
    blobs, pooled = MessagePool().pool(start(0, messages))
    pool = MessagePool()
    known = {blob.digest for blob in pool.pool(start(0, messages[:before]))[0]}
    new, again = pool.pool(start(1, messages))
    again = attrs.evolve(again, id=pooled.id, seq=0)
    assert again == pooled
    assert new == [blob for blob in blobs if blob.digest not in known]
    assert len(pooled.payload["request"]["messages"]) <= 16
    assert (references(pooled) == [blob.digest for blob in blobs]) == (count < 16)


def test_a_long_list_with_an_item_that_stands_for_itself() -> None:
    """Before an item of which the log has another text, the list is shared; from there on it is written whole."""
    pool = MessagePool()
    messages: list[Any] = [{"n": number} for number in range(60)]
    blobs, _ = pool.pool(start(0, messages))
    messages[30] = {"n": 30.0}
    more, pooled = pool.pool(start(1, messages))
    assert more == []
    assert [type(item) for item in pooled.payload["request"]["messages"]].count(dict) == 1
    assert len(pooled.payload["request"]["messages"]) == 1 + 60 - 24
    resolved = resolve_signal(pooled, {blob.digest: blob.data for blob in blobs})
    assert dump_json(resolved.payload) == dump_json(start(1, messages).payload)


def test_lists_shorter_than_sixteen_are_written_as_ever() -> None:
    """Up to 15 messages each is a reference of its own."""
    messages: list[Any] = [{"role": "user", "content": str(number)} for number in range(15)]
    _, pooled = MessagePool().pool(start(0, messages))
    assert pooled.payload["request"]["messages"] == [digest(message) for message in messages]


@pytest.mark.parametrize("data", [["list:sha256:0"], {"role": "user"}, "list:sha256:0", None], ids=repr)
def test_a_list_that_is_none_or_never_ends(data: Any) -> None:
    """A reference to the items before that leads to itself, or to something else, is an error and no endless loop."""
    with pytest.raises(SerializationError, match="no list of items"):
        resolve_signal(start(0, ["list:sha256:0"]), {"sha256:0": data})


def test_only_the_first_item_stands_for_others() -> None:
    """A reference to a list further down is a blob that is not there: otherwise a few bytes could mean millions of items."""
    with pytest.raises(KeyError, match="list:sha256:0"):
        resolve_signal(start(0, [{}, "list:sha256:0"]), {"sha256:0": [{}]})


def test_small_logs_do_not_become_endless_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages that one reading puts back in place are counted, so that a hostile log cannot fill the memory."""
    monkeypatch.setattr(_log_reading, "MAX_RESOLVED_ITEMS", 100)
    blobs, pooled = MessagePool().pool(start(0, [{"n": number} for number in range(40)]))
    encoded = encode_entries([*blobs, pooled], max_bytes=10_000)
    signal = encoded.pop()
    assert isinstance(signal, EncodedSignal)
    data = {entry.digest: entry.data for entry in encoded if isinstance(entry, EncodedBlob)}
    decoder = SignalDecoder(data, recording_id="rec", store="")
    assert [len(decoder.decode(signal).payload["request"]["messages"]) for _ in range(2)] == [40, 40]
    with pytest.raises(CorruptRecordError, match="more than 100 messages"):
        decoder.decode(signal)


def test_only_requests_are_pooled() -> None:
    """Another signal keeps its payload, even if it looks like a request: no text of a user's is a reference."""
    lookalike = attrs.evolve(start(0, ["sha256:0"]), name="custom:start")
    assert MessagePool().pool(lookalike) == ([], lookalike)
    assert references(lookalike) == []
    assert resolve_signal(lookalike, {}) is lookalike


@pytest.mark.parametrize(
    "payload", [None, "x", [], {}, {"request": None}, {"request": []}, {"request": {"messages": "x"}}]
)
def test_a_request_of_another_form_is_left_alone(payload: Any) -> None:
    """A signal of a stranger's log with the name of a request and not its form has no references."""
    signal = attrs.evolve(start(0, []), payload=payload)
    assert MessagePool().pool(signal) == ([], signal)
    assert references(signal) == []
    assert resolve_signal(signal, {}) == signal


def test_messages_that_were_not_pooled_stand_for_themselves() -> None:
    """Objects among the references are messages."""
    message = {"role": "user", "content": "hi"}
    [blob], pooled = MessagePool().pool(start(0, [message]))
    mixed = start(0, [pooled.payload["request"]["messages"][0], message])
    assert resolve_signal(mixed, {blob.digest: message}) == start(0, [message, message])


def test_a_missing_blob_is_a_key_error() -> None:
    """A reference that leads nowhere is never silently left in place."""
    [blob], pooled = MessagePool().pool(start(0, [{"a": 1}]))
    with pytest.raises(KeyError, match=blob.digest):
        resolve_signal(pooled, {})


def test_a_blob_must_have_the_digest_of_its_data() -> None:
    """A blob that would be found under a wrong name is refused; a good one is its data's text."""
    assert decode_json(encode_blob(Blob(digest({"b": [1]}), {"b": (1,)}))) == {"b": [1]}
    with pytest.raises(SerializationError, match="digest"):
        encode_blob(Blob(digest(1), 2))
    with pytest.raises(SerializationError, match="at most 3 bytes"):
        encode_blob(Blob(digest("abcd"), "abcd"), max_bytes=3)


@pytest.mark.parametrize("part", ["id", "name", "agent", "provider", "parent", "activation"])
def test_a_signal_as_one_text_has_plain_texts(part: str) -> None:
    """A text of another class is written as the text it holds, and what is no text is refused."""

    def signal(text: Any) -> Signal:
        if part in ("id", "name"):
            return attrs.evolve(Signal("run/0", name="a:b", timestamp=1, seq=0), **{part: text})
        return Signal("run/0", name="a:b", timestamp=1, seq=0, source=SignalSource(**{part: text}))

    class Word(str):
        __slots__ = ()

    decoded = decode_signal(encode_signal(signal(Word("word"))))
    assert decoded == signal("word")
    assert type(decoded.id) is type(decoded.name) is str
    for wrong in (0, False, b"", ["word"]):
        with pytest.raises(InvalidValueError):
            encode_signal(signal(wrong))
