"""A run with real providers: from wherever it begins to its recording, its record and its result."""

from __future__ import annotations

import asyncio
import functools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from openharness.core.engine import (
    ArrivalQueue,
    Calls,
    Intake,
    NoRecorder,
    NotStoppedError,
    Outcome,
    Recorder,
    StoreRecorder,
    ToolRuns,
    WorkCancelledError,
    log_failure,
    reason_of,
    run_live,
    supervise,
    within,
)
from openharness.core.errors import (
    RecorderError,
    RecordingConflictError,
    RecordingFinalizedError,
    RunCancelledError,
    RunError,
    SecretFoundError,
    StoreError,
)
from openharness.core.harness._ending import both, end_run, make_record, make_result, save_end
from openharness.core.harness._preparation import arrival_now
from openharness.core.harness._shutdown import GRACE, PATIENCE, RECORD, RECORDING, Shutdown
from openharness.core.harness._succession import succeed
from openharness.core.log import _names as names
from openharness.core.records import RunRecord, RunStatus, now_ms
from openharness.core.redaction import refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openharness.core.harness._beginning import Beginning
    from openharness.core.harness._options import Settings
    from openharness.core.harness._result import RunResult
    from openharness.core.harness._subscriptions import RunListeners
    from openharness.core.interfaces import SignalStore
    from openharness.core.records import Signal
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("LiveRun",)

S = TypeVar("S")

_log = logging.getLogger("openharness")


