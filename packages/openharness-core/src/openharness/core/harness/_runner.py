"""One run from its options on: which stores, which mode, and where it begins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs

from openharness.core.engine import (
    Arrival,
    ArrivalQueue,
    Journal,
    KeptPlans,
    Matcher,
    RecordedRules,
    RecordedRun,
    RunPlan,
    StartOfRun,
    Stepper,
    Transcript,
    arrival_of,
    catch_up,
    described,
    log_failure,
)
from openharness.core.errors import (
    DefinitionError,
    FixtureNotFoundError,
    InvalidValueError,
    RecordingEndedError,
    RecordingNotFoundError,
    ReplayDriftError,
    SerializationError,
    UnknownNameError,
)
from openharness.core.harness._backends import Backends, Defaults, needed
from openharness.core.harness._continuation import Resumption, find_fork, find_resumption, folded, was_interactive
from openharness.core.harness._ending import end_run, make_record, make_result, save_end
from openharness.core.harness._explaining import explain
from openharness.core.harness._injection import check_injected, refuse_secret
from openharness.core.harness._live import Beginning, LiveRun
from openharness.core.harness._options import NOTHING
from openharness.core.harness._replaying import Replay
from openharness.core.harness._subscriptions import RunListeners
from openharness.core.log import _names as names
from openharness.core.log import is_arrival
from openharness.core.records import new_id, now_ms
from openharness.core.redaction import Redactor
from openharness.core.values import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from openharness.core.agents import AgentDefinition
    from openharness.core.harness._options import Settings
    from openharness.core.harness._result import RunResult
    from openharness.core.harness._subscriptions import StreamBuffer, Subscription
    from openharness.core.interfaces import Provider, SignalStore
    from openharness.core.records import Signal
    from openharness.core.state import StateSchema
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Runner",)

S = TypeVar("S")


class Runner(Generic[S]):
    """Runs once.

    Attributes:
        run_id: The run.
        queue: Where signals from outside are put.
        transcript: The recording that is replayed, once it is found; None in a live run.
        recording_id: The recording that is written or replayed; None where there is none.
        redactor: Keeps secrets out of its log.
        listeners: Who is told of its signals.
        decided: Set once it is clear whether the run is a replay.
    """

    def __init__(
        self,
        schema: StateSchema[S],
        defaults: Defaults,
        settings: Settings,
        *,
        plans: KeptPlans[S],
        subscriptions: Sequence[Subscription] = (),
        stream: StreamBuffer | None = None,
        interactive: bool = False,
    ) -> None:
        self._schema = schema
        self._defaults = defaults
        self._plans = plans
        wanted = defaults.redaction if settings.redaction is NOTHING else settings.redaction
        self.redactor = Redactor(wanted)
        for name in ("run_id", "fixture"):
            refuse_secret(self.redactor, name, getattr(settings, name))
        # Both are written down besides the log.
        metadata = self.redactor.json(settings.metadata, mask=True)
        tags = tuple(map(self.redactor.mask, settings.tags))
        if metadata is not settings.metadata or tags != settings.tags:
            settings = attrs.evolve(settings, metadata=metadata, tags=tags)
        self._settings = settings
        self._interactive = interactive
        self._backends = Backends(settings, defaults)
        self.run_id = settings.run_id or new_id("run")
        self.queue = ArrivalQueue()
        self.transcript: RecordedRun | None = None
        self.recording_id: str | None = None
        self.decided = asyncio.Event()
        self._provider: Provider | None = None
        self.listeners = RunListeners(subscriptions, self._subscriber_failed, stream, remembers=interactive)

    async def run(self) -> RunResult[S]:
        """Run to the end and return the result; raises as `Harness.run_reactive` does."""
        try:
            async with self._backends:
                return await self._run()
        finally:
            # Also for a run that never began: nobody waits for what will not come.
            self.queue.close()
            self.decided.set()

    async def _run(self) -> RunResult[S]:
        settings = self._settings
        mode = settings.mode_of(self._defaults.mode)
        store = await self._backends.signal_store()
        if settings.recording is not None:
            return await self._replay(needed(store, "recording"), settings.recording)
        if mode in ("replay", "auto") and settings.fixture is not None:
            found = await needed(store, f"mode={mode!r}").find_recording(settings.fixture)
            if found is not None:
                return await self._replay(needed(store, "mode"), found.id)
            if mode == "replay":
                existing = await needed(store, "mode").list_fixtures()
                raise FixtureNotFoundError(settings.fixture, existing=existing)
            mode = "record"
        if mode == "record":
            needed(store, "mode='record'")
        return await self._live(store, settings.fixture if mode == "record" else None)

    # Replaying.

    async def _replay(self, store: SignalStore, recording_id: str) -> RunResult[S]:
        settings = self._settings
        drift = settings.drift or self._defaults.drift or "error"
        signals = store.iter_signals(recording_id)
        self.recording_id = recording_id
        try:
            recorded, first = await self._open(store, recording_id, signals, whole=drift != "error")
            self.transcript = recorded
            self.decided.set()
            if first is None:
                raise RecordingEndedError(recording_id, seq=0, state=None)  # noqa: TRY301 - to be closed below
            journal = Journal(first.id.removesuffix(f"/{first.seq}"), check=recorded.check)
            self._repeat_rules(journal, recorded)
            state, fields = self._initial_state(first)
            # What came from outside stands in the recording, so that also `run_reactive` can replay it.
            self._interactive = self._interactive or was_interactive(first)
            plan = self._plan(fields, replay=True)
            journal.substitutes = bool(plan.volatile)
            recorded.follow(journal.signals, plan)
            replay = Replay(
                stepper=Stepper(plan, journal, self.redactor),
                journal=journal,
                start=self._start(state, plan, seed=0),
                listeners=self.listeners,
                plan=plan,
                store=store,
                fixture=settings.fixture,
            )
            outcome, reports = await replay.run(recorded, reporting=drift == "warn")
        except RecordingEndedError as error:
            if error.state is not None:
                error.state = self._schema.load(cast("JSONObject", error.state))
            raise
        finally:
            if self.transcript is not None:
                self.transcript.close()
            await _close(signals)
            self.listeners.release()
            await self.listeners.close(settings.shutdown_timeout)
        identity = {"run_id": self.run_id, "recording_id": recording_id}
        result = make_result(self._schema, journal, outcome, **identity, replayed=True, drift=reports)
        record = make_record(journal, outcome, **identity, metadata=settings.metadata, redactor=self.redactor)
        failure = await save_end(await self._backends.run_store_of_replay(), record)
        return end_run(outcome, result, failure)

    async def _open(
        self, store: SignalStore, recording_id: str, signals: AsyncIterator[Signal], *, whole: bool
    ) -> tuple[Transcript | Matcher, Signal | None]:
        """Return a recording to be replayed, and its first signal: read step by step, or as a whole."""
        try:
            if whole:
                known = [signal async for signal in signals]
                return Matcher(recording_id, known), known[0] if known else None
            transcript = Transcript(recording_id, signals)
            return transcript, await transcript.open()
        except RecordingNotFoundError:
            existing = [info.id for info in await store.list_recordings()]
            raise FixtureNotFoundError(recording_id, existing=existing) from None

    # Running.

    async def _live(self, store: SignalStore | None, fixture: str | None) -> RunResult[S]:
        settings = self._settings
        journal = Journal(self.run_id)
        self._own_rules(journal)
        state, fields = self._initial_state(None)
        self._provider = await self._backends.provider()
        plan = self._plan(fields, replay=False)
        seed = random.SystemRandom().getrandbits(63) if settings.seed is None else settings.seed
        start = self._start(state, plan, seed=seed)
        # First of all things in the queue, so that a run which is cancelled at once still has a beginning.
        self._put(names.HARNESS_START, start.payload())
        return await self._drive(
            Beginning(
                schema=self._schema,
                stepper=Stepper(plan, journal, self.redactor),
                journal=journal,
                state=state or {},
                redactor=self.redactor,
                metadata=settings.metadata,
                store=store,
                run_store=await self._backends.run_store(),
                fixture=fixture,
                name=fixture,
            )
        )

    async def resume(self, recording_id: str) -> RunResult[S]:
        """Go on with a run where its recording ends; see `Harness.resume`."""
        async with self._backends:
            store = needed(await self._backends.signal_store(), "resume")
            point = await find_resumption(store, recording_id)
            self.run_id = point.run_id
            self._interactive = point.interactive
            self._provider = await self._backends.provider()
            settings = self._settings
            journal = Journal(self.run_id)
            self._own_rules(journal)
            fold = settings.rebuild == "fold"
            plan = self._plan(point.fields, replay=False)
            if fold:
                kept = [signal async for signal in store.iter_signals(recording_id, stop=point.step)]
                stepper, prefix = self._fold(kept, plan, journal, torn=point.torn)
                recorded = len(kept)
            else:
                stepper = await self._catch_up(store, recording_id, point, plan, journal)
                prefix = tuple(journal.signals[: point.stop])
                recorded = len(journal.durable)
            # Where the caught-up part has ended the run there is nothing to go on with.
            if stepper.ended:
                if settings.signals:
                    raise InvalidValueError(
                        "signals",
                        value=[name for name, _ in settings.signals],
                        expected="left out: the run ends with what is recorded, so that no signal can reach it",
                    )
            else:
                payload: JSONObject = {"resumed_from": recording_id, "recorded": recorded}
                if point.carried_out < recorded:
                    payload["carried_out"] = point.carried_out
                self._go_on(names.HARNESS_RESUMED, payload, journal)
            same = point.writable and not fold
            run_store = await self._backends.run_store()
            known = None if run_store is None else await run_store.get_run(self.run_id)
            metadata = settings.metadata or (None if known is None else cast("JSONObject | None", known.metadata))
            return await self._drive(
                Beginning(
                    schema=self._schema,
                    stepper=stepper,
                    journal=journal,
                    state=journal.fold.state,
                    redactor=self.redactor,
                    created_at=journal.fold.started_at,
                    metadata=metadata,
                    parent_run_id=None if known is None else known.parent_run_id,
                    store=store,
                    run_store=run_store,
                    fixture=point.info.name,
                    name=point.info.name,
                    recording_id=recording_id if same else None,
                    resumed_from=None if same else recording_id,
                    prefix=() if same else prefix,
                )
            )

    def _fold(
        self, recorded: list[Signal], plan: RunPlan[S], journal: Journal, *, torn: bool
    ) -> tuple[Stepper[S], tuple[Signal, ...]]:
        """Take a log as it is, but for a last step that may be torn: what that should have caused is caused now."""
        last = max((signal.seq for signal in recorded if is_arrival(signal)), default=0) if torn else len(recorded)
        prefix = folded(recorded[:last]) if last else ()
        journal.adopt(prefix)
        stepper = Stepper(plan, journal, self.redactor)
        stepper.adopt()
        if torn:
            arrival = arrival_of(recorded[last])
            if last == 0:
                start = self._start(None, plan, seed=0)
                arrival = attrs.evolve(arrival, payload=start.payload(cast("dict[str, Any]", arrival.payload)))
            # What it is to start is started when the run resumes.
            stepper.take(arrival)
        return stepper, prefix

    async def _catch_up(
        self, store: SignalStore, recording_id: str, point: Resumption, plan: RunPlan[S], journal: Journal
    ) -> Stepper[S]:
        signals = store.iter_signals(recording_id, stop=point.stop)
        transcript = Transcript(recording_id, signals, continues=True)
        journal.check = transcript.check
        self._repeat_rules(journal, transcript)
        stepper = Stepper(plan, journal, self.redactor)
        transcript.follow(journal.signals, plan)
        journal.substitutes = bool(plan.volatile)
        try:
            await transcript.open()
            await catch_up(
                stepper=stepper,
                journal=journal,
                transcript=transcript,
                start=self._start(None, plan, seed=0),
                listeners=RunListeners((), _nobody),
            )
        except ReplayDriftError as error:
            rest = await transcript.rest()
            await explain(
                error,
                store=store,
                start=transcript.start,
                rest=rest,
                journal=journal,
                plan=plan,
                fixture=point.info.name,
                mask=transcript.mask,
            )
            raise
        finally:
            await _close(signals)
        journal.check, journal.substitutes = None, False
        if transcript.renumbered:
            self.redactor.forget()
        self._own_rules(journal)
        return stepper

    async def fork(self, recording_id: str) -> RunResult[S]:
        """Begin a new run that shares the beginning of a recorded one; see `Harness.fork`."""
        async with self._backends:
            settings = self._settings
            store = needed(await self._backends.signal_store(), "fork")
            point = await find_fork(store, recording_id, settings.at)
            self._interactive = point.interactive
            self._provider = await self._backends.provider()
            plan = self._plan(point.fields, replay=False)
            recorded = [signal async for signal in store.iter_signals(recording_id, stop=point.stop)]
            prefix = folded(recorded, run_id=self.run_id, parent=point.run_id)
            journal = Journal(self.run_id)
            journal.adopt(prefix)
            self._own_rules(journal)
            stepper = Stepper(plan, journal, self.redactor)
            stepper.adopt()
            payload: JSONObject = {
                "run_id": point.run_id,
                "recording_id": recording_id,
                "at": point.stop - 1,
                "state": self._patch(settings.state, point.fields),
            }
            self._go_on(names.HARNESS_FORKED, payload, journal)
            return await self._drive(
                Beginning(
                    schema=self._schema,
                    stepper=stepper,
                    journal=journal,
                    state=journal.fold.state,
                    redactor=self.redactor,
                    metadata=settings.metadata,
                    parent_run_id=point.run_id,
                    store=store,
                    run_store=await self._backends.run_store(),
                    prefix=prefix,
                )
            )

    def _go_on(self, name: str, payload: JSONObject, journal: Journal) -> None:
        """Let a run go on: with what tells of it, and with the signals it was given, for no more can come."""
        given = self._settings.signals
        self._put(name, {**payload, "signals": len(given)} if given else payload)
        for injected, value in given:
            refuse_secret(self.redactor, "the name of a signal", check_injected(injected))
            self._put(injected, to_json(value, path="payload"))
        if self._interactive and not journal.fold.finished:
            # A run that was started waits for this, live and in every replay.
            self._put(names.HARNESS_FINISHED, None)

    def _patch(self, given: Any, fields: Sequence[str]) -> JSONObject:
        """The fields a fork changes, as JSON."""
        if given is None:
            return {}
        if isinstance(given, Mapping):
            patch = cast("JSONObject", to_json(cast("Mapping[str, Any]", given), path="state"))
        else:
            patch = self._schema.normalize(given)
        for field in patch:
            if self._schema.fields is not None and field not in fields:
                raise UnknownNameError("state field", name=field, known=list(fields), where="state")
        return self._redacted_fields(patch)

    async def _drive(self, beginning: Beginning[S]) -> RunResult[S]:
        self.decided.set()
        run = LiveRun(beginning, self._settings, run_id=self.run_id, queue=self.queue, listeners=self.listeners)
        return await run.run()

    def _put(self, name: str, payload: JSONValue) -> None:
        self.queue.put(Arrival(name=name, payload=payload, timestamp=now_ms()))

    # The parts of a run.

    def _initial_state(self, first: Signal | None) -> tuple[JSONObject | None, list[str]]:
        """Return the initial state that was given (None in a replay without one), and the fields it has."""
        given = self._settings.state
        if given is None and first is not None:
            recorded: JSONObject = cast("dict[str, Any]", first.payload)["state"]
            self._schema.load(recorded)
            return None, list(recorded)
        if given is None:
            try:
                given = self._schema.kind()
            except TypeError:
                kind = self._schema.kind.__name__
                raise InvalidValueError("state", value=None, expected=f"given: {kind} has no default") from None
        state = self._schema.normalize(given)
        redacted = self._redacted_fields(state)
        if redacted is not state:
            try:
                # Placeholders in a set stand in another order than the secrets did.
                state = self._schema.normalize(self._schema.load(redacted))
            except SerializationError as error:
                error.add_note(
                    "A secret in the state was replaced by its placeholder, which the field does not take. Keep the "
                    "secret out of the state, or set redaction= so that it is not taken for one."
                )
                raise
        return state, list(state if self._schema.fields is None else self._schema.fields)

    def _redacted_fields(self, state: JSONObject) -> JSONObject:
        """Return a state, or a part of one, without secrets; the same object where it has none."""
        for field in state:
            refuse_secret(self.redactor, "the name of a state field", field)
        values: list[JSONValue] = list(state.values())
        redacted = self.redactor.json(values)
        return state if redacted is values else dict(zip(state, redacted, strict=True))

    def _own_rules(self, journal: Journal) -> None:
        """Redact by the rules of this run."""
        self.redactor.placed, self.redactor.counts = RecordedRules(journal).highest, None

    def _repeat_rules(self, journal: Journal, recorded: Transcript | Matcher) -> None:
        """Redact by those rules that were at work when the run was recorded."""
        rules = RecordedRules(journal, recorded.upcoming)
        recorded.mask = partial(self.redactor.json, mask=True)
        self.redactor.placed, self.redactor.counts = rules.highest, rules.counted

    def _plan(self, fields: Sequence[str], *, replay: bool) -> RunPlan[S]:
        settings = self._settings

        def provider_of(agent: AgentDefinition[S]) -> Provider | None:
            return None if replay else agent.provider or self._provider

        plan = self._plans.plan(
            schema=self._schema,
            fields=fields,
            agents=settings.agents,
            reducers=settings.reducers,
            end_when=settings.end_when,
            limits=settings.limits,
            interactive=self._interactive,
            provider_of=provider_of,
            volatile=(*self._defaults.volatile, *settings.volatile),
        )
        if not replay:
            for agent in plan.agents:
                refuse_secret(self.redactor, "the name of an agent", agent.name)
                for name in agent.definition.emits:
                    refuse_secret(self.redactor, "the name of a signal", name)
                if agent.provider is None:
                    raise DefinitionError(
                        f"Agent {agent.name!r} has no provider. Give it one (provider=), give one to the run or to "
                        "create_harness, or set OPENHARNESS_PROVIDER."
                    )
                capabilities = agent.provider.capabilities
                if agent.definition.system is not None and not capabilities.system:
                    raise DefinitionError(
                        f"Agent {agent.name!r} has a system prompt; {agent.provider.type} takes none."
                    )
                if agent.definition.tools and not capabilities.tools:
                    raise DefinitionError(
                        f"Agent {agent.name!r} has tools; {agent.provider.type} cannot offer them to a model."
                    )
                if agent.definition.output is not None and not capabilities.output_schema:
                    raise DefinitionError(
                        f"Agent {agent.name!r} has an output type; {agent.provider.type} has no structured output."
                    )
        return plan

    def _start(self, state: JSONObject | None, plan: RunPlan[S], *, seed: int) -> StartOfRun:
        settings = self._settings
        return StartOfRun(
            state=state,
            input=self.redactor.json(settings.input_json),
            has_input=settings.has_input,
            seed=seed,
            agents=plan.fingerprint(),
            interactive=self._interactive,
            redacted=self.redactor.active,
        )

    def _subscriber_failed(self, signal: Signal, error: BaseException) -> None:
        told = "A subscriber failed at %s of run %s"
        log_failure(self.redactor, told, signal.name, self.run_id, error=error)
        # One that fails at the news of its own failure would go on for ever.
        if self.transcript is None and signal.name != names.SUBSCRIBER_ERROR:
            payload: JSONObject = {"signal": signal.id, "message": described(error)}
            self.queue.put(Arrival(name=names.SUBSCRIBER_ERROR, payload=payload, timestamp=now_ms()))


async def _close(signals: AsyncIterator[Signal]) -> None:
    close = getattr(signals, "aclose", None)
    if close is not None:
        await close()


def _nobody(signal: Signal, error: BaseException) -> None:
    """Nobody listens to the part of a run that was there before."""
    del signal, error
