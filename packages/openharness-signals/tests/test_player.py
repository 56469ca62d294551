"""`Player`: wherever it goes and from wherever, what it shows is the fold of the log up to there."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_support import EXAMPLES, NOON, Article, delta, fill, recorded_run, signal

from openharness.core import (
    Checkpoint,
    CorruptRecordError,
    FixtureNotFoundError,
    InvalidValueError,
    PatternError,
    Recording,
    RecordingInfo,
    RecordingNotFoundError,
    SerializationError,
    Signal,
    UnknownNameError,
)
from openharness.core.log import RunFold
from openharness.core.records import signal_id
from openharness.signals import MemorySignalStore, Player, Snapshot, diff_recordings
from openharness.signals._player._history import _MOST_KEPT, FoldHistory


@pytest.fixture
async def recording() -> Recording:
    """A run of four agents, recorded by the harness."""
    return await recorded_run()


@pytest.fixture
async def player(recording: Recording) -> Player:
    """A player of that run, before its first signal."""
    return Player(recording)


def counting_log(length: int, *, calls: int = 3) -> list[Signal]:
    """A log in which every signal changes something that the fold tells: the state, or an open call."""
    log = [signal(0, "harness:start", {"state": {"n": 0, "items": []}, "input": "in", "seed": 1, "agents": {}})]
    for number in range(min(calls, (length - 1) // 2)):
        who = f"a#{number + 1}"
        at = len(log)
        log.append(
            signal(at, "agent:activated", {"agent": "a", "activation": who, "depth": 1}, agent="a", activation=who)
        )
        payload = {"call": f"{who}/0/0", "attempt": 0, "request": {"messages": [], "tools": []}}
        log.append(signal(at + 1, "provider:start", payload, agent="a", activation=who, provider="p"))
    while len(log) < length:
        seq = len(log)
        if seq % 3 == 0 and calls:
            log.append(delta(seq, f"t{seq} ", call=f"a#{seq % calls + 1}/0/0"))
        elif seq % 3 == 1:
            log.append(signal(seq, "state:items:changed", {"path": ["items"], "operation": "append", "value": [seq]}))
        else:
            log.append(signal(seq, "state:n:changed", {"path": ["n"], "operation": "set", "value": seq}))
    return log


def recording_of(signals: list[Signal], checkpoints: tuple[Checkpoint, ...] = ()) -> Recording:
    """A recording of these signals."""
    info = RecordingInfo(id="rec", run_id="run-1", created_at=NOON, signal_count=len(signals))
    return Recording(info=info, signals=signals, checkpoints=checkpoints)


# --- Where it stands --------------------------------------------------------------------------------------------------


async def test_it_begins_before_the_first_signal(player: Player) -> None:
    """At first nothing was played: no current signal, an empty state, and the first signal to come."""
    assert (player.position, player.current, player.state, player.is_at_end) == (0, None, {}, False)
    first = player.peek()
    assert first is not None
    assert first.name == "harness:start"


async def test_steps_play_every_signal_in_order(player: Player, recording: Recording) -> None:
    """Stepping returns each signal once; after the last there is nothing more to play."""
    played = []
    while (found := player.step()) is not None:
        assert player.current is found
        played.append(found)
    assert played == list(recording.signals)
    assert (player.is_at_end, player.peek(), player.step(), player.position) == (True, None, None, len(player))
    assert player.state_as(Article).text == "one two three"


async def test_back_returns_to_where_it_was(player: Player, recording: Recording) -> None:
    """Going back makes the signal before the current one, down to before the first."""
    player.seek(5)
    assert player.back() is recording.signals[4]
    assert player.back(3) is recording.signals[1]
    assert player.back(100) is None
    assert player.position == 0
    player.step(4)
    assert player.step(0) is None
    player.rewind()
    assert (player.position, player.current) == (0, None)


async def test_seek_makes_a_signal_the_current_one(player: Player, recording: Recording) -> None:
    """Seeking a seq stands right after that signal, whose effect the state shows."""
    changes = player.find("state:notes:changed")
    for change in (changes[1], changes[0], changes[-1]):
        assert player.seek(change.seq) is recording.signals[change.seq]
        assert player.position == change.seq + 1
        notes = player.state["notes"]
        assert isinstance(notes, list)
        assert len(notes) == changes.index(change) + 1


@pytest.mark.parametrize("seq", [-1, 10_000, True, 1.0, "1", None])
async def test_seek_refuses_what_is_no_signal(player: Player, seq: object) -> None:
    """A seq that no signal has is an error, and the player stays where it is."""
    player.step(3)
    with pytest.raises(InvalidValueError):
        player.seek(seq)  # type: ignore[arg-type]
    assert player.position == 3


@pytest.mark.parametrize("count", [-1, True, 1.5, None])
async def test_counts_are_numbers_from_0_on(player: Player, count: object) -> None:
    """Steps forward and back take a count of signals and nothing else."""
    for move in (player.step, player.back):
        with pytest.raises(InvalidValueError):
            move(count)  # type: ignore[arg-type]


async def test_until_stops_at_the_next_match(player: Player) -> None:
    """`until` plays up to the next signal that matches, past the current one; without one, to the end."""
    names = []
    while (found := player.until(["agent:activated", "*:complete"])) is not None:
        names.append(found.name)
    assert names == [found.name for found in player.find(["agent:activated", "*:complete"])]
    assert player.is_at_end
    player.rewind()
    assert player.until("never:comes") is None
    assert player.is_at_end


async def test_find_stays_where_it_is(player: Player) -> None:
    """`find` returns all matches of the whole recording and does not move."""
    player.step(2)
    deltas = player.find("text:delta")
    assert len(deltas) == 12
    assert player.position == 2
    with pytest.raises(PatternError):
        player.find("a::b")


async def test_checkpoints_are_places_to_go_to() -> None:
    """A checkpoint is found by its name; an unknown one is an error that suggests the nearest."""
    player = Player(recording_of(counting_log(20), (Checkpoint("start", 0), Checkpoint("middle", 10))))
    assert player.seek_checkpoint("middle").seq == 10
    assert player.state["n"] == 8
    with pytest.raises(UnknownNameError, match="'middle'") as caught:
        player.seek_checkpoint("midle")
    assert (caught.value.known, caught.value.nearest) == (("middle", "start"), "middle")
    assert player.position == 11


# --- What it shows ----------------------------------------------------------------------------------------------------


async def test_the_state_is_the_callers_own(player: Player) -> None:
    """Changing a state that was shown changes neither the player nor the recording."""
    player.seek(len(player) - 1)
    state = player.state
    expected = player.state
    notes = state["notes"]
    assert isinstance(notes, list)
    notes.append("mine")
    state.clear()
    player.back()
    player.step()
    assert player.state == expected
    assert Player(await recorded_run()).step() is not None


async def test_the_typed_state(player: Player) -> None:
    """The state comes as the run's own type; a type it does not fit is an error."""
    player.until("state:text:changed")
    article = player.state_as(Article)
    assert isinstance(article, Article)
    assert (article.title, article.text) == ("Signals", "one two three")

    @attrs.define
    class Other:
        colour: str

    with pytest.raises(SerializationError):
        player.state_as(Other)


