"""What a run is made of, whichever way it begins: its state, its plan, its first signals and its rules of redaction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import attrs

from openharness.core.engine import Arrival, Journal, KeptPlans, Matcher, RecordedRules, RunPlan, StartOfRun, Transcript
from openharness.core.errors import DefinitionError, InvalidValueError, SerializationError, UnknownNameError
from openharness.core.harness._backends import Backends, Defaults
from openharness.core.harness._injection import check_injected, check_size, refuse_secret
from openharness.core.harness._options import NOTHING, Settings
from openharness.core.log import _names as names
from openharness.core.records import now_ms
from openharness.core.redaction import Redactor
from openharness.core.values import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openharness.core.agents import AgentDefinition
    from openharness.core.engine import AgentPlan
    from openharness.core.interfaces import Provider
    from openharness.core.records import Signal
    from openharness.core.state import StateSchema
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Preparation", "arrival_now")

S = TypeVar("S")

_NO_PLACEHOLDERS: Final = (
    "without placeholders, as whoever wrote them would decide which secret is sent. Put the secrets themselves there, or "
    'resume or fork the run that saved this state; Redaction(unknown="send") takes placeholders for plain text'
)


class Preparation(Generic[S]):
    """Makes the parts of one run of its options and those of its harness.

    Attributes:
        schema: The type of the state.
        defaults: What the harness gives to runs that do not say otherwise.
        settings: The options of the run; what is written down of them besides the log has no secrets any more.
        backends: Finds its stores and its provider.
        redactor: Keeps secrets out of its log.
        interactive: Whether it takes signals from outside until it is told to finish.

    Raises:
        SecretFoundError: The name of the run, or of its fixture, has a secret.
    """

    def __init__(
        self, schema: StateSchema[S], defaults: Defaults, settings: Settings, plans: KeptPlans[S], *, interactive: bool
    ) -> None:
        self.schema = schema
        self.defaults = defaults
        self.redactor = Redactor(defaults.redaction if settings.redaction is NOTHING else settings.redaction)
        for name in ("run_id", "fixture"):
            refuse_secret(self.redactor, name, getattr(settings, name))
        metadata = self.redactor.json(settings.metadata, mask=True)
        tags = tuple(map(self.redactor.mask, settings.tags))
        if metadata is not settings.metadata or tags != settings.tags:
            settings = attrs.evolve(settings, metadata=metadata, tags=tags)
        self.settings = settings
        self.backends = Backends(settings, defaults)
        self.interactive = interactive
        self._plans = plans

    # The state.

    def initial_state(self, first: Signal | None) -> tuple[JSONObject | None, list[str]]:
        """Return the state that was given, None in a replay without one, and the fields the run has.

        Args:
            first: The beginning of the recording that is replayed; None in a live run.
        """
        given = self.settings.state
        if given is None and first is not None:
            recorded: JSONObject = cast("dict[str, Any]", first.payload)["state"]
            self.schema.load(recorded)
            return None, list(recorded)
        if given is None:
            try:
                given = self.schema.kind()
            except TypeError:
                kind = self.schema.kind.__name__
                raise InvalidValueError("state", value=None, expected=f"given: {kind} has no default") from None
        state = self.schema.normalize(given)
        if first is None and (foreign := self.redactor.foreign(state)):
            raise InvalidValueError("state", value=foreign, expected=_NO_PLACEHOLDERS)
        redacted = self._redacted_fields(state, redact=self.redactor.arrived if first is None else self.redactor.json)
        if redacted is not state:
            try:
                # Placeholders in a set stand in another order than the secrets did.
                state = self.schema.normalize(self.schema.load(redacted))
            except SerializationError as error:
                error.add_note(
                    "A secret in the state was replaced by its placeholder, which the field does not take. Keep the "
                    "secret out of the state, or set redaction= so that it is not taken for one."
                )
                raise
        return state, list(state if self.schema.fields is None else self.schema.fields)

    def changed_fields(self, given: Any, fields: Sequence[str]) -> JSONObject:
        """Return as JSON what the options of a fork change of a state that has these fields."""
        if given is None:
            return {}
        if isinstance(given, Mapping):
            patch = cast("JSONObject", to_json(cast("Mapping[str, Any]", given), path="state"))
        else:
            patch = self.schema.normalize(given)
        for field in patch:
            if self.schema.fields is not None and field not in fields:
                raise UnknownNameError("state field", name=field, known=list(fields), where="state")
        return self._redacted_fields(patch, redact=self.redactor.arrived)

    def _redacted_fields(
        self, state: JSONObject, *, redact: Callable[[list[JSONValue]], list[JSONValue]]
    ) -> JSONObject:
        """Return a state, or a part of one, without secrets; the same object where it has none."""
        for field in state:
            refuse_secret(self.redactor, "the name of a state field", field)
        values: list[JSONValue] = list(state.values())
        redacted = redact(values)
        return state if redacted is values else dict(zip(state, redacted, strict=True))

    # The agents.

    def plan(self, fields: Sequence[str], *, provider: Provider | None) -> RunPlan[S]:
        """Return the plan of a run that calls providers, the given one for agents that have none of their own.

        Raises:
            DefinitionError: An agent has no provider, or needs what its provider cannot do.
        """
        plan = self._planned(fields, lambda agent: agent.provider or provider)
        self._refuse_secret_names(plan)
        for agent in plan.agents:
            _check_provider(agent)
        return plan

    def plan_of_replay(self, fields: Sequence[str]) -> RunPlan[S]:
        """Return the plan of a run that calls nobody."""
        return self._planned(fields, lambda _: None)

    def _refuse_secret_names(self, plan: RunPlan[S]) -> None:
        """Refuse agents and signals whose names hold a secret."""
        named = [name for agent in plan.agents for name in (agent.name, *agent.definition.emits)]
        if self.redactor.is_clear("\n".join(named)):
            return  # As nearly always; one look at all of them tells.
        for agent in plan.agents:
            refuse_secret(self.redactor, "the name of an agent", agent.name)
            for name in agent.definition.emits:
                refuse_secret(self.redactor, "the name of a signal", name)

    def _planned(
        self, fields: Sequence[str], provider_of: Callable[[AgentDefinition[S]], Provider | None]
    ) -> RunPlan[S]:
        settings = self.settings
        return self._plans.plan(
            schema=self.schema,
            fields=fields,
            agents=settings.agents,
            reducers=settings.reducers,
            end_when=settings.end_when,
            limits=settings.limits,
            interactive=self.interactive,
            provider_of=provider_of,
            volatile=(*self.defaults.volatile, *settings.volatile),
        )

    # What arrives first.

    def start(
        self, state: JSONObject | None, plan: RunPlan[S], *, seed: int, recorded: Signal | None = None
    ) -> StartOfRun:
        """Return what ``harness:start`` says of the run.

        Args:
            state: The initial state; None for the recorded one.
            plan: The plan of the run.
            seed: Its seed.
            recorded: The beginning of the recording that is replayed; None in a live run.
        """
        settings = self.settings
        return StartOfRun(
            state=state,
            input=self._input(recorded),
            has_input=settings.has_input,
            seed=seed,
            agents=plan.fingerprint(),
            interactive=self.interactive,
            redacted=self.redactor.active,
        )

    def _input(self, recorded: Signal | None) -> JSONValue:
        """Return the input without secrets, and without the power to name one: it may hold what a user wrote."""
        given = self.settings.input_json
        if recorded is not None:
            plain = self.redactor.json(given)
            # Older recordings have placeholders that came with the input.
            if plain == cast("dict[str, Any]", recorded.payload).get("input"):
                return plain
        return self.redactor.arrived(given)

    def going_on(self, name: str, payload: JSONObject, journal: Journal, *, max_bytes: int) -> Iterator[Arrival]:
        """Yield what lets a run go on: what tells of it, and the signals it was given, for no more can come.

        Raises:
            PatternError: The name of one is not well formed.
            DefinitionError: It belongs to the harness.
            InvalidValueError: It holds a secret.
            SerializationError: A payload cannot be stored, or its JSON is longer than ``max_bytes``.
        """
        given = self.settings.signals
        yield arrival_now(name, {**payload, "signals": len(given)} if given else payload)
        for injected, value in given:
            name = check_injected(injected)
            refuse_secret(self.redactor, "the name of a signal", name)
            plain = to_json(value, path="payload")
            check_size(self.redactor, plain, max_bytes=max_bytes)
            yield arrival_now(name, plain)
        if self.interactive and not journal.fold.finished:
            # A run that was started waits for this, live and in every replay.
            yield arrival_now(names.HARNESS_FINISHED, None)

    # Redaction.

    def own_rules(self, journal: Journal) -> None:
        """Redact by the rules of this run."""
        self.redactor.placed, self.redactor.counts = RecordedRules(journal).highest, None

    def repeat_rules(self, journal: Journal, recorded: Transcript | Matcher) -> None:
        """Redact by those rules that were at work when the run was recorded."""
        rules = RecordedRules(journal, recorded.upcoming)
        recorded.mask = partial(self.redactor.json, mask=True)
        self.redactor.placed, self.redactor.counts = rules.highest, rules.counted


def arrival_now(name: str, payload: JSONValue) -> Arrival:
    """Return a signal that arrives at this moment."""
    return Arrival(name=name, payload=payload, timestamp=now_ms())


def _check_provider(agent: AgentPlan[Any]) -> None:
    """Refuse an agent that its provider cannot serve."""
    provider, definition = agent.provider, agent.definition
    if provider is None:
        raise DefinitionError(
            f"Agent {agent.name!r} has no provider. Give it one (provider=), give one to the run or to "
            "create_harness, or set OPENHARNESS_PROVIDER."
        )
    able, kind = provider.capabilities, provider.type
    if definition.system is not None and not able.system:
        raise DefinitionError(f"Agent {agent.name!r} has a system prompt; {kind} takes none.")
    if definition.tools and not able.tools:
        raise DefinitionError(f"Agent {agent.name!r} has tools; {kind} cannot offer them to a model.")
    if definition.output is not None and not able.output_schema:
        raise DefinitionError(f"Agent {agent.name!r} has an output type; {kind} has no structured output.")
