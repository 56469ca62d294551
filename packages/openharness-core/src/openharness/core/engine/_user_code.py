"""Calls of the user's functions within a step: what they are shown, and what they may return."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from openharness.core.agents import Context
from openharness.core.errors import SerializationError
from openharness.core.records._signal import copied_signal
from openharness.core.templates import Template

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import AgentPlan, ReducerPlan
    from openharness.core.engine._state import StateView
    from openharness.core.log import Change, OpenActivation
    from openharness.core.records import Signal
    from openharness.core.values import JSONValue

__all__ = ("USER_FAILURES", "UserCode")

S = TypeVar("S")

USER_FAILURES: Final = (Exception, asyncio.CancelledError, GeneratorExit)
"""What counts as the failure of a user's function.

Nobody cancels or closes a function that does not wait: where one raises what says so, it has done that itself, and a run
that took it for its own end would have none in its log. ``KeyboardInterrupt`` and ``SystemExit`` are for the whole program.
"""


class UserCode(Generic[S]):
    """Calls guards, prompts, reducers and ``end_when``. What they raise goes through: whoever calls says what it means.

    Each is shown a copy of the signal: what one does to it neither changes the log nor gets to the next one, which would
    find it in a run that goes on, and not in one that is resumed.
    """

    def __init__(self, journal: Journal, view: StateView[S]) -> None:
        self._journal = journal
        self._fold = journal.fold
        self._view = view
        self._input: JSONValue = None

    def take_input(self) -> None:
        """Show functions the run's input from now on."""
        self._input = self._fold.input

    def reduce(self, reducer: ReducerPlan, signal: Signal) -> list[Change]:
        """Return the changes that a reducer makes of a signal."""
        draft, signal = self._view.draft(), copied_signal(signal)
        reduced = reducer.function(draft, signal, self._context(signal, purpose=f"reducer/{reducer.pattern}"))
        _refuse_waiting(reduced)
        return self._view.changes_by(reduced, draft)

    def ends(self, end_when: Callable[[Context[S]], bool], signal: Signal) -> bool:
        """Tell what ``end_when`` says."""
        ends = _truth(end_when(self._context(copied_signal(signal), purpose="end_when")))
        self._view.verify_unchanged()
        return ends

    def wants(self, guard: Callable[[Context[S]], bool], signal: Signal, agent: AgentPlan[S]) -> bool:
        """Tell what an agent's guard says."""
        try:
            wanted = _truth(guard(self._context(copied_signal(signal), purpose="when", agent=agent.name)))
            self._view.verify_unchanged()
        except USER_FAILURES:
            self._view.forget()
            raise
        return wanted

    def texts(self, agent: AgentPlan[S], activation: OpenActivation, signal: Signal) -> tuple[str, str | None]:
        """Return the prompt and the system prompt of an activation by a signal."""
        definition, context = agent.definition, None
        system = definition.system
        if not isinstance(definition.prompt, Template) or not (system is None or isinstance(system, Template)):
            # One for both functions: what it gives by chance to one comes after what it gave to the other.
            context = self._context(copied_signal(signal), purpose="prompt", agent=agent.name, activation=activation.id)
        try:
            prompt = self._text(definition.prompt, signal, agent, context)
            instructions = None if system is None else self._text(system, signal, agent, context)
        except USER_FAILURES:
            self._view.forget()
            raise
        return prompt, instructions

    def _text(
        self,
        prompt: Template | Callable[[Context[S]], str],
        signal: Signal,
        agent: AgentPlan[S],
        context: Context[S] | None,
    ) -> str:
        if isinstance(prompt, Template):
            if prompt.compiled is None:
                return prompt.source
            return prompt.render(
                {
                    "state": self._fold.state,
                    "signal": {"id": signal.id, "name": signal.name, "payload": signal.payload},
                    "input": self._input,
                    "now": self._journal.now,
                    "agent": agent.name,
                }
            )
        text = prompt(cast("Context[S]", context))
        _refuse_waiting(text)
        self._view.verify_unchanged()
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' functions are not checked
            raise SerializationError("prompt", value=text, reason="a prompt function returns a string")
        return str.__str__(text)

    def _context(
        self, signal: Signal, *, purpose: str, agent: str | None = None, activation: str | None = None
    ) -> Context[S]:
        return Context(
            state=self._view.get,
            signal=signal,
            input=self._input,
            now=self._journal.now,
            run_id=self._journal.run_id,
            agent=agent,
            activation=activation,
            seed=(self._fold.seed, signal.seq, agent, activation, purpose),
        )


def _truth(value: object) -> bool:
    """Return whether a value counts as true, which an array of numbers refuses to say."""
    _refuse_waiting(value)
    return bool(value)


def _refuse_waiting(value: object) -> None:
    """Refuse what only an ``await`` could use: a plain function may return a coroutine all the same."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        message = "it returned something to be awaited; steps never wait"
        raise TypeError(message)
