"""What guards, prompts, reducers and ``end_when`` may look at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from openharness.core.values import copy_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core.records import Signal
    from openharness.core.values import JSONValue

__all__ = ("Context",)

S = TypeVar("S")

_NOT_COPIED: Final = object()


class Context(Generic[S]):
    """The world as a step sees it. Everything here is the same in every replay; nothing else is.

    Attributes:
        signal: The signal that is being looked at.
        now: The time of the step in milliseconds since the epoch, UTC. The only clock to use: it never goes back, and
            a replay sees the recorded time.
        run_id: The run; in a replay the recorded one.
        agent: The name of the agent that is asked; None for reducers and ``end_when``.
        activation: The activation (``"analyzer#1"``) for prompts; None before there is one.
    """

    __slots__ = ("_given", "_input", "_random", "_seed", "_state", "activation", "agent", "now", "run_id", "signal")

    def __init__(
        self,
        *,
        state: Callable[[], S],
        signal: Signal,
        input: JSONValue,  # noqa: A002 - the word that users write
        now: int,
        run_id: str,
        agent: str | None,
        activation: str | None,
        seed: tuple[object, ...],
    ) -> None:
        self._state = state
        self._seed = seed
        self._random: random.Random | None = None
        self.signal = signal
        self._given = input
        self._input: Any = _NOT_COPIED
        self.now = now
        self.run_id = run_id
        self.agent = agent
        self.activation = activation

    @property
    def state(self) -> S:
        """The run's state, to be looked at only. Changes are made by reducers and ``updates``."""
        return self._state()

    @property
    def input(self) -> Any:
        """The run's ``input=``, as JSON: a copy, so that changing it changes nothing."""
        if self._input is _NOT_COPIED:
            self._input = copy_json(self._given)
        return self._input

    @property
    def random(self) -> random.Random:
        """Random numbers that a replay repeats. The only source of chance to use."""
        if self._random is None:
            self._random = random.Random("/".join(map(str, self._seed)))  # noqa: S311 - repeatable on purpose
        return self._random
