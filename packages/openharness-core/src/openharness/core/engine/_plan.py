"""Everything a run needs to know before it begins."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from openharness.core.agents import AgentDefinition, Context, Reducer, check_agent_name, check_synchronous
from openharness.core.errors import DefinitionError, InvalidValueError, UnknownNameError
from openharness.core.interfaces import Provider
from openharness.core.log import INERT, RESERVED_PREFIXES, STREAMING, Volatile, VolatileRules, state_changed
from openharness.core.log import _names as names
from openharness.core.patterns import Pattern, PatternIndex, compile_pattern
from openharness.core.state import StateSchema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.patterns import PatternLike
    from openharness.core.values import JSONObject

__all__ = ("AgentPlan", "KeptPlans", "Limits", "RunPlan", "make_plan")

S = TypeVar("S")
T = TypeVar("T")

MAX_ACTIVATIONS: Final = 1_000
MAX_DEPTH: Final = 100
MAX_TOOL_CONCURRENCY: Final = 16
_ACTIVATES_NOBODY: Final = INERT | {names.HARNESS_TIMEOUT, names.HARNESS_CANCELLED, names.HARNESS_INTERRUPTED}
_MOST_KNOWN: Final = 4_096
_MOST_KEPT: Final = 4
_OPEN_STATE: Final = "A state that is a plain dict has the fields it begins with: give this one a value in state=."


@attrs.frozen(eq=False)
class AgentPlan(Generic[S]):
    """An agent of a run: its name, its definition, and its provider (None in a replay, where none is ever called)."""

    name: str
    definition: AgentDefinition[S]
    provider: Provider | None


@attrs.frozen(kw_only=True)
class Limits:
    """What stops a run that would not stop by itself.

    Attributes:
        max_activations: How many activations one run may have.
        max_depth: How many activations may cause one another in a row.
        max_concurrency: How many activations may run at once; None means any number.
        max_tool_concurrency: How many tools may run at once; None means any number.
        max_tokens: How many tokens all requests and answers together may take; None means any number.
        max_cost: How many US dollars they may cost together; None means any number.
    """

    max_activations: int = MAX_ACTIVATIONS
    max_depth: int = MAX_DEPTH
    max_concurrency: int | None = None
    max_tool_concurrency: int | None = MAX_TOOL_CONCURRENCY
    max_tokens: int | None = None
    max_cost: float | None = None

    def __attrs_post_init__(self) -> None:
        """Check the numbers."""
        for name in ("max_activations", "max_depth", "max_concurrency", "max_tool_concurrency", "max_tokens"):
            value = getattr(self, name)
            if value is None and name not in ("max_activations", "max_depth"):
                continue
            if type(value) is not int or value < 1:
                raise InvalidValueError(name, value=value, expected="an integer from 1 on")
        cost = self.max_cost
        if cost is not None and not (type(cost) in (int, float) and 0 <= cost < float("inf")):
            raise InvalidValueError("max_cost", value=cost, expected="US dollars as a number from 0 on")


@attrs.frozen(eq=False)
class ReducerPlan:
    """A reducer: the pattern it was given for, and the function called with state, signal and context."""

    pattern: str
    function: Callable[[Any, Any, Any], Any]


@attrs.frozen(eq=False)
class Interested(Generic[S]):
    """Who looks at a signal: reducers in the order of their definition, agents in the order in which they are asked."""

    reducers: tuple[ReducerPlan, ...]
    agents: tuple[AgentPlan[S], ...]


_NOBODY: Final[Interested[Any]] = Interested((), ())


class _Heard(dict[str, bool]):
    """`RunPlan.heard`, found out name by name: asking again, as each signal of a run does, costs next to nothing."""

    def __init__(self, plan: RunPlan[Any]) -> None:
        super().__init__()
        self._plan = plan

    def __missing__(self, name: str) -> bool:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        heard = self[name] = self._plan.interested_in(name) is not _NOBODY or self._plan.end_when is not None
        return heard


@attrs.frozen(kw_only=True, eq=False)
class RunPlan(Generic[S]):
    """A run before it begins.

    Attributes:
        schema: The type of the state.
        agents: All agents, in the order in which they are asked.
        reducers: Finds the reducers of a signal.
        end_when: Stops new activations once it is true.
        limits: The run's limits.
        interactive: Whether signals come from outside until the run is told to finish.
        matching: Finds the positions of the agents a signal may activate.
        streaming: The same for streaming deltas, which only literal names match.
        volatile: What does not count when a replay is compared with its recording.
        heard: Whether anybody looks at the signals of a name: a reducer, an agent, or ``end_when``.
    """

    schema: StateSchema[S]
    agents: tuple[AgentPlan[S], ...]
    reducers: PatternIndex[ReducerPlan]
    end_when: Callable[[Context[S]], bool] | None
    limits: Limits
    interactive: bool
    matching: PatternIndex[int]
    streaming: PatternIndex[int]
    volatile: VolatileRules = attrs.field(factory=VolatileRules)
    heard: Mapping[str, bool] = attrs.field(init=False, default=attrs.Factory(_Heard, takes_self=True))
    _known: dict[str, Interested[S]] = attrs.field(factory=dict[str, "Interested[S]"], init=False)

    def interested_in(self, name: str) -> Interested[S]:
        """Return who looks at the signals of a name; asking again costs one look-up."""
        known = self._known.get(name)
        if known is None:
            found = (self.streaming if name in STREAMING else self.matching).lookup(name)
            if not found or name in INERT:
                agents: tuple[AgentPlan[S], ...] = ()
            else:
                agents = tuple([self.agents[index] for index in sorted(set(found))])
            reducers = self.reducers.lookup(name) if self.reducers else ()
            known = Interested(reducers, agents) if reducers or agents else _NOBODY
            if len(self._known) >= _MOST_KNOWN:
                # Names with ids in them never come back, and a plan may serve run after run.
                self._known.clear()
            self._known[name] = known
        return known

    def reducer_patterns(self, name: str) -> list[str]:
        """Return the patterns of the reducers that take the signals of a name."""
        return [reducer.pattern for reducer in self.interested_in(name).reducers]

    def fingerprint(self) -> JSONObject:
        """Return how the agents are wired, by name, in order."""
        return {agent.name: agent.definition.fingerprint() for agent in self.agents}


def make_plan(
    *,
    schema: StateSchema[S],
    fields: Sequence[str],
    agents: Mapping[str, AgentDefinition[S]] | Sequence[AgentDefinition[S]],
    reducers: Mapping[PatternLike, Reducer] | None,
    end_when: Callable[[Context[S]], bool] | None,
    limits: Limits,
    interactive: bool,
    provider_of: Callable[[AgentDefinition[S]], Provider | None],
    volatile: Sequence[Volatile] = (),
) -> RunPlan[S]:
    """Check how everything fits together and return the plan.

    Args:
        schema: The type of the state.
        fields: The fields of the state at the beginning.
        agents: Agents by name, or agents that were named when they were defined.
        reducers: Functions by the pattern of the signals they take.
        end_when: See `RunPlan`.
        limits: See `RunPlan`.
        interactive: See `RunPlan`.
        provider_of: Tells the provider an agent will use.
        volatile: What does not count in a comparison, whichever agent it belongs to.

    Raises:
        DefinitionError: Something cannot work: a pattern that no signal of this run can match, an unknown field, a
            function that waits.
    """
    named = [AgentPlan(name, agent, provider_of(agent)) for name, agent in _named(agents)]
    if end_when is not None:
        check_synchronous(end_when, "end_when")
    matching: PatternIndex[int] = PatternIndex()
    streaming: PatternIndex[int] = PatternIndex()
    for index, agent in enumerate(named):
        if agent.definition.updates is not None and agent.definition.updates not in fields:
            raise UnknownNameError(
                "state field",
                name=agent.definition.updates,
                known=fields,
                where=f"{agent.name}.updates",
                advice=_OPEN_STATE if schema.fields is None else "",
            )
        for pattern in agent.definition.activate_on:
            _check_activates(pattern, agent.name)
            matching.add(pattern, index)
            if pattern.is_literal:
                streaming.add(pattern, index)
    reduced: PatternIndex[ReducerPlan] = PatternIndex()
    patterns = [
        (pattern, f"activate_on of agent {agent.name!r}") for agent in named for pattern in agent.definition.activate_on
    ]
    for source, function in _reducer_items(reducers):
        pattern = compile_pattern(source)
        if pattern.is_literal and pattern.text == names.HARNESS_END:
            raise DefinitionError("A reducer for 'harness:end' could never be seen: the state is final before it.")
        reduced.add(pattern, ReducerPlan(pattern.text, _three_arguments(function)))
        patterns.append((pattern, "reducers"))
    if not interactive:
        _check_reachable(patterns, _possible_names(named, fields), open_fields=schema.fields is None)
    return RunPlan(
        schema=schema,
        agents=tuple(named),
        reducers=reduced,
        end_when=end_when,
        limits=limits,
        interactive=interactive,
        matching=matching,
        streaming=streaming,
        volatile=VolatileRules(volatile, ((agent.name, agent.definition.volatile) for agent in named)),
    )


class KeptPlans(Generic[S]):
    """The last plans of a harness, for a service that runs the same agents again and again.

    A plan holds nothing of a run, so that any number of runs, also in several threads, may have one and the same; who
    looks at which signals is then known already.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[_Made, RunPlan[S]], ...] = ()

    def plan(
        self,
        *,
        schema: StateSchema[S],
        fields: Sequence[str],
        agents: Mapping[str, AgentDefinition[S]] | Sequence[AgentDefinition[S]],
        reducers: Mapping[PatternLike, Reducer] | None,
        end_when: Callable[[Context[S]], bool] | None,
        limits: Limits,
        interactive: bool,
        provider_of: Callable[[AgentDefinition[S]], Provider | None],
        volatile: Sequence[Volatile] = (),
    ) -> RunPlan[S]:
        """Do what `make_plan` does, unless that was done with the very same objects before."""
        definitions, functions = _values(agents), _values({} if reducers is None else reducers)
        # What is no agent has no provider: `make_plan` says what is wrong with it.
        providers = [provider_of(agent) for agent in definitions if isinstance(agent, AgentDefinition)]  # pyright: ignore[reportUnknownArgumentType]
        named = tuple(agents) if isinstance(agents, Mapping) else None
        made = _Made(
            values=(named, tuple(fields), limits, interactive, len(definitions), len(functions)),
            objects=(
                schema,
                *definitions,
                *providers,
                end_when,
                *(reducers if isinstance(reducers, Mapping) else ()),
                *functions,
                *volatile,
            ),
        )
        for before, plan in self._kept:
            if made.is_same(before):
                return plan
        plan = make_plan(
            schema=schema,
            fields=fields,
            agents=agents,
            reducers=reducers,
            end_when=end_when,
            limits=limits,
            interactive=interactive,
            provider_of=provider_of,
            volatile=volatile,
        )
        self._kept = ((made, plan), *self._kept[: _MOST_KEPT - 1])
        return plan


