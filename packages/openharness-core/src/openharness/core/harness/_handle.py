"""Runs that are worked with while they go on: handles for signals from outside, and streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from openharness.core.engine import Arrival, DriftReport
from openharness.core.errors import OpenHarnessError, ReplayDriftError, RunEndedError, RunError
from openharness.core.harness._injection import check_injected, check_size, refuse_secret
from openharness.core.log import _names as names
from openharness.core.patterns import compile_pattern
from openharness.core.records import now_ms
from openharness.core.records._signal import copied_signal
from openharness.core.redaction import unnumbered
from openharness.core.values import dump_json, json_text, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from openharness.core.harness._result import RunResult
    from openharness.core.harness._runner import Runner
    from openharness.core.harness._subscriptions import StreamBuffer
    from openharness.core.patterns import PatternLike
    from openharness.core.records import Signal
    from openharness.core.values import JSONValue

__all__ = ("RunHandle", "RunStream", "StartedRun")

S = TypeVar("S")


class RunHandle(Generic[S]):
    """A run that takes signals from outside. Made by `Harness.start`.

    Attributes:
        run_id: The run.
    """

    def __init__(self, runner: Runner[S], task: asyncio.Task[RunResult[S]]) -> None:
        self._runner = runner
        self._task = task
        self._emitted = 0
        self._turn = asyncio.Lock()
        self._finished = False
        self.run_id = runner.run_id

    async def emit(self, name: str, payload: Any = None) -> Signal:
        """Inject a signal, and return it once it is durable.

        In a replay nothing is injected: the signal is compared with the recorded one, which is returned. What is refused
        for its name or its payload is refused in a replay as well, and counts for nothing in either.

        Args:
            name: The signal's name; the first segments the harness uses itself are refused.
            payload: A JSON value.

        Raises:
            PatternError: The name is not well formed.
            DefinitionError: The name belongs to the harness.
            SerializationError: The payload cannot be stored; or its JSON is larger than the `SignalStore.max_bytes` of the
                run's store, 16 MiB for a run without one.
            InvalidValueError: The name holds a secret.
            RunEndedError: The run has ended.
            ReplayDriftError: The recording has another signal in its place, or none.
        """
        name = check_injected(name)
        value = to_json(payload, path="payload")
        runner = self._runner
        # One after the other, so that they are counted in the order in which they were made, also those before it is
        # clear whether the run is a replay.
        async with self._turn:
            is_replay = await self._is_replay()
            if not (is_replay and await self._is_recorded(name)):
                refuse_secret(runner.redactor, "the name of a signal", name)
            check_size(runner.redactor, value, max_bytes=runner.max_bytes)
            position, self._emitted = self._emitted, self._emitted + 1
        return await (self._recorded(position, name, value) if is_replay else self._put(name, value))

    async def wait_for(self, pattern: PatternLike, *, after: Signal | None = None) -> Signal:
        """Wait until the run has a signal whose name matches, and return it; also one that is there already.

        Args:
            pattern: The signal to wait for.
            after: Look only behind this signal, as one does to wait for the next of several.

        Raises:
            RunEndedError: The run has ended without one; its cause is what ended the run, if it did not complete.
            PatternError: The pattern is not well formed.
        """
        compiled = compile_pattern(pattern)
        found = asyncio.ensure_future(self._runner.listeners.seen(compiled, -1 if after is None else after.seq))
        try:
            with self._runner.listeners.waiting_for_the_run():
                await asyncio.wait({found, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                # What the run's last step told is told already.
                await asyncio.sleep(0)
            if found.done():
                return found.result()
        finally:
            found.cancel()
        raise RunEndedError(compiled.text) from self._failure()

    async def finish(self) -> None:
        """Tell the run that no more signals come, so that it ends once nothing is left to do. Twice is no error."""
        if self._finished:
            return
        self._finished = True
        if not self._task.done() and not await self._is_replay():
            try:
                await self._put(names.HARNESS_FINISHED, None)
            except RunEndedError:
                return

    async def result(self) -> RunResult[S]:
        """Wait for the end of the run and return its result; raises what the run raised.

        A run waits for signals until it is told that no more come, by `finish` or by leaving the block of ``async with``, and
        this waits as long.

        Raises:
            ReplayDriftError: The recording has signals that were not emitted in this replay.
        """
        result = await asyncio.shield(self._task)
        transcript = self._runner.transcript
        if transcript is not None and len(transcript.injected) > self._emitted:
            missing = transcript.injected[self._emitted]
            raise self._drift(DriftReport.between(str(result.recording_id), missing.seq, recorded=missing, actual=None))
        return result

    def cancel(self) -> None:
        """Cancel the run; `result` then raises ``CancelledError``."""
        self._task.cancel()

    def _drift(self, report: DriftReport) -> ReplayDriftError:
        error = ReplayDriftError(report)
        self._runner.announce(error)
        return error

    async def _is_replay(self) -> bool:
        await self._runner.decided.wait()
        return self._runner.transcript is not None

    async def _is_recorded(self, name: str) -> bool:
        """Tell whether a name that holds a secret by the rules of now stands next in the recording."""
        transcript = self._runner.transcript
        if transcript is None or self._runner.redactor.mask(name) == name:
            return False
        recorded = await transcript.injection(self._emitted)
        return recorded is not None and recorded.name == name

    async def _put(self, name: str, payload: JSONValue) -> Signal:
        accepted: asyncio.Future[Signal | None] = asyncio.get_running_loop().create_future()

        def accept(signal: Signal | None) -> None:
            if not accepted.done():
                accepted.set_result(signal)

        self._runner.queue.put(Arrival(name=name, payload=payload, timestamp=now_ms(), accepted=accept))
        with self._runner.listeners.waiting_for_the_run():
            signal = await accepted
        if signal is None:
            raise RunEndedError(name) from self._failure()
        return copied_signal(signal)

    def _failure(self) -> BaseException | None:
        """Return what ended the run, if it has ended so."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def _recorded(self, position: int, name: str, payload: JSONValue) -> Signal:
        transcript = self._runner.transcript
        recorded = None if transcript is None else await transcript.injection(position)
        payload = self._runner.redactor.json(payload)
        if recorded is None:
            # The recording has no more; whether that is a difference depends on how the run ended.
            await asyncio.wait({self._task})
            failure = self._failure()
            if failure is not None and not isinstance(failure, RunError):
                raise failure
            if failure is not None or self._finished or self._task.cancelled():
                raise RunEndedError(name) from failure
        if recorded is None or recorded.name != name or _unnumbered(recorded.payload) != _unnumbered(payload):
            shown = dump_json(self._runner.redactor.json(payload, mask=True), max_bytes=self._runner.max_bytes)
            reason = (
                "the run was given a signal that was not recorded"
                if recorded is None
                else f"the run was given {name!r} where {recorded.name!r} was recorded"
            )
            raise self._drift(
                DriftReport(
                    recording_id=str(self._runner.recording_id),
                    seq=-1 if recorded is None else recorded.seq,
                    reason=f"{reason}: {shown.decode()}",
                    activation=None,
                    recorded=recorded,
                    actual=None,
                    kind="injection",
                    subject=f"the signal {name!r} from outside",
                )
            )
        return recorded