class LiveRun(Generic[S]):
    """Drives a run to its end.

    Attributes:
        recording_id: The recording that is written; None where there is none.
    """

    def __init__(
        self, beginning: Beginning[S], settings: Settings, *, queue: ArrivalQueue, listeners: RunListeners
    ) -> None:
        self._beginning = beginning
        self._settings = settings
        self._run_id = beginning.journal.run_id
        self._queue = queue
        self._listeners = listeners
        self._shutdown = Shutdown(settings.shutdown_timeout)
        self._limit: asyncio.Timeout | None = None
        self._stopped_by: str | None = None
        self._ended = False
        self.recording_id = beginning.recording_id

    async def run(self, deadline: float | None) -> RunResult[S]:
        """Run to the end.

        Args:
            deadline: When the run has taken too long, by the clock of the event loop; None for never.
        """
        settings = self._settings
        # First of all things in the queue, so that a run which is cancelled at once still has a beginning.
        for arrival in self._beginning.arrivals:
            self._queue.put(arrival)
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[None] = loop.create_future()

        def stop(name: str, payload: JSONValue) -> None:
            self._stop(name)
            self._queue.put(arrival_now(name, payload))
            self._listeners.release()
            if not stopped.done():
                stopped.set_result(None)

        timer = None
        if deadline is not None:
            limit: JSONObject = {"timeout": settings.timeout}
            timer = loop.call_at(deadline, lambda: stop(names.HARNESS_TIMEOUT, limit))
        try:
            return await supervise(
                self._body(),
                stopped=stopped,
                on_cancel=lambda: stop(names.HARNESS_CANCELLED, None),
                shutdown_timeout=settings.shutdown_timeout,
            )
        except asyncio.CancelledError:
            if not self._ended:
                told = "Run %s was cancelled and not brought to its end: its recording and its record may say that it goes on"
                _log.warning(told, self._run_id)
            raise
        except (NotStoppedError, WorkCancelledError) as error:
            raise self._given_up_as(error) from error
        finally:
            if timer is not None:
                timer.cancel()
            if not stopped.done():
                stopped.cancel()
            self._queue.close()

    def _given_up_as(self, error: NotStoppedError | WorkCancelledError) -> RunError:
        failure: RunError
        if isinstance(error, NotStoppedError):
            failure = self._beginning.stepper.timed_out(self._settings.timeout)
            failure.add_note(f"Besides, {error}: a store, a provider or a subscriber did not answer.")
        else:
            failure = RunError("The run was cancelled from within: by a function of its own, or with its task.")
        failure.run_id, failure.recording_id = self._run_id, self.recording_id
        return failure

    async def _body(self) -> RunResult[S]:
        beginning = self._beginning
        journal = beginning.journal
        recorder = await self._begin()
        calls = Calls(self._run_id, self._queue, now_ms, beginning.redactor)
        tools = ToolRuns(self._queue, now_ms, beginning.redactor)
        try:
            try:
                outcome, failure = await self._until_end(recorder, calls, tools)
            finally:
                self._shutdown.begin()
                self._queue.close()
                calls.cancel()
                tools.cancel()
            # First of all the stores: a provider that does not stop must not cost the end of the recording.
            result = make_result(
                beginning.schema,
                journal,
                outcome,
                run_id=self._run_id,
                recording_id=self.recording_id,
                replayed=False,
            )
            if _belongs_to_another(outcome):
                # Whoever writes there now also ends it, and keeps the record of the run.
                self._ended = True
                return end_run(outcome, result, None)
            if failure is None:
                failure = await self._finalize(recorder, outcome, result.metrics.duration_ms)
            record = make_record(
                journal,
                outcome,
                failure,
                run_id=self._run_id,
                recording_id=self.recording_id,
                metadata=beginning.metadata,
                redactor=beginning.redactor,
                parent_run_id=beginning.parent_run_id,
            )
            unsaved = await save_end(beginning.run_store, record, timeout=self._shutdown.left(RECORD))
            failure = both(unsaved, failure)
            self._ended = True
        finally:
            await self._let_go(calls, tools)
        if failure is not None and self._stopped_by == names.HARNESS_CANCELLED:
            # Who has cancelled the run is told that it was cancelled, and nothing else.
            log_failure(beginning.redactor, "Run %s was cancelled. Besides", self._run_id, error=failure)
        return end_run(outcome, result, failure)

    def _stop(self, name: str) -> None:
        """Let the time for the end begin: the run was told to stop."""
        if self._stopped_by is None:
            self._stopped_by = name
        if self._limit is not None:
            # A run that has ended by itself is not limited any more.
            with suppress(RuntimeError):
                self._limit.reschedule(self._shutdown.at(RECORDING))
        self._shutdown.begin()

    async def _until_end(self, recorder: Recorder, calls: Calls, tools: ToolRuns) -> tuple[Outcome, RunError | None]:
        """Let the run go on until it has ended, and return how; and what failed, where its end could not be written."""
        beginning = self._beginning
        try:
            async with asyncio.timeout(None) as limit:
                self._limit = limit
                if self._shutdown.begun:
                    limit.reschedule(self._shutdown.at(RECORDING))
                outcome = await run_live(
                    stepper=beginning.stepper,
                    journal=beginning.journal,
                    queue=self._queue,
                    intake=Intake(beginning.redactor, beginning.journal),
                    calls=calls,
                    tools=tools,
                    recorder=recorder,
                    listeners=self._listeners,
                )
        except RecorderError as error:
            return Outcome(RunStatus.FAILED, error), None
        except TimeoutError as error:
            if self._limit is None or not self._limit.expired():
                raise
            outcome = self._given_up()
            seconds = RECORDING * self._shutdown.seconds
            return outcome, _not_closed(outcome, f"the signal store did not answer within {seconds:.3g} s", error)
        return outcome, None

    def _given_up(self) -> Outcome:
        """Return the end of a run that was told to stop, and whose log has no end because its store hangs."""
        stepper = self._beginning.stepper
        timed_out = self._stopped_by == names.HARNESS_TIMEOUT
        status = RunStatus.TIMED_OUT if timed_out else RunStatus.CANCELLED
        if stepper.outcome is not None and stepper.outcome.status is status:
            return stepper.outcome
        return Outcome(status, stepper.timed_out(self._settings.timeout) if timed_out else RunCancelledError())

    async def _let_go(self, calls: Calls, tools: ToolRuns) -> None:
        """Wait for providers, tools and subscribers, which have been ending since the end of the run began."""
        shutdown = self._shutdown
        stopping = [part.stop(shutdown.left(PATIENCE)) for part in (calls, tools) if part.busy]
        if stopping:
            await asyncio.gather(*stopping)
        await self._listeners.close(shutdown.left(PATIENCE), grace=GRACE * shutdown.seconds)

    async def _begin(self) -> Recorder:
        """Make the recording and the record, and return what writes to the recording."""
        beginning = self._beginning
        store = beginning.store
        fresh = beginning.recording_id is None
        recorder: Recorder = NoRecorder()
        if store is not None:
            try:
                if self.recording_id is None:
                    self.recording_id = await self._create(store)
                # What a recording that is written further holds already is the log before the first new signal.
                durable = () if fresh else beginning.journal.durable
                recorder = StoreRecorder(store, self.recording_id, durable=durable)
                await recorder.write(beginning.prefix)
            except (RecordingConflictError, RecordingFinalizedError) as error:
                failure = RecorderError(f"Somebody else goes on with this run: {error}")
                failure.run_id = self._run_id
                failure.recording_id = getattr(error, "successor", None)
                raise failure from error
            except (Exception, asyncio.CancelledError) as error:
                raise RecorderError(f"The signal store could not begin a recording: {reason_of(error)}") from error
        if beginning.run_store is not None:
            try:
                await beginning.run_store.save_run(self._running())
            except BaseException as error:
                if store is not None and self.recording_id is not None and fresh:
                    await _delete(store, self.recording_id, error)
                if isinstance(error, asyncio.CancelledError):
                    raise StoreError(f"The run store could not save the run: {reason_of(error)}.") from error
                raise
        return recorder

    async def _create(self, store: SignalStore) -> str:
        beginning, settings = self._beginning, self._settings
        create = functools.partial(
            store.create_recording,
            run_id=self._run_id,
            name=beginning.name,
            tags=settings.tags,
            metadata=beginning.metadata,
            resumed_from=beginning.resumed_from,
        )
        if beginning.resumed_from is None:
            return await create()
        return await succeed(
            store, beginning.resumed_from, run_id=self._run_id, seq=len(beginning.prefix), create=create
        )

    def _running(self) -> RunRecord:
        beginning = self._beginning
        return RunRecord(
            self._run_id,
            created_at=now_ms() if beginning.created_at is None else beginning.created_at,
            state=beginning.state,
            metadata=beginning.metadata,
            recording_id=self.recording_id,
            parent_run_id=beginning.parent_run_id,
        )

    def _refuse_secrets(self, fixture: str, status: RunStatus) -> None:
        if not self._settings.allow_secrets:
            beginning = self._beginning
            refuse_secrets(
                _parts(beginning.journal.signals, self._settings.tags, beginning.metadata),
                what=f"The run ended as {status}, but its recording {self.recording_id!r} was not published as {fixture!r}.",
                redacted=beginning.redactor.active,
            )

    async def _finalize(self, recorder: Recorder, outcome: Outcome, duration_ms: int) -> RunError | None:
        fixture, store = self._beginning.fixture, self._beginning.store
        if store is None:
            return None

        # The run store has its share also where the signal store does not answer.
        part, who = RECORD if self._beginning.run_store is None else RECORDING, "the signal store"
        completed = outcome.status is RunStatus.COMPLETED
        try:
            await within(recorder.finalize(outcome.status, duration_ms), self._shutdown.left(part), who)
            if fixture is not None and (completed or store.publishes_every_end):
                # This is no store's work, and takes no store's time.
                with self._shutdown.standing_still():
                    self._refuse_secrets(fixture, outcome.status)
                await within(store.publish(str(self.recording_id), fixture), self._shutdown.left(part), who)
        except SecretFoundError as error:
            return error
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the run record is still to be saved
            return _not_closed(outcome, reason_of(error), error)
        return None


def _not_closed(outcome: Outcome, reason: str, error: BaseException) -> RecorderError:
    failure = RecorderError(f"The run ended as {outcome.status}, but its recording could not be closed: {reason}")
    failure.__cause__ = error
    return failure


def _parts(
    signals: Sequence[Signal], tags: Sequence[str], metadata: JSONObject | None
) -> Iterator[tuple[int | None, str, JSONValue]]:
    """What a recording holds that somebody could read."""
    yield None, "tags", list(tags)
    yield None, "metadata", metadata
    for signal in signals:
        yield signal.seq, "payload", signal.payload


def _belongs_to_another(outcome: Outcome) -> bool:
    """Whether the run ended because somebody else writes its recording."""
    cause = None if outcome.error is None else outcome.error.__cause__
    return isinstance(outcome.error, RecorderError) and isinstance(
        cause, (RecordingConflictError, RecordingFinalizedError)
    )


async def _delete(store: SignalStore, recording_id: str, error: BaseException) -> None:
    """Delete the recording of a run that never began; failing at that must not hide why there is no run."""
    try:
        await store.delete_recording(recording_id)
    except Exception as other:  # noqa: BLE001 - see above
        error.add_note(f"Besides, the empty recording {recording_id!r} could not be deleted: {other}")
