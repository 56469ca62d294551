"""One run from its options to its result: its stores, its mode, its beginning and its end."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from openharness.core.engine import (
    Arrival,
    ArrivalQueue,
    Calls,
    Journal,
    NoRecorder,
    NotStoppedError,
    Outcome,
    Recorder,
    RunPlan,
    StartOfRun,
    Stepper,
    StoreRecorder,
    Transcript,
    described,
    make_plan,
    run_live,
    run_replay,
    supervise,
)
from openharness.core.errors import (
    DefinitionError,
    FixtureNotFoundError,
    HarnessTimeoutError,
    InvalidValueError,
    RecorderError,
    RecordingEndedError,
    RecordingNotFoundError,
    RunError,
    RunSaveError,
)
from openharness.core.harness._backends import Backends, Defaults, needed
from openharness.core.harness._options import Settings, read_mode
from openharness.core.harness._result import RunMetrics, RunResult
from openharness.core.harness._subscriptions import RunListeners
from openharness.core.log import _names as names
from openharness.core.records import RunRecord, RunStatus, new_id, now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from openharness.core.agents import AgentDefinition
    from openharness.core.harness._subscriptions import StreamBuffer, Subscription
    from openharness.core.interfaces import Provider, RunStore, SignalStore
    from openharness.core.records import Signal
    from openharness.core.state import StateSchema
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Runner",)

S = TypeVar("S")

_PATIENCE: Final = 0.8

_log = logging.getLogger("openharness")


class Runner(Generic[S]):
    """Runs once.

    Attributes:
        run_id: The run.
        queue: Where signals from outside are put.
        transcript: The recording that is replayed, once it is found; None in a live run.
        recording_id: The recording that is written or replayed; None where there is none.
        decided: Set once it is clear whether the run is a replay.
    """

    def __init__(
        self,
        schema: StateSchema[S],
        defaults: Defaults,
        settings: Settings,
        *,
        subscriptions: Sequence[Subscription] = (),
        stream: StreamBuffer | None = None,
        interactive: bool = False,
    ) -> None:
        self._schema = schema
        self._defaults = defaults
        self._settings = settings
        self._interactive = interactive
        self._backends = Backends(settings, defaults)
        self.run_id = settings.run_id or new_id("run")
        self.queue = ArrivalQueue()
        self.transcript: Transcript | None = None
        self.recording_id: str | None = None
        self.decided = asyncio.Event()
        self._provider: Provider | None = None
        self._listeners = RunListeners(subscriptions, self._subscriber_failed, stream)

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
        mode = read_mode(settings.mode, self._defaults.mode)
        store = await self._backends.signal_store()
        if settings.recording is not None:
            return await self._replay(needed(store, "recording"), settings.recording)
        if mode in ("replay", "auto"):
            if settings.fixture is None:
                raise InvalidValueError("fixture", value=None, expected=f"given with mode={mode!r}")
            found = await needed(store, f"mode={mode!r}").find_recording(settings.fixture)
            if found is not None:
                return await self._replay(needed(store, "mode"), found.id)
            if mode == "replay":
                existing = await needed(store, "mode").list_fixtures()
                raise FixtureNotFoundError(settings.fixture, existing=existing)
            mode = "record"
        if mode == "record":
            needed(store, "mode='record'")
            if settings.fixture is None:
                raise InvalidValueError("fixture", value=None, expected="given with mode='record'")
        return await self._live(store, settings.fixture if mode == "record" else None)

    # Replaying.

    async def _replay(self, store: SignalStore, recording_id: str) -> RunResult[S]:
        settings = self._settings
        signals = store.iter_signals(recording_id)
        self.recording_id = recording_id
        try:
            transcript = Transcript(recording_id, signals)
            try:
                first = await transcript.open()
            except RecordingNotFoundError:
                existing = [info.id for info in await store.list_recordings()]
                raise FixtureNotFoundError(recording_id, existing=existing) from None
            self.transcript = transcript
            self.decided.set()
            if first is None:
                raise RecordingEndedError(recording_id, seq=0, state=None)  # noqa: TRY301 - to be closed below
            state, fields = self._initial_state(first)
            plan = self._plan(fields, replay=True)
            journal = Journal(first.id.removesuffix(f"/{first.seq}"), check=transcript.check)
            start = self._start(state, plan, seed=0)
            outcome = await run_replay(
                stepper=Stepper(plan, journal),
                journal=journal,
                transcript=transcript,
                start=start,
                listeners=self._listeners,
                recording_id=recording_id,
            )
        except RecordingEndedError as error:
            if error.state is not None:
                error.state = self._schema.load(cast("JSONObject", error.state))
            raise
        finally:
            if self.transcript is not None:
                self.transcript.close()
            await _close(signals)
            self._listeners.release()
            await self._listeners.close(settings.shutdown_timeout)
        result = self._result(journal, outcome, replayed=True)
        failure = await self._save_end(await self._backends.run_store_of_replay(), journal, outcome)
        return self._finish(outcome, result, failure)

    # Running.

    async def _live(self, store: SignalStore | None, fixture: str | None) -> RunResult[S]:
        settings = self._settings
        state, fields = self._initial_state(None)
        self._provider = await self._backends.provider()
        plan = self._plan(fields, replay=False)
        seed = random.SystemRandom().getrandbits(63) if settings.seed is None else settings.seed
        start = self._start(state, plan, seed=seed)
        run_store = await self._backends.run_store()
        # First of all things in the queue, so that a run which is cancelled at once still has a beginning.
        self.queue.put(Arrival(name=names.HARNESS_START, payload=start.payload(), timestamp=now_ms()))
        self.decided.set()
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[None] = loop.create_future()

        def stop(name: str, payload: JSONValue) -> None:
            self.queue.put(Arrival(name=name, payload=payload, timestamp=now_ms()))
            self._listeners.release()
            if not stopped.done():
                stopped.set_result(None)

        timer = None
        if settings.timeout is not None:
            limit: JSONObject = {"timeout": settings.timeout}
            timer = loop.call_later(settings.timeout, lambda: stop(names.HARNESS_TIMEOUT, limit))
        try:
            return await supervise(
                self._body(plan, store, run_store, fixture),
                stopped=stopped,
                on_cancel=lambda: stop(names.HARNESS_CANCELLED, None),
                shutdown_timeout=settings.shutdown_timeout,
            )
        except RunError:
            raise
        except NotStoppedError as error:
            failure = HarnessTimeoutError(timeout=settings.timeout)
            failure.run_id, failure.recording_id = self.run_id, self.recording_id
            failure.add_note(f"Besides, {error}: a store, a provider or a subscriber did not answer.")
            raise failure from error
        finally:
            if timer is not None:
                timer.cancel()
            if not stopped.done():
                stopped.cancel()
            self.queue.close()

    async def _body(
        self, plan: RunPlan[S], store: SignalStore | None, run_store: RunStore | None, fixture: str | None
    ) -> RunResult[S]:
        settings = self._settings
        journal = Journal(self.run_id)
        if store is not None:
            try:
                self.recording_id = await store.create_recording(
                    run_id=self.run_id, name=fixture, tags=settings.tags, metadata=settings.metadata
                )
            except Exception as error:
                raise RecorderError(f"The signal store could not begin a recording: {error}") from error
        if run_store is not None:
            await self._save_beginning(run_store, store)
        recorder = (
            NoRecorder() if store is None or self.recording_id is None else StoreRecorder(store, self.recording_id)
        )
        calls = Calls(self.run_id, self.queue, now_ms)
        # What waits for strangers' code leaves a part of the time to the stores.
        patience = _PATIENCE * settings.shutdown_timeout
        try:
            try:
                outcome = await run_live(
                    stepper=Stepper(plan, journal),
                    journal=journal,
                    queue=self.queue,
                    calls=calls,
                    recorder=recorder,
                    listeners=self._listeners,
                )
            except RecorderError as error:
                outcome = Outcome(RunStatus.FAILED, error)
            finally:
                self.queue.close()
                calls.cancel()
            # First of all the stores: a provider that does not stop must not cost the end of the recording.
            result = self._result(journal, outcome, replayed=False)
            failure = await self._finalize(recorder, store, fixture, outcome, result.metrics.duration_ms)
            failure = await self._save_end(run_store, journal, outcome) or failure
        finally:
            await calls.stop(patience)
        await self._listeners.close(patience)
        return self._finish(outcome, result, failure)

    async def _finalize(
        self, recorder: Recorder, store: SignalStore | None, fixture: str | None, outcome: Outcome, duration_ms: int
    ) -> RunError | None:
        try:
            await recorder.finalize(outcome.status, duration_ms)
            if fixture is not None and store is not None and outcome.status is RunStatus.COMPLETED:
                await store.publish(cast("str", self.recording_id), fixture)
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the run record is still to be saved
            failure = RecorderError(
                f"The run ended as {outcome.status}, but its recording could not be closed: {error}"
            )
            failure.__cause__ = error
            return failure
        return None

    async def _save_end(self, run_store: RunStore | None, journal: Journal, outcome: Outcome) -> RunError | None:
        if run_store is None:
            return None
        try:
            await run_store.save_run(self._record(journal, outcome))
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the result must not be lost
            failure = RunSaveError(f"The run ended as {outcome.status}, but its record could not be saved: {error}")
            failure.__cause__ = error
            return failure
        return None

    async def _save_beginning(self, run_store: RunStore, store: SignalStore | None) -> None:
        state, _ = self._initial_state(None)
        running = RunRecord(
            self.run_id,
            created_at=now_ms(),
            state=state,
            metadata=self._settings.metadata,
            recording_id=self.recording_id,
        )
        try:
            await run_store.save_run(running)
        except BaseException as error:
            if store is not None and self.recording_id is not None:
                try:
                    await store.delete_recording(self.recording_id)
                except Exception as other:  # noqa: BLE001 - it must not hide why there is no run
                    error.add_note(f"Besides, the empty recording {self.recording_id!r} could not be deleted: {other}")
            raise

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
        return state, list(state if self._schema.fields is None else self._schema.fields)

    def _plan(self, fields: Sequence[str], *, replay: bool) -> RunPlan[S]:
        settings = self._settings

        def provider_of(agent: AgentDefinition[S]) -> Provider | None:
            return None if replay else agent.provider or self._provider

        plan = make_plan(
            schema=self._schema,
            fields=fields,
            agents=settings.agents,
            reducers=settings.reducers,
            end_when=settings.end_when,
            limits=settings.limits,
            interactive=self._interactive,
            provider_of=provider_of,
        )
        if not replay:
            for agent in plan.agents:
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
        return plan

    def _start(self, state: JSONObject | None, plan: RunPlan[S], *, seed: int) -> StartOfRun:
        settings = self._settings
        return StartOfRun(
            state=state,
            input=settings.input_json,
            has_input=settings.has_input,
            seed=seed,
            agents=plan.fingerprint(),
        )

    def _result(self, journal: Journal, outcome: Outcome, *, replayed: bool) -> RunResult[S]:
        fold = journal.fold
        return RunResult(
            state=self._schema.load(fold.state),
            signals=tuple(journal.signals),
            metrics=RunMetrics.of(fold),
            run_id=self.run_id,
            recording_id=self.recording_id,
            status=outcome.status,
            terminated_early=fold.ending,
            replayed=replayed,
        )

    def _record(self, journal: Journal, outcome: Outcome) -> RunRecord:
        fold = journal.fold
        return RunRecord(
            self.run_id,
            created_at=fold.last_at if fold.started_at is None else fold.started_at,
            completed_at=fold.last_at,
            state=fold.state,
            metadata=self._settings.metadata,
            status=outcome.status,
            error=None if outcome.error is None else str(outcome.error),
            recording_id=self.recording_id,
        )

    def _finish(self, outcome: Outcome, result: RunResult[S], failure: RunError | None) -> RunResult[S]:
        """Return the result, or raise what ended the run, else what went wrong at its end."""
        error = outcome.error or failure
        if error is None:
            return result
        if failure is not None and failure is not error:
            error.add_note(f"Besides: {failure}")
        error.run_id, error.recording_id, error.result = result.run_id, result.recording_id, result
        raise error

    def _subscriber_failed(self, signal: Signal, error: BaseException) -> None:
        _log.warning("A subscriber failed at %s of run %s", signal.name, self.run_id, exc_info=error)
        # One that fails at the news of its own failure would go on for ever.
        if self.transcript is None and signal.name != names.SUBSCRIBER_ERROR:
            payload: JSONObject = {"signal": signal.id, "message": described(error)}
            self.queue.put(Arrival(name=names.SUBSCRIBER_ERROR, payload=payload, timestamp=now_ms()))


async def _close(signals: AsyncIterator[Signal]) -> None:
    close = getattr(signals, "aclose", None)
    if close is not None:
        await close()