class StartedRun(Generic[S]):
    """The context manager that `Harness.start` returns: the run goes on inside of the block.

    Leaving the block tells the run to finish and waits for its end; leaving it with an exception cancels the run.
    """

    def __init__(self, runner: Runner[S]) -> None:
        self._runner = runner
        self._task: asyncio.Task[RunResult[S]] | None = None
        self._handle: RunHandle[S] | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Say what was forgotten; type checkers say it themselves."""
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}: it only begins the run. The handle that is meant "
                "comes from 'async with harness.start(...) as run:'."
            )

    async def __aenter__(self) -> RunHandle[S]:
        """Begin the run."""
        if self._task is not None:
            raise OpenHarnessError("This run was begun before; call start() again to begin another one.")
        self._task = asyncio.get_running_loop().create_task(self._runner.run(), name="openharness started run")
        self._handle = RunHandle(self._runner, self._task)
        return self._handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the run, or cancel it."""
        task, handle = self._task, self._handle
        if task is None or handle is None:
            return
        if error is not None:
            await _cancel(task)
            return
        try:
            await handle.finish()
            await handle.result()
        except asyncio.CancelledError:
            await _cancel(task)
            raise


class RunStream(Generic[S]):
    """The signals of a run, live. Made by `Harness.stream`.

    Iterate over it, best inside of ``async with``; leaving cancels the run. When the run fails, the iteration raises
    what it raised, after its last signal.
    """

    def __init__(self, runner: Runner[S], buffer: StreamBuffer) -> None:
        self._runner = runner
        self._buffer = buffer
        self._task: asyncio.Task[RunResult[S]] | None = None
        self.run_id = runner.run_id

    async def __aenter__(self) -> Self:
        """Begin the run."""
        self._begin()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Cancel the run if it goes on."""
        if self._task is not None:
            await _cancel(self._task)

    def __aiter__(self) -> AsyncIterator[Signal]:
        """Begin the run, if it has not begun, and return its signals."""
        return self._iterate()

    async def result(self) -> RunResult[S]:
        """Wait for the end of the run and return its result; signals that nobody took are passed over."""
        task = self._begin()
        self._buffer.release()
        return await asyncio.shield(task)

    def _begin(self) -> asyncio.Task[RunResult[S]]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._runner.run(), name="openharness streamed run")
            self._task.add_done_callback(lambda _: self._buffer.close())
        return self._task

    async def _iterate(self) -> AsyncIterator[Signal]:
        task = self._begin()
        try:
            while (signal := await self._buffer.take()) is not None:
                yield signal
            await asyncio.shield(task)
        finally:
            await _cancel(task)


def _unnumbered(payload: JSONValue) -> str:
    """Return a payload as text; a replay does not know which of several secrets of one rule came first.

    Nor whether what only looked like a placeholder was left as it was.
    """
    return unnumbered(json_text(payload)).replace("[redacted:", "[redacted ")


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; how it ended is its own matter."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
