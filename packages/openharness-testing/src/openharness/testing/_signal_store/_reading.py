"""Reading a log in part: ranges, patterns, and logs that are still written to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import InvalidValueError, PatternError
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import load, make_signal, make_signals, record

if TYPE_CHECKING:
    from openharness.core import Signal, SignalStore

__all__ = ("ReadingTests",)

_NAMES = ["harness:start", "text:delta", "text:complete", "tool:call", "tool:call:late", "tool", "text:delta", "a*b:c"]


async def _read(store: SignalStore, recording_id: str, **arguments: Any) -> list[Signal]:
    return [signal async for signal in store.iter_signals(recording_id, **arguments)]


async def _seqs(store: SignalStore, recording_id: str, **arguments: Any) -> list[int]:
    return [signal.seq for signal in await _read(store, recording_id, **arguments)]


class ReadingTests(SignalStoreCase):
    """`SignalStore.iter_signals`."""

    async def test_without_arguments_all_signals_come(self, store: SignalStore) -> None:
        """Every signal comes once, in order of seq, whole."""
        signals = make_signals(5)
        recording_id = await record(store, *signals)
        assert_same(await _read(store, recording_id), signals, what="signals")
        assert await _read(store, await record(store)) == []

    @pytest.mark.parametrize(
        "start, stop, expected",
        [
            (0, None, [0, 1, 2, 3, 4]),
            (2, None, [2, 3, 4]),
            (0, 2, [0, 1]),
            (1, 4, [1, 2, 3]),
            (4, 5, [4]),
            (5, None, []),
            (0, 0, []),
            (3, 3, []),
            (3, 1, []),
            (2, 99, [2, 3, 4]),
            (99, 100, []),
        ],
    )
    async def test_a_range_begins_at_start_and_ends_before_stop(
        self, store: SignalStore, start: int, stop: int | None, expected: list[int]
    ) -> None:
        """``start`` is included, ``stop`` is not, and what is beyond the end is empty."""
        recording_id = await record(store, *make_signals(5))
        assert await _seqs(store, recording_id, start=start, stop=stop) == expected

    @pytest.mark.parametrize(
        "patterns, expected",
        [
            ((), [0, 1, 2, 3, 4, 5, 6, 7]),
            ([], [0, 1, 2, 3, 4, 5, 6, 7]),
            ("text:delta", [1, 6]),
            ("text:*", [1, 2, 6]),
            ("tool:*", [3]),
            ("tool:**", [3, 4, 5]),
            ("**", [0, 1, 2, 3, 4, 5, 6, 7]),
            ("*", [5]),
            ("**:complete", [2]),
            ("*:c*", [2, 3, 7]),
            (["tool", "text:complete"], [2, 5]),
            (["text:*", "text:delta", "**"], [0, 1, 2, 3, 4, 5, 6, 7]),
            (("harness:start",), [0]),
            ("TEXT:delta", []),
            ("text", []),
            ("text:delt_", []),
            ("text:%", []),
            (re.compile("text:(delta|complete)"), [1, 2, 6]),
            (re.compile("tool"), [5]),
            ([re.compile("t.*"), "harness:start"], [0, 1, 2, 3, 4, 5, 6]),
        ],
        ids=str,
    )
    async def test_patterns_choose_by_name(self, store: SignalStore, patterns: Any, expected: list[int]) -> None:
        """A signal comes when one of the patterns matches its whole name; without patterns, every one."""
        recording_id = await record(store, *(make_signal(seq, name=name) for seq, name in enumerate(_NAMES)))
        assert await _seqs(store, recording_id, patterns=patterns) == expected

    async def test_patterns_and_range_together(self, store: SignalStore) -> None:
        """Patterns choose among the signals of the range."""
        recording_id = await record(store, *(make_signal(seq, name=name) for seq, name in enumerate(_NAMES)))
        assert await _seqs(store, recording_id, start=2, stop=7, patterns=["text:**", "tool"]) == [2, 5, 6]

    @pytest.mark.parametrize(
        "bounds", [{"start": -1}, {"stop": -1}, {"start": 1.0}, {"start": True}, {"stop": "2"}], ids=str
    )
    async def test_bad_bounds_are_refused(self, store: SignalStore, bounds: dict[str, Any]) -> None:
        """A bound that is negative or no integer raises InvalidValueError."""
        recording_id = await record(store, *make_signals(3))
        with pytest.raises(InvalidValueError):
            await _read(store, recording_id, **bounds)

    @pytest.mark.parametrize("pattern", ["", "a::b", ":a", "a b", "x**", "a" * 257, 1, None], ids=repr)
    async def test_bad_patterns_are_refused(self, store: SignalStore, pattern: Any) -> None:
        """A pattern that is not well formed raises PatternError, alone and among good ones."""
        recording_id = await record(store, *make_signals(3))
        with pytest.raises(PatternError):
            await _read(store, recording_id, patterns=["text:delta", pattern])

    async def test_hostile_patterns_take_no_time(self, store: SignalStore) -> None:
        """A pattern full of wildcards is matched promptly against a long name that almost fits."""
        name = "a" * 250
        recording_id = await record(store, *(make_signal(seq, name=name) for seq in range(20)))
        async with self.promptly("matching a hostile pattern"):
            assert await _seqs(store, recording_id, patterns="*a" * 100 + "b") == []
            assert await _seqs(store, recording_id, patterns=":".join(["**", "*"] * 30)) == []

    async def test_the_store_can_be_used_while_reading(self, store: SignalStore) -> None:
        """Between two signals the caller may append and load; nothing waits for the reader, and the reading ends."""
        recording_id = await record(store, *make_signals(3))
        seen: list[int] = []
        async with self.promptly("using the store while reading"):
            async for signal in store.iter_signals(recording_id):
                seen.append(signal.seq)
                await store.append(recording_id, make_signals(1, start=2 + len(seen)))
                assert len((await load(store, recording_id)).signals) == 3 + len(seen)
                assert len(seen) <= 50, "who appends for every signal it reads never comes to an end"
        # What was there when it began comes, and what came meanwhile may.
        assert seen == list(range(len(seen)))
        assert len(seen) >= 3
        assert await _seqs(store, recording_id) == list(range(3 + len(seen)))

    async def test_a_reading_that_is_left_holds_nothing(self, store: SignalStore) -> None:
        """Leaving in the middle, closed or not, keeps nobody from writing or deleting."""
        recording_id = await record(store, *make_signals(3))
        left = aiter(store.iter_signals(recording_id))
        await anext(left)
        await self.soon(store.append(recording_id, make_signals(1, start=3)), "appending while a reading stands open")
        await self.soon(store.delete_recording(recording_id), "deleting while a reading stands open")
        assert await store.load_recording(recording_id) is None

    async def test_two_readers_do_not_disturb_each_other(self, store: SignalStore) -> None:
        """Two readings, step by step in turn, each see every signal."""
        recording_id = await record(store, *make_signals(4))
        one, two = aiter(store.iter_signals(recording_id)), aiter(store.iter_signals(recording_id, start=1))
        await anext(one)
        pairs = [((await anext(one)).seq, (await anext(two)).seq) for _ in range(3)]
        assert pairs == [(1, 1), (2, 2), (3, 3)]
