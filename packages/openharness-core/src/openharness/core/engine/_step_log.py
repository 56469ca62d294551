"""What a step writes: signals, with the work they leave to be looked at, and effects."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from openharness.core.log import state_changed
from openharness.core.records import SignalSource
from openharness.core.records._signal import make_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.engine._effects import Effect
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import RunPlan
    from openharness.core.engine._state import StateView
    from openharness.core.log import Change, OpenActivation
    from openharness.core.records import Signal
    from openharness.core.values import JSONObject

__all__ = ("StepLog",)

S = TypeVar("S")


class StepLog(Generic[S]):
    """Writes the signals of a step, and remembers which of them somebody is interested in.

    Attributes:
        effects: What is to be done once the log is durable.
        depth: How many activations caused one another to lead to what is written now.
        chain: How many changes by reducers and failures of guards did.
        chained: How many of the step's changes and failures were caused by another one.
    """

    def __init__(self, plan: RunPlan[S], journal: Journal, view: StateView[S]) -> None:
        self._heard = plan.heard
        self._journal = journal
        self._view = view
        # Signals that were written and not looked at yet, with the depth and the chain of what they may cause.
        self._queue: deque[tuple[Signal, int, int]] = deque()
        # The source of what was told last, and what it was made of.
        self._parent: Signal | None = None
        self._activation: OpenActivation | None = None
        self._source = SignalSource()
        self.effects: list[Effect] = []
        self.depth = 0
        self.chain = 0
        self.chained = 0

    def begin(self, timestamp: int) -> None:
        """Begin a step."""
        self._journal.begin_step(timestamp)
        self.effects = []
        self.depth = self.chain = self.chained = 0

    def next(self) -> Signal | None:
        """Return the signal to be looked at next, and go on in its place among causes; None where there is none."""
        if not self._queue:
            self.chain = 0
            return None
        signal, self.depth, self.chain = self._queue.popleft()
        return signal

    def abandon(self) -> None:
        """Drop what was to be looked at and to be done: the run is over."""
        self._queue.clear()
        self.effects = []

    def do(self, effect: Effect) -> None:
        """Ask for something to be done once the log is durable."""
        self.effects.append(effect)

    def write(
        self,
        name: str,
        payload: Any,
        *,
        parent: Signal | None,
        agent: str | None = None,
        provider: str | None = None,
        activation: str | None = None,
    ) -> Signal:
        """Write a signal, and let it be looked at when its turn comes.

        Raises:
            ReplayDriftError: The log is compared with a recording that has something else here.
        """
        source = make_source(agent, provider, None if parent is None else parent.id, activation)
        signal = self._journal.append(name, payload, source)
        if self._heard[name]:
            self._queue.append((signal, self.depth, self.chain))
        return signal

    def tell(self, activation: OpenActivation, name: str, payload: JSONObject, parent: Signal) -> Signal:
        """Write a signal of an activation, likewise."""
        if parent is not self._parent or activation is not self._activation:
            # What one signal causes has one source: the signals that an answer causes share theirs.
            self._parent, self._activation = parent, activation
            self._source = make_source(activation.agent, None, parent.id, activation.id)
        signal = self._journal.append(name, payload, self._source)
        if self._heard[name]:
            self._queue.append((signal, activation.depth, self.chain))
        return signal

    def change(self, changes: Iterable[Change], parent: Signal, *, agent: str | None, activation: str | None) -> None:
        """Write changes of the state, which the view has shown already."""
        changed = False
        for change in changes:
            field = cast("str", change.path[0])
            self.write(state_changed(field), change.to_payload(), parent=parent, agent=agent, activation=activation)
            changed = True
        if changed:
            if self._journal.substitutes:
                # What the log holds may be another value than the view has.
                self._view.forget()
            else:
                self._view.committed()