@attrs.frozen(eq=False)
class _Made:
    """What a plan was made of: values that are compared, and objects that must be the same ones."""

    values: tuple[object, ...]
    objects: tuple[object, ...]

    def is_same(self, other: _Made) -> bool:
        """Tell whether the same plan would come of both."""
        return (
            self.values == other.values
            and len(self.objects) == len(other.objects)
            and all(map(operator.is_, self.objects, other.objects))
        )


def _values(given: Mapping[Any, Any] | Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(given, Mapping):
        return tuple(given.values())
    try:
        return tuple(given)
    except TypeError:
        return ()  # It is none of both, which `make_plan` says.


def _named(
    agents: Mapping[str, AgentDefinition[S]] | Sequence[AgentDefinition[S]],
) -> list[tuple[str, AgentDefinition[S]]]:
    pairs: list[tuple[Any, Any]]
    if isinstance(agents, Mapping):
        pairs = list(agents.items())
    elif isinstance(agents, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - users are not checked
        pairs = [(getattr(agent, "name", None), agent) for agent in agents]
    else:
        raise InvalidValueError("agents", value=agents, expected="a mapping of names to agents, or a sequence of them")
    named: dict[str, AgentDefinition[S]] = {}
    for given, agent in pairs:
        if not isinstance(agent, AgentDefinition):
            raise InvalidValueError(f"agents[{given!r}]", value=agent, expected="what harness.agent returned")
        if given is None:
            raise DefinitionError(
                "An agent in a sequence needs a name: define it with the decorator, with name=, or give a mapping."
            )
        name = check_agent_name(given)
        if name in named:
            raise DefinitionError(
                f"Two agents are called {name!r}; signals could not tell them apart. Give one another name."
            )
        named[name] = agent
    return list(named.items())


def _reducer_items(reducers: Mapping[PatternLike, Reducer] | None) -> Iterable[tuple[PatternLike, Reducer]]:
    if reducers is None:
        return ()
    if not isinstance(reducers, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - users are not checked
        raise InvalidValueError("reducers", value=reducers, expected="a mapping of patterns to functions")
    return reducers.items()


def _three_arguments(function: Reducer) -> Callable[[Any, Any, Any], Any]:
    check_synchronous(function, "A reducer")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # builtins without a signature
        return lambda state, signal, _: function(state, signal)
    # A third argument with a default (``field=field``, in a loop) is the function's own.
    if _takes(signature, 2):
        return lambda state, signal, _: function(state, signal)
    if _takes(signature, 3):
        return function
    raise DefinitionError(f"A reducer takes (state, signal) or (state, signal, context), got {function!r}{signature}.")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _possible_names(agents: Iterable[AgentPlan[Any]], fields: Iterable[str]) -> set[str]:
    built_in = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    emitted = {signal for agent in agents for signal in agent.definition.emits}
    return built_in | emitted | {state_changed(field) for field in fields}


def _check_activates(pattern: Pattern, agent: str) -> None:
    """Refuse a literal name that activates nobody: the agent would wait for it in vain."""
    if pattern.is_literal and pattern.text in _ACTIVATES_NOBODY:
        raise DefinitionError(f"activate_on of agent {agent!r} names {pattern.text!r}, which activates nobody.")


def _check_reachable(patterns: Iterable[tuple[Pattern, str]], possible: set[str], *, open_fields: bool) -> None:
    for pattern, where in patterns:
        if open_fields and pattern.text.startswith("state:"):
            continue  # Fields of a plain dict may appear while the run goes on.
        reachable = pattern.text in possible if pattern.is_literal else any(map(pattern.matches, possible))
        if not reachable:
            kind = "signal" if isinstance(pattern.source, str) else "signal matching"
            raise UnknownNameError(kind, name=pattern.text, known=sorted(possible), where=where, is_own=_is_own)


def _is_own(name: str) -> bool:
    return name.partition(":")[0] not in {*RESERVED_PREFIXES, "approval"}
