"""What is counted of runs while their signals come: for one run, or for many together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import attrs

from openharness.core.log import AgentTotals
from openharness.signals._provider_view import ProviderFold, fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from openharness.core.records import Signal
    from openharness.signals._provider_view import ProviderView

__all__ = ("AgentTally", "OpenRuns", "ProviderTally", "RunTally", "Tallies", "ToolTally", "run_id_of")

T = TypeVar("T")

_TOTALS: Final = frozenset(field.name for field in attrs.fields(AgentTotals))


def run_id_of(signal: Signal) -> str:
    """Return the run a signal belongs to."""
    return signal.id.removesuffix(f"/{signal.seq}")


class OpenRuns(Generic[T]):
    """Something for each run that goes on.

    Args:
        begin: Makes it, of the run's id and its first signal.
    """

    def __init__(self, begin: Callable[[str, Signal], T]) -> None:
        self._begin = begin
        self._open: dict[str, T] = {}

    def __len__(self) -> int:
        """How many runs go on."""
        return len(self._open)

    def of(self, signal: Signal) -> T:
        """Return what belongs to the run of a signal."""
        run_id = run_id_of(signal)
        if run_id not in self._open:
            self._open[run_id] = self._begin(run_id, signal)
        return self._open[run_id]

    def begun_again(self, signal: Signal) -> T | None:
        """Return, and forget, the run that a signal begins anew: it was left in the middle, and is replayed."""
        return self._open.pop(run_id_of(signal), None) if signal.seq == 0 else None

    def end(self, signal: Signal) -> None:
        """Forget the run of a signal."""
        self._open.pop(run_id_of(signal), None)

    def leave(self) -> Iterable[T]:
        """Return what belongs to the runs that have not ended, and forget them."""
        left = list(self._open.values())
        self._open.clear()
        return left


@attrs.define
class AgentTally:
    """What an agent did: counts, and how long it took, in milliseconds."""

    totals: AgentTotals = attrs.field(factory=AgentTotals)
    completed: int = 0
    durations: list[int] = attrs.field(factory=list[int])
    call_durations: list[int] = attrs.field(factory=list[int])
    first_tokens: list[int] = attrs.field(factory=list[int])


@attrs.define
class ProviderTally:
    """What a provider did: counts, and how long it took, in milliseconds."""

    calls: int = 0
    retries: int = 0
    ended: int = 0
    failed: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    durations: list[int] = attrs.field(factory=list[int])
    first_tokens: list[int] = attrs.field(factory=list[int])


@attrs.define
class ToolTally:
    """What a tool did: counts, and how long it took, in milliseconds."""

    calls: int = 0
    results: int = 0
    errors: int = 0
    durations: list[int] = attrs.field(factory=list[int])


@attrs.define
class Tallies:
    """What agents, providers and tools did, by name."""

    agents: dict[str, AgentTally] = attrs.field(factory=dict[str, AgentTally])
    providers: dict[str, ProviderTally] = attrs.field(factory=dict[str, ProviderTally])
    tools: dict[str, ToolTally] = attrs.field(factory=dict[str, ToolTally])


class RunTally:
    """Counts the signals of one run.

    Args:
        run_id: The run.
        first: Its first signal.
        tallies: Where to count what its agents, providers and tools do.

    Attributes:
        run_id: The run.
        tallies: What was counted.
        providers: What its providers have answered.
        signals: How many signals there were.
        started_at: The time of the first one, in milliseconds since the epoch.
        last_at: The time of the last one.
        models: The models that answered.
        working: The activations that go on: the agent of each, and when it began.
        tool_names: The tools that were started last in each place of a conversation, by the id of the call.
        agent_error: The payload of the last ``agent:error``; None without one.
        provider_error: The ``error`` of the last ``provider:error``; None without one.
        end: The payload of ``harness:end``; None while the run goes on.
    """

    def __init__(self, run_id: str, first: Signal, tallies: Tallies) -> None:
        self.run_id = run_id
        self.tallies = tallies
        self.providers = ProviderFold()
        self.signals = 0
        self.started_at = self.last_at = first.timestamp
        self.models: set[str] = set()
        self.working: dict[str, tuple[str, int]] = {}
        self.tool_names: dict[str, str] = {}
        self.agent_error: Mapping[str, Any] | None = None
        self.provider_error: Mapping[str, Any] | None = None
        self.end: Mapping[str, Any] | None = None
        self._tools: dict[tuple[object, ...], tuple[str, int]] = {}

    @property
    def duration_ms(self) -> int:
        """Milliseconds from the first signal to the last."""
        return self.last_at - self.started_at

    @property
    def status(self) -> str:
        """How the run ended; ``"incomplete"`` as long as it has not."""
        status = None if self.end is None else self.end.get("status")
        return status if isinstance(status, str) else "incomplete"

    def apply(self, signal: Signal) -> None:
        """Count the next signal."""
        self.signals += 1
        self.last_at = signal.timestamp
        if signal.name in {"harness:end", "harness:forked"}:
            self._give_up()
        self.providers.apply(signal)
        handler = self._HANDLERS.get(signal.name)
        if handler is not None:
            handler(self, signal, fields_of(signal))

    def _agent(self, name: object) -> AgentTally:
        return self.tallies.agents.setdefault(str(name), AgentTally())

    def _provider(self, name: str | None) -> ProviderTally:
        return self.tallies.providers.setdefault(name or "unknown", ProviderTally())

    def _view(self, payload: Mapping[str, Any]) -> ProviderView | None:
        call = payload.get("call")
        return self.providers.views[call] if isinstance(call, str) else None

    def _activated(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        agent = payload.get("agent")
        self._agent(agent).totals.activations += 1
        self.working[str(payload.get("activation"))] = (str(agent), signal.timestamp)

    def _skipped(self, _: Signal, payload: Mapping[str, Any]) -> None:
        self._agent(payload.get("agent")).totals.skipped += 1

    def _completed(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        self._agent(payload.get("agent")).completed += 1
        self._stopped(signal, payload)

    def _failed(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        self.agent_error = payload
        if payload.get("agent") is not None:
            self._agent(payload["agent"]).totals.errors += 1
        self._stopped(signal, payload)

    def _stopped(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        agent, began = self.working.pop(str(payload.get("activation")), (None, 0))
        if agent is not None:
            self._agent(agent).durations.append(signal.timestamp - began)

    def _sent(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        view = self._view(payload)
        if view is None:
            return
        totals, provider = self._agent(signal.source.agent or view.agent).totals, self._provider(view.provider)
        totals.provider_calls += 1
        provider.calls += 1
        if view.attempt > 0:
            totals.retries += 1
            provider.retries += 1

    def _answered(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        view = self._view(payload)
        if view is None:
            return
        agent, provider = self._agent(signal.source.agent or view.agent), self._provider(view.provider)
        provider.ended += 1
        self._timed(view, agent, provider)
        if view.model is not None:
            self.models.add(view.model)
        if view.usage is not None:
            for tally in (agent.totals, provider):
                tally.input_tokens += view.usage.input_tokens
                tally.output_tokens += view.usage.output_tokens
                tally.cached_tokens += view.usage.cached_tokens
                tally.cost += view.usage.cost or 0.0

    def _provider_failed(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        view = self._view(payload)
        if view is None:
            return
        self.provider_error = view.error
        provider = self._provider(view.provider)
        provider.failed += 1
        self._timed(view, self._agent(signal.source.agent or view.agent), provider)

    def _timed(self, view: ProviderView, agent: AgentTally, provider: ProviderTally) -> None:
        agent.call_durations.append(view.duration_ms or 0)
        provider.durations.append(view.duration_ms or 0)
        if view.time_to_first_token_ms is not None:
            agent.first_tokens.append(view.time_to_first_token_ms)
            provider.first_tokens.append(view.time_to_first_token_ms)

    def _give_up(self) -> None:
        for call in self.providers.running:
            self._provider(self.providers.views[call].provider).cancelled += 1

    def _count(self, signal: Signal, name: str) -> None:
        """Count something that an agent did, where core has a name for it."""
        agent = signal.source.agent
        if agent is not None and name in _TOTALS:
            totals = self._agent(agent).totals
            setattr(totals, name, getattr(totals, name) + 1)

    def _tool_called(self, _: Signal, payload: Mapping[str, Any]) -> None:
        self._tool(payload.get("name")).calls += 1

    def _tool_started(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        self._tools[_tool_key(signal, payload)] = (str(payload.get("name")), signal.timestamp)
        self.tool_names[str(payload.get("tool_call"))] = str(payload.get("name"))
        self._count(signal, "tool_calls")

    def _tool_ended(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        name, began = self._tools.pop(_tool_key(signal, payload), (None, 0))
        tool = self._tool(name or payload.get("name"))
        tool.results += 1
        if name is not None:
            tool.durations.append(signal.timestamp - began)
        if payload.get("error") is not None:
            tool.errors += 1
            self._count(signal, "tool_errors")

    def _tool(self, name: object) -> ToolTally:
        return self.tallies.tools.setdefault(str(name), ToolTally())

    def _ended(self, _: Signal, payload: Mapping[str, Any]) -> None:
        self.end = payload

    _HANDLERS: ClassVar[Mapping[str, Callable[[Any, Signal, dict[str, Any]], None]]] = {
        "agent:activated": _activated,
        "agent:skipped": _skipped,
        "agent:completed": _completed,
        "agent:error": _failed,
        "provider:start": _sent,
        "provider:end": _answered,
        "provider:error": _provider_failed,
        "tool:call": _tool_called,
        "tool:start": _tool_started,
        "tool:result": _tool_ended,
        "tool:rejected": _tool_ended,
        "tool:unknown": _tool_ended,
        "harness:end": _ended,
    }


def _tool_key(signal: Signal, payload: Mapping[str, Any]) -> tuple[object, ...]:
    """Which call of a tool a signal belongs to: that of an activation, by what the payload says of it."""
    return (signal.source.activation, *(str(payload.get(part)) for part in ("tool_call", "call", "index")))
