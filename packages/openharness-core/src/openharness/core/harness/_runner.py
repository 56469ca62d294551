"""One run from its options on: which mode, where it begins, and who drives it to its end."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from openharness.core.engine import (
    ArrivalQueue,
    Journal,
    KeptPlans,
    Matcher,
    RecordedRun,
    Stepper,
    Transcript,
    described,
    log_failure,
)
from openharness.core.errors import (
    FixtureNotFoundError,
    HarnessTimeoutError,
    RecordingEndedError,
    RecordingNotFoundError,
    ReplayError,
    SerializationError,
    StoreError,
)
from openharness.core.harness._backends import Defaults, needed
from openharness.core.harness._beginning import Beginning, begin_new
from openharness.core.harness._continuation import no_recording, was_interactive
from openharness.core.harness._ending import end_run, make_record, make_result, save_end
from openharness.core.harness._explaining import unreadable_state
from openharness.core.harness._forking import begin_forked
from openharness.core.harness._live import LiveRun
from openharness.core.harness._preparation import Preparation, arrival_now
from openharness.core.harness._replaying import Replay, close_signals
from openharness.core.harness._resuming import begin_resumed
from openharness.core.harness._shutdown import GRACE
from openharness.core.harness._subscriptions import RunListeners
from openharness.core.log import _names as names
from openharness.core.records import new_id
from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from openharness.core.harness._options import Settings
    from openharness.core.harness._result import RunResult
    from openharness.core.harness._subscriptions import StreamBuffer, Subscription
    from openharness.core.interfaces import SignalStore
    from openharness.core.records import Signal
    from openharness.core.state import StateSchema
    from openharness.core.values import JSONObject

__all__ = ("Runner",)

S = TypeVar("S")
T = TypeVar("T")


class Runner(Generic[S]):
    """Runs once.

    Attributes:
        run_id: The run.
        queue: Where signals from outside are put.
        transcript: The recording that is replayed, once it is found; None in a live run.
        recording_id: The recording that is written or replayed; None where there is none.
        redactor: Keeps secrets out of its log.
        max_bytes: How large a payload its store takes.
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
        self._prepared = Preparation(schema, defaults, settings, plans, interactive=interactive)
        self.redactor = self._prepared.redactor
        self.run_id = settings.run_id or new_id("run")
        self.queue = ArrivalQueue()
        self.transcript: RecordedRun | None = None
        self.recording_id: str | None = None
        self.max_bytes = MAX_BYTES
        self.decided = asyncio.Event()
        self._deadline: float | None = None
        self.listeners = RunListeners(subscriptions, self._subscriber_failed, stream, remembers=interactive)

    async def run(self) -> RunResult[S]:
        """Run to the end and return the result; raises as `Harness.run_reactive` does."""
        try:
            async with self._prepared.backends:
                return await self._run()
        finally:
            # Also for a run that never began: nobody waits for what will not come.
            self.queue.close()
            self.decided.set()

    async def _run(self) -> RunResult[S]:
        try:
            decided = await self._in_time(self._decide())
            if not isinstance(decided, Beginning):
                return await self._replay(*decided)
        except (ReplayError, StoreError) as error:
            self.announce(error)
            raise
        return await self._drive(decided)

    def announce(self, error: ReplayError | StoreError) -> None:
        """Say that the replay failed, whether or not somebody catches the error: the pytest plugin listens to this."""
        sys.audit("openharness.replay.error", error, self._prepared.settings.store)

    async def _decide(self) -> Beginning[S] | tuple[SignalStore, str]:
        """Return the beginning of a new run; or the recording that is replayed, with its store."""
        prepared = self._prepared
        settings = prepared.settings
        mode = settings.mode_of(prepared.defaults.mode)
        store = await prepared.backends.signal_store()
        if store is not None:
            self.max_bytes = store.max_bytes
        if settings.recording is not None:
            return needed(store, "recording"), settings.recording
        if mode in ("replay", "auto") and settings.fixture is not None:
            found = await needed(store, f"mode={mode!r}").find_recording(settings.fixture)
            if found is not None:
                return needed(store, "mode"), found.id
            if mode == "replay":
                existing = await needed(store, "mode").list_fixtures()
                raise FixtureNotFoundError(settings.fixture, existing=existing)
            mode = "record"
        if mode == "record":
            needed(store, "mode='record'")
        fixture = settings.fixture if mode == "record" else None
        return await begin_new(prepared, self.run_id, store=store, fixture=fixture)

    async def _in_time(self, work: Awaitable[T]) -> T:
        """Wait for what comes before a run begins, as long as the whole run may take.

        Raises:
            HarnessTimeoutError: It took longer. Nothing was recorded.
        """
        timeout = self._prepared.settings.timeout
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        limit = asyncio.timeout_at(self._deadline)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            failure = HarnessTimeoutError(timeout=timeout)
            failure.add_note("It had not begun: a store did not answer, and nothing was recorded.")
            raise failure from error

    # Replaying.

    async def _replay(self, store: SignalStore, recording_id: str) -> RunResult[S]:
        prepared = self._prepared
        settings = prepared.settings
        drift = settings.drift or prepared.defaults.drift or "error"
        signals = store.iter_signals(recording_id)
        self.recording_id = recording_id
        try:
            recorded, first = await self._open(store, recording_id, signals, whole=drift != "error")
            self.transcript = recorded
            self.decided.set()
            if first is None:
                raise RecordingEndedError(recording_id, seq=0, state=None)  # noqa: TRY301 - to be closed below
            journal = Journal(first.id.removesuffix(f"/{first.seq}"), check=recorded.check)
            prepared.repeat_rules(journal, recorded)
            state, fields = await self._initial_state(store, recording_id, first)
            # What came from outside stands in the recording, so that also `run_reactive` can replay it.
            prepared.interactive = prepared.interactive or was_interactive(first)
            plan = prepared.plan_of_replay(fields)
            journal.substitutes = bool(plan.volatile)
            recorded.follow(journal.signals, plan)
            replay = Replay(
                stepper=Stepper(plan, journal, self.redactor),
                journal=journal,
                start=prepared.start(state, plan, seed=0, recorded=first),
                listeners=self.listeners,
                plan=plan,
                store=store,
                fixture=settings.fixture,
            )
            outcome, reports = await replay.run(recorded, reporting=drift == "warn")
        except RecordingEndedError as error:
            if error.state is not None:
                error.state = prepared.schema.load(cast("JSONObject", error.state))
            raise
        finally:
            if self.transcript is not None:
                self.transcript.close()
            await close_signals(signals)
            self.listeners.release()
            await self.listeners.close(settings.shutdown_timeout, grace=GRACE * settings.shutdown_timeout)
        run_id = self.run_id
        result = make_result(
            prepared.schema, journal, outcome, run_id=run_id, recording_id=recording_id, replayed=True, drift=reports
        )
        record = make_record(
            journal,
            outcome,
            run_id=run_id,
            recording_id=recording_id,
            metadata=settings.metadata,
            redactor=self.redactor,
        )
        run_store = await prepared.backends.run_store_of_replay()
        failure = await save_end(run_store, record, timeout=settings.shutdown_timeout)
        return end_run(outcome, result, failure)

    async def _initial_state(
        self, store: SignalStore, recording_id: str, first: Signal
    ) -> tuple[JSONObject | None, list[str]]:
        """Return the state that was given, None for the recorded one, and the fields of the run."""
        prepared = self._prepared
        settings = prepared.settings
        try:
            return prepared.initial_state(first)
        except SerializationError as error:
            if settings.state is not None:
                raise
            raise await unreadable_state(
                error, store=store, recording_id=recording_id, start=first, fixture=settings.fixture
            ) from None

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
            raise await no_recording(store, recording_id) from None

    # Running.

    async def resume(self, recording_id: str) -> RunResult[S]:
        """Go on with a run where its recording ends; see `Harness.resume`."""
        async with self._prepared.backends:
            return await self._drive(await self._in_time(begin_resumed(self._prepared, recording_id)))

    async def fork(self, recording_id: str) -> RunResult[S]:
        """Begin a new run that shares the beginning of a recorded one; see `Harness.fork`."""
        async with self._prepared.backends:
            return await self._drive(await self._in_time(begin_forked(self._prepared, self.run_id, recording_id)))

    async def _drive(self, beginning: Beginning[S]) -> RunResult[S]:
        self.run_id = beginning.journal.run_id
        self.decided.set()
        live = LiveRun(beginning, self._prepared.settings, queue=self.queue, listeners=self.listeners)
        return await live.run(self._deadline)

    def _subscriber_failed(self, signal: Signal, error: BaseException) -> None:
        told = "A subscriber failed at %s of run %s"
        log_failure(self.redactor, told, signal.name, self.run_id, error=error)
        # One that fails at the news of its own failure would go on for ever.
        if self.transcript is None and signal.name != names.SUBSCRIBER_ERROR:
            payload: JSONObject = {"signal": signal.id, "message": described(error)}
            self.queue.put(arrival_now(names.SUBSCRIBER_ERROR, payload))
