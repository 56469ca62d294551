"""The player: a place in a recording, and the ways to move it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from openharness.core.errors import FixtureNotFoundError, InvalidValueError, RecordingNotFoundError, UnknownNameError
from openharness.core.state import from_json
from openharness.core.storage import name_filter
from openharness.core.values import copy_json
from openharness.signals._player._history import FoldHistory
from openharness.signals._player._snapshot import take_snapshot
from openharness.signals._provider_view import ProviderFold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from openharness.core.interfaces import SignalStore
    from openharness.core.patterns import PatternLike
    from openharness.core.records import Checkpoint, Recording, RecordingInfo, Signal
    from openharness.core.values import JSONObject
    from openharness.signals._player._snapshot import Snapshot

__all__ = ("Player",)

T = TypeVar("T")


class Player:
    """Steps through a recording, forward and back, and shows the state of the run at any signal.

    It runs none of the recorded code: what it shows is the fold of the log up to where it stands. It begins before the
    first signal. Moving takes no I/O, and moving back does not play the recording again from its beginning.

    The signals it returns are those of the recording; a caller that changes their payloads changes what it plays.

    Args:
        recording: What to play; `load` takes it from a store.

    Raises:
        InvalidValueError: The signals of the recording do not follow one another from 0.
    """

    def __init__(self, recording: Recording) -> None:
        for seq, signal in enumerate(recording.signals):
            if signal.seq != seq:
                raise InvalidValueError(
                    f"recording.signals[{seq}].seq",
                    value=signal.seq,
                    expected=f"{seq}: the whole log, from its first signal",
                )
        self._recording = recording
        self._signals = recording.signals
        self._history = FoldHistory(self._signals, recording_id=recording.info.id)
        self._providers = ProviderFold()
        self._position = 0

    @classmethod
    async def load(cls, store: SignalStore, recording_id: str) -> Self:
        """Return a player of a recording in a store.

        Raises:
            RecordingNotFoundError: There is no such recording.
            CorruptRecordError: A part of it is damaged.
        """
        recording = await store.load_recording(recording_id)
        if recording is None:
            raise RecordingNotFoundError(recording_id, store=repr(store))
        return cls(recording)

    @classmethod
    async def load_fixture(cls, store: SignalStore, name: str) -> Self:
        """Return a player of the recording that a fixture name means.

        Raises:
            FixtureNotFoundError: Nothing is published under this name.
            CorruptRecordError: A part of it is damaged.
        """
        info = await store.find_recording(name)
        if info is None:
            raise FixtureNotFoundError(name, existing=await store.list_fixtures())
        return await cls.load(store, info.id)

    def __repr__(self) -> str:
        """Say where it stands."""
        return f"Player({self.info.id!r}, at {self._position} of {len(self)})"

    def __len__(self) -> int:
        """The number of signals."""
        return len(self._signals)

    @property
    def info(self) -> RecordingInfo:
        """What is played, without its signals."""
        return self._recording.info

    @property
    def signals(self) -> Sequence[Signal]:
        """All signals, wherever the player stands."""
        return self._signals

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """The checkpoints by position, those of the same position by name."""
        return self._recording.checkpoints

    @property
    def position(self) -> int:
        """How many signals were played: 0 before the first, ``len(player)`` after the last."""
        return self._position

    @property
    def current(self) -> Signal | None:
        """The signal that was played last; None before the first."""
        return self._signals[self._position - 1] if self._position else None

    @property
    def is_at_end(self) -> bool:
        """Whether there are no more signals to play."""
        return self._position == len(self._signals)

    @property
    def state(self) -> JSONObject:
        """The state of the run here, as a JSON value of the caller's own.

        Raises:
            CorruptRecordError: A signal up to here does not fit the ones before it.
        """
        return cast("JSONObject", copy_json(self._history.at(self._position).state))

    def state_as(self, type_: type[T]) -> T:
        """Return the state of the run here as an object of a type.

        Args:
            type_: An attrs class, dataclass, TypedDict or Pydantic model.

        Raises:
            SerializationError: The state does not fit the type.
            CorruptRecordError: A signal up to here does not fit the ones before it.
        """
        return from_json(self._history.at(self._position).state, type_, path="state")

    def snapshot(self) -> Snapshot:
        """Return all that is known of the run here: state, providers' answers, open activations, totals.

        Raises:
            CorruptRecordError: A signal up to here does not fit the ones before it.
        """
        fold = self._history.at(self._position)
        # It can show every place it has been to, so it only ever goes forward.
        for signal in self._signals[self._providers.count : self._position]:
            self._providers.apply(signal)
        return take_snapshot(fold, self.current, providers=self._providers.at(self._position))

    def step(self, count: int = 1) -> Signal | None:
        """Play some signals, fewer where the recording ends.

        Args:
            count: How many.

        Returns:
            The last signal that was played by this call; None if there was none left.

        Raises:
            InvalidValueError: The count is negative.
        """
        before = self._position
        self._position = min(before + _counted(count), len(self._signals))
        return self.current if self._position > before else None

    def back(self, count: int = 1) -> Signal | None:
        """Take some signals back, fewer where the recording begins.

        Args:
            count: How many.

        Returns:
            The signal that is now the current one; None before the first.

        Raises:
            InvalidValueError: The count is negative.
        """
        self._position = max(self._position - _counted(count), 0)
        return self.current

    def rewind(self) -> None:
        """Go before the first signal."""
        self._position = 0

    def seek(self, seq: int) -> Signal:
        """Go to a signal: it becomes the current one.

        Args:
            seq: Its position in the run.

        Raises:
            InvalidValueError: There is no such signal.
        """
        if type(seq) is not int or not 0 <= seq < len(self._signals):
            expected = f"the seq of one of the {len(self._signals)} signals, from 0 on"
            raise InvalidValueError("seq", value=seq, expected=expected)
        self._position = seq + 1
        return self._signals[seq]

    def seek_checkpoint(self, name: str) -> Signal:
        """Go to the signal that a checkpoint stands at.

        Raises:
            UnknownNameError: There is no such checkpoint; the error names those that exist.
        """
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return self.seek(checkpoint.seq)
        known = [checkpoint.name for checkpoint in self.checkpoints]
        raise UnknownNameError("checkpoint", name=name, known=known, where="seek_checkpoint")

    def until(self, patterns: PatternLike | Sequence[PatternLike]) -> Signal | None:
        """Play up to the next signal whose name matches, past the current one.

        Args:
            patterns: One pattern or several, as in `SignalStore.iter_signals`.

        Returns:
            The signal, which is now the current one; None if there is none, and then the whole recording was played.

        Raises:
            PatternError: A pattern is not well formed.
        """
        matches = name_filter(patterns)
        while not self.is_at_end:
            signal = self._signals[self._position]
            self._position += 1
            if matches(signal.name):
                return signal
        return None

    def peek(self) -> Signal | None:
        """Return the signal that `step` would play; None at the end."""
        return None if self.is_at_end else self._signals[self._position]

    def find(self, patterns: PatternLike | Sequence[PatternLike]) -> list[Signal]:
        """Return all signals whose names match, wherever the player stands, and stay there.

        Args:
            patterns: One pattern or several, as in `SignalStore.iter_signals`.

        Raises:
            PatternError: A pattern is not well formed.
        """
        matches = name_filter(patterns)
        return [signal for signal in self._signals if matches(signal.name)]


def _counted(count: object) -> int:
    if type(count) is not int or count < 0:
        raise InvalidValueError("count", value=count, expected="an integer from 0 on")
    return count
