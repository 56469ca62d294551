"""What can be claimed about a run. Each claim that does not hold fails with the signals that were there instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

from openharness.core.patterns import PatternLike, compile_pattern
from openharness.testing._assertions._counting import Bounds
from openharness.testing._assertions._matching import ANYTHING, described, mismatch
from openharness.testing._assertions._observed import AnyRun, ObservedRun
from openharness.testing._assertions._rendering import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import Signal

__all__ = ("RunAssertions", "Step", "assert_that")

Step: TypeAlias = "PatternLike | tuple[PatternLike, Any]"
"""One step of a trajectory: a pattern of names, or one with a partial payload."""


def assert_that(run: AnyRun) -> RunAssertions:
    """Begin a claim about a run; claims can be chained.

    ::

        assert_that(result).emitted("facts:found", {"agent": "reader"}).activated("editor", times=1)
        assert_that(result).did_not_activate("lawyer").used_tokens(at_most=500)

    Args:
        run: A `RunResult` (also the ``result`` of a `RunError`) or a `Recording`.

    Raises:
        TypeError: It is neither.
    """
    return RunAssertions(ObservedRun.of(run))


class RunAssertions:
    """Claims about one run. Made by `assert_that`.

    Every method returns the object itself, so that claims can be chained, and raises `AssertionError` with what was
    there when its claim does not hold. Patterns are those of agents: ``*`` within a segment, ``**`` across segments, and
    compiled regular expressions.

    A partial payload is what a payload must at least hold: a mapping names keys that must be there, and leaves others
    alone; ``...`` stands for any value, a compiled regular expression for any text it is found in, and a function for
    any value it returns true for.
    """

    def __init__(self, run: ObservedRun) -> None:
        self._run = run

    def __repr__(self) -> str:
        """Name the run."""
        return f"assert_that({self._run.name}, {len(self._run.signals)} signals)"

    # Signals.

    def emitted(
        self,
        pattern: PatternLike,
        payload: Any = ANYTHING,
        *,
        agent: str | None = None,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
    ) -> Self:
        """Claim that there is a signal of this name, or as many as said.

        Args:
            pattern: Its name.
            payload: Its partial payload.
            agent: The agent whose activation it belongs to.
            times: Exactly so often.
            at_least: At least so often; once, if nothing is said.
            at_most: At most so often.
        """
        __tracebackhide__ = True
        bounds = Bounds.counted(times, at_least, at_most)
        found, near = self._search(pattern, payload, agent)
        if not bounds.hold(len(found)):
            what = _told(pattern, payload, agent)
            self._fail(f"Expected {bounds} x {what}, found {len(found)}.", found, near)
        return self

    def did_not_emit(self, pattern: PatternLike, payload: Any = ANYTHING, *, agent: str | None = None) -> Self:
        """Claim that there is no signal of this name with this partial payload.

        Args:
            pattern: Its name.
            payload: Its partial payload.
            agent: The agent whose activation it would belong to.
        """
        __tracebackhide__ = True
        found, _ = self._search(pattern, payload, agent)
        if found:
            self._fail(f"Expected no {_told(pattern, payload, agent)}, found {len(found)}.", found, {})
        return self

    def emitted_in_order(self, *steps: Step) -> Self:
        """Claim that signals came in this order; any others may have come between them.

        Args:
            *steps: Patterns, or pairs of a pattern and a partial payload.
        """
        __tracebackhide__ = True
        reached = self._follow(steps)
        if len(reached) < len(steps):
            missing = _step(steps[len(reached)])
            where = f" after #{reached[-1].seq}" if reached else ""
            earlier, _ = self._search(*missing, None)
            hint = f" There is one before, at #{earlier[-1].seq}." if earlier else ""
            notes = {signal.seq: f"step {number}" for number, signal in enumerate(reached, 1)}
            self._fail(
                f"Expected this order: {_path(steps)}. Step {len(reached) + 1}, {_told(*missing, None)}, "
                f"does not come{where}.{hint}",
                self._run.signals,
                notes,
            )
        return self

    def did_not_emit_in_order(self, *steps: Step) -> Self:
        """Claim that signals did not come in this order.

        Args:
            *steps: Patterns, or pairs of a pattern and a partial payload.
        """
        __tracebackhide__ = True
        reached = self._follow(steps)
        if len(reached) == len(steps):
            self._fail(f"Expected that the order is not {_path(steps)}, and it is.", reached, {})
        return self

    # Agents.

    def activated(
        self, agent: str, *, times: int | None = None, at_least: int | None = None, at_most: int | None = None
    ) -> Self:
        """Claim that an agent was activated, or as often as said.

        Args:
            agent: Its name.
            times: Exactly so often.
            at_least: At least so often; once, if nothing is said.
            at_most: At most so often.
        """
        __tracebackhide__ = True
        return self._counted_agent("agent:activated", agent, None, Bounds.counted(times, at_least, at_most))

    def did_not_activate(self, agent: str) -> Self:
        """Claim that an agent of this run was never activated.

        Args:
            agent: Its name. One that is no agent of the run fails: it could not have been activated.
        """
        __tracebackhide__ = True
        return self._counted_agent("agent:activated", agent, None, Bounds(0, 0))

    def activated_in_order(self, *agents: str) -> Self:
        """Claim that agents were activated in this order; others may have been between them.

        Args:
            *agents: Their names.
        """
        __tracebackhide__ = True
        for agent in agents:
            self._check_agent(agent)
        return self.emitted_in_order(*(("agent:activated", {"agent": agent}) for agent in agents))

    def skipped(
        self,
        agent: str,
        *,
        reason: str | None = None,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
    ) -> Self:
        """Claim that a signal matched an agent and did not activate it.

        Args:
            agent: Its name.
            reason: Why: ``"guard"``, or ``"ending"`` after ``end_when``.
            times: Exactly so often.
            at_least: At least so often; once, if nothing is said.
            at_most: At most so often.
        """
        __tracebackhide__ = True
        return self._counted_agent("agent:skipped", agent, reason, Bounds.counted(times, at_least, at_most))

    def did_not_skip(self, agent: str) -> Self:
        """Claim that every signal that matched an agent activated it.

        Args:
            agent: Its name.
        """
        __tracebackhide__ = True
        return self._counted_agent("agent:skipped", agent, None, Bounds(0, 0))

    # What it took.

    def took(self, *, at_most: float | None = None, at_least: float | None = None, agent: str | None = None) -> Self:
        """Claim how long the run took, or the longest activation of one agent. A replay has the times it recorded.

        Args:
            at_most: Seconds.
            at_least: Seconds.
            agent: The agent's name.
        """
        __tracebackhide__ = True
        bounds = Bounds.limited(at_least, at_most)
        milliseconds = self._run.metrics.duration_ms if agent is None else self._longest(agent)
        whose = "the run" if agent is None else f"the longest activation of {agent!r}"
        if not bounds.hold(milliseconds / 1000):
            ends = [signal for signal in self._run.signals if signal.name in _ENDS or signal.name == "agent:activated"]
            started = self._run.signals[0].timestamp if self._run.signals else 0
            notes = {signal.seq: f"{signal.timestamp - started} ms" for signal in ends}
            self._fail(f"Expected {whose} to take {bounds} s, it took {milliseconds / 1000} s.", ends, notes)
        return self

    def used_tokens(self, *, at_most: int | None = None, at_least: int | None = None, agent: str | None = None) -> Self:
        """Claim how many tokens, of requests and answers together, the run or one agent used.

        It fails when a provider was called and no tokens were told: a bound on what nobody counts says nothing.

        Args:
            at_most: Tokens.
            at_least: Tokens.
            agent: The agent's name.
        """
        __tracebackhide__ = True
        bounds = Bounds.limited(at_least, at_most)
        answers = self._answers(agent)
        uncounted = [signal for signal in answers if _tokens(signal) == 0]
        if uncounted:
            self._fail("Expected every provider to tell how many tokens it used; these did not:", uncounted, {})
        total = sum(map(_tokens, answers))
        if not bounds.hold(total):
            notes = {signal.seq: f"{_tokens(signal)} tokens" for signal in answers}
            self._fail(f"Expected {bounds} tokens{_of(agent)}, used {total}.", answers, notes)
        return self

    def cost(self, *, at_most: float | None = None, at_least: float | None = None, agent: str | None = None) -> Self:
        """Claim what the run, or one agent, cost in US dollars.

        It fails when a provider did not tell what its answer cost: a bound on what nobody counts says nothing.

        Args:
            at_most: US dollars.
            at_least: US dollars.
            agent: The agent's name.
        """
        __tracebackhide__ = True
        bounds = Bounds.limited(at_least, at_most)
        answers = self._answers(agent)
        unpriced = [signal for signal in answers if _usage(signal).get("cost") is None]
        if unpriced:
            self._fail("Expected every provider to tell what its answers cost; these did not:", unpriced, {})
        total = sum(_usage(signal)["cost"] for signal in answers)
        if not bounds.hold(total):
            notes = {signal.seq: f"{_usage(signal)['cost']} USD" for signal in answers}
            self._fail(f"Expected a cost of {bounds} USD{_of(agent)}, it was {total}.", answers, notes)
        return self

    def called_providers(
        self,
        *,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        agent: str | None = None,
    ) -> Self:
        """Claim how many requests were sent to providers, those that were sent again included.

        Args:
            times: Exactly so many.
            at_least: At least so many; one, if nothing is said.
            at_most: At most so many.
            agent: The agent that sent them.
        """
        __tracebackhide__ = True
        bounds = Bounds.counted(times, at_least, at_most)
        calls = self._of_agent("provider:start", agent)
        if not bounds.hold(len(calls)):
            self._fail(f"Expected {bounds} requests to providers{_of(agent)}, found {len(calls)}.", calls, {})
        return self

    # How it is done.

    def _search(self, pattern: PatternLike, payload: Any, agent: str | None) -> tuple[list[Signal], dict[int, str]]:
        """Return the signals that match, and by seq why those do not that have the right name."""
        compiled = compile_pattern(pattern)
        found: list[Signal] = []
        near: dict[int, str] = {}
        for signal in self._run.signals:
            if not compiled.matches(signal.name):
                continue
            if agent is not None and signal.source.agent != agent:
                near[signal.seq] = f"of agent {signal.source.agent!r}"
                continue
            different = mismatch(payload, signal.payload)
            if different is None:
                found.append(signal)
            else:
                near[signal.seq] = different
        return found, near

    def _follow(self, steps: Sequence[Step]) -> list[Signal]:
        """Return the signals that take the steps, as far as they can be taken."""
        reached: list[Signal] = []
        wanted = [(compile_pattern(pattern), payload) for pattern, payload in map(_step, steps)]
        for signal in self._run.signals:
            if len(reached) == len(wanted):
                break
            pattern, payload = wanted[len(reached)]
            if pattern.matches(signal.name) and mismatch(payload, signal.payload) is None:
                reached.append(signal)
        return reached

    def _counted_agent(self, name: str, agent: str, reason: str | None, bounds: Bounds) -> Self:
        __tracebackhide__ = True
        self._check_agent(agent)
        payload = {"agent": agent} if reason is None else {"agent": agent, "reason": reason}
        found, _ = self._search(name, payload, None)
        if not bounds.hold(len(found)):
            verb = "activated" if name == "agent:activated" else "skipped"
            why = "" if reason is None else f" (reason {reason!r})"
            there = [signal for signal in self._run.signals if signal.name in ("agent:activated", "agent:skipped")]
            self._fail(f"Expected agent {agent!r} to be {verb} {bounds} x{why}, it was {len(found)} x.", there, {})
        return self

    def _check_agent(self, agent: str) -> None:
        __tracebackhide__ = True
        agents = self._run.agents
        if agents is not None and agent not in agents:
            raise AssertionError(
                f"There is no agent {agent!r} in {self._run.name}; its agents are {', '.join(map(repr, agents))}."
            )

    def _of_agent(self, name: str, agent: str | None) -> list[Signal]:
        __tracebackhide__ = True
        if agent is not None:
            self._check_agent(agent)
        return [signal for signal in self._run.signals if signal.name == name and agent in (None, signal.source.agent)]

    def _answers(self, agent: str | None) -> list[Signal]:
        __tracebackhide__ = True
        return self._of_agent("provider:end", agent)

    def _longest(self, agent: str) -> int:
        __tracebackhide__ = True
        begun = {signal.source.activation: signal.timestamp for signal in self._of_agent("agent:activated", agent)}
        if not begun:
            self._fail(f"Expected agent {agent!r} to be activated, so that it takes time.", self._run.signals, {})
        last = self._run.signals[-1].timestamp
        ended = {signal.source.activation: signal.timestamp for signal in self._run.signals if signal.name in _ENDS}
        return max(ended.get(activation, last) - started for activation, started in begun.items())

    def _fail(self, claim: str, signals: Sequence[Signal], notes: dict[int, str]) -> NoReturn:
        """Raise the error: the claim, then the signals it is about, then those it could have meant, else all."""
        __tracebackhide__ = True
        parts = [claim]
        if signals:
            parts += [listed(signals, notes)]
        near = [signal for signal in self._run.signals if signal.seq in notes and signal not in signals]
        if near:
            parts += ["Of that name, but different:", listed(near, notes)]
        if not signals and not near:
            parts += [f"All {len(self._run.signals)} signals of {self._run.name}:", listed(self._run.signals)]
        raise AssertionError("\n".join(parts))


_ENDS = ("agent:completed", "agent:error")


def _step(step: Step) -> tuple[PatternLike, Any]:
    return step if isinstance(step, tuple) else (step, ANYTHING)


def _told(pattern: PatternLike, payload: Any, agent: str | None) -> str:
    name = repr(compile_pattern(pattern).text)
    with_payload = "" if payload is ANYTHING else f" with {described(payload)}"
    return f"{name}{with_payload}{_of(agent)}"


def _path(steps: Sequence[Step]) -> str:
    return " -> ".join(_told(*_step(step), None) for step in steps)


def _of(agent: str | None) -> str:
    return "" if agent is None else f" of agent {agent!r}"


def _usage(signal: Signal) -> dict[str, Any]:
    usage: dict[str, Any] = signal.payload["output"].get("usage") or {}
    return usage


def _tokens(signal: Signal) -> int:
    usage = _usage(signal)
    return int((usage.get("input_tokens") or 0) + (usage.get("output_tokens") or 0))