async def test_a_snapshot_tells_what_was_open(player: Player) -> None:
    """In the middle of a stream, a snapshot shows the open calls with the text so far, and who waits for them."""
    player.until("provider:end")
    player.back()
    snapshot = player.snapshot()
    assert isinstance(snapshot, Snapshot)
    assert snapshot.position == player.position
    assert snapshot.signal is player.current
    assert "".join(next(iter(snapshot.calls.values())).text) == "one two three"
    assert [activation.agent for activation in snapshot.activations] == ["analyst0", "analyst1", "analyst2"]
    assert snapshot.totals["analyst0"].provider_calls == 1
    assert snapshot.state_as(Article).title == "Signals"
    assert snapshot.end is None
    assert snapshot.elapsed_ms >= 0


async def test_a_snapshot_stays_as_it_is(player: Player) -> None:
    """Moving on changes no snapshot that was taken."""
    player.until("text:delta")
    snapshot = player.snapshot()
    texts = {call: list(open_call.text) for call, open_call in snapshot.calls.items()}
    player.seek(len(player) - 1)
    assert {call: list(open_call.text) for call, open_call in snapshot.calls.items()} == texts
    last = player.snapshot()
    assert last.end is not None
    assert last.end["status"] == "completed"
    assert (last.calls, last.activations) == ({}, ())


@given(
    length=st.integers(1, 400),
    moves=st.lists(st.tuples(st.sampled_from(["step", "back", "seek", "rewind"]), st.integers(0, 500)), max_size=30),
)
@settings(max_examples=EXAMPLES)
def test_the_state_is_the_fold_of_the_prefix(length: int, moves: list[tuple[str, int]]) -> None:
    """After any moves, from any direction, everything shown equals a fold of the signals up to there."""
    log = counting_log(length)
    player = Player(recording_of(log))
    position = 0
    for what, amount in moves:
        if what == "step":
            player.step(amount)
            position = min(position + amount, length)
        elif what == "back":
            player.back(amount)
            position = max(position - amount, 0)
        elif what == "rewind":
            player.rewind()
            position = 0
        else:
            player.seek(amount % length)
            position = amount % length + 1
        expected = RunFold.of(log[:position])
        snapshot = player.snapshot()
        assert player.position == position
        assert player.state == expected.state
        assert snapshot.calls == expected.calls
        assert snapshot.totals == expected.totals
        assert snapshot.activations == tuple(expected.activations.values())


async def test_every_place_of_a_recorded_run(recording: Recording) -> None:
    """At each signal of a real run, forward and back, the state equals a fold of the prefix."""
    player = Player(recording)
    expected = [RunFold.of(recording.signals[:count]).state for count in range(len(recording.signals) + 1)]
    for count in range(1, len(player) + 1):
        player.step()
        assert player.state == expected[count]
    for count in range(len(player) - 1, -1, -1):
        player.back()
        assert player.state == expected[count]


class _CountingSignals(list[Signal]):
    """Counts how many signals are read by slices, which is how many are folded."""

    folded = 0

    def __getitem__(self, index: object) -> list[Signal]:  # type: ignore[override]
        found: list[Signal] = super().__getitem__(index)  # type: ignore[index,assignment]
        self.folded += len(found)
        return found


def test_going_back_does_not_play_from_the_beginning() -> None:
    """Walking a long log all the way back folds few signals for each step, and keeps a bounded number of folds."""
    length = 20_000
    signals = _CountingSignals(counting_log(length))
    history = FoldHistory(signals, recording_id="rec")
    assert history.at(length).count == length
    assert signals.folded == length
    for count in range(length - 1, length - 2_001, -1):
        assert history.at(count).count == count
    assert signals.folded - length < 20 * 2_000
    assert len(history._coarse) + len(history._fine) <= 2 * _MOST_KEPT + 2


# --- What it plays ----------------------------------------------------------------------------------------------------


async def test_it_loads_from_a_store() -> None:
    """A recording is played by its id or by the name of its fixture; what is not there is an error."""
    store = MemorySignalStore()
    recording = await recorded_run(store)
    for player in (await Player.load(store, recording.info.id), await Player.load_fixture(store, "article")):
        assert player.info == recording.info
        assert list(player.signals) == list(recording.signals)
        assert repr(player) == f"Player({recording.info.id!r}, at 0 of {len(recording.signals)})"
    with pytest.raises(RecordingNotFoundError):
        await Player.load(store, "nobody")
    with pytest.raises(FixtureNotFoundError, match="'article'"):
        await Player.load_fixture(store, "articles")


async def test_it_plays_what_is_incomplete_and_what_is_empty() -> None:
    """A recording that was never finalized, or has no signal yet, is played as far as it goes."""
    store = MemorySignalStore()
    empty = await Player.load(store, await fill(store, []))
    assert (len(empty), empty.step(), empty.back(), empty.until("**"), empty.state) == (0, None, None, None, {})
    player = await Player.load(store, await fill(store, counting_log(50)))
    player.step(50)
    assert player.info.outcome == "incomplete"
    assert player.snapshot().end is None


def test_signals_out_of_order_are_refused() -> None:
    """A list of signals with a gap is no recording that could be played."""
    with pytest.raises(InvalidValueError, match=r"signals\[1\]"):
        Player(recording_of([signal(0), signal(2)]))


def test_a_log_that_makes_no_sense_is_an_error_where_it_stops_to() -> None:
    """A signal that does not fit the log before it is damage, named by its seq; before it everything is shown."""
    log = [*counting_log(10), delta(10, "x", call="nobody#1/0/0"), signal(11)]
    player = Player(recording_of(log))
    player.seek(9)
    assert player.state["n"] == 8
    for _ in range(2):
        player.seek(11)
        with pytest.raises(CorruptRecordError, match=r"signal 10 \(text:delta\)"):
            _ = player.state
    player.seek(9)
    assert player.state["n"] == 8
    assert signal_id("run-1", 9) == log[9].id


@pytest.mark.parametrize(
    "name, payload",
    [
        ("harness:start", {"state": "text", "input": None, "seed": 1, "agents": {}}),
        ("harness:end", ["completed"]),
        ("state:x:changed", {"path": [], "operation": "set", "value": 1}),
        ("agent:activated", {"agent": 1.5, "activation": "a#1", "depth": 1}),
        ("agent:activated", {"agent": "a", "activation": 1.5, "depth": 1}),
        ("agent:skipped", {"agent": True}),
    ],
)
def test_a_log_whose_payloads_have_other_types(name: str, payload: object) -> None:
    """What strangers wrote in place of an object or a name is damage, told with its signal, also by a comparison."""
    log = [Signal("run-1/0", name=name, payload=payload, timestamp=0, seq=0)]
    info = RecordingInfo(id="rec", run_id="run-1", created_at=0, signal_count=1)
    recording = Recording(info=info, signals=log)
    player = Player(recording)
    player.step()
    for look in (player.snapshot, lambda: player.state, lambda: diff_recordings(recording, recording)):
        with pytest.raises(CorruptRecordError, match="signal 0"):
            look()
