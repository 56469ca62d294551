"""The run loop: one arrival at a time, whether arrivals come from the queue or from a recording."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from openharness.core.engine._arrivals import Arrival
from openharness.core.engine._effects import StartCall, StartTool
from openharness.core.engine._supervise import reason_of
from openharness.core.errors import (
    RecorderError,
    RecordingConflictError,
    RecordingEndedError,
    RecordingFinalizedError,
)
from openharness.core.log import _names as names
from openharness.core.values import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from openharness.core.engine._arrivals import ArrivalQueue
    from openharness.core.engine._calls import Calls
    from openharness.core.engine._drift import StepComparison
    from openharness.core.engine._effects import Effect
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._matcher import Matcher
    from openharness.core.engine._outcome import Outcome
    from openharness.core.engine._recorder import Recorder
    from openharness.core.engine._redacting import Intake
    from openharness.core.engine._step import Stepper
    from openharness.core.engine._tools import ToolRuns
    from openharness.core.engine._transcript import Transcript
    from openharness.core.records import Signal

    _Accepted: TypeAlias = tuple[Callable[[Signal | None], None], Signal | None]
    """Whom to tell what became of an arrival: the signal, or None where the run had ended before it."""

__all__ = ("Listeners", "StartOfRun", "catch_up", "run_live", "run_matched", "run_replay")

_BREATHE_EVERY: Final = 256


class Listeners(Protocol):
    """Who is told of signals once they are durable."""

    async def deliver(self, signals: Sequence[Signal]) -> None:
        """Tell of signals; waits where a listener asked to be waited for."""


@attrs.frozen(kw_only=True)
class StartOfRun:
    """What a run begins with.

    Attributes:
        state: The initial state; None in a replay that takes the recorded one.
        input: The run's input; likewise.
        has_input: Whether an input was given.
        seed: The seed of its randomness; a replay takes the recorded one.
        agents: The fingerprint of the agent set.
        interactive: Whether signals come from outside until the run is told to finish.
        redacted: Whether secrets are kept out of the log; a replay takes what is recorded.
    """

    state: JSONObject | None
    input: JSONValue
    has_input: bool
    seed: int
    agents: JSONObject
    interactive: bool = False
    redacted: bool = True

    def payload(self, recorded: dict[str, Any] | None = None) -> JSONObject:
        """Return the payload of ``harness:start``, with what was recorded where nothing was given."""
        state, input_, seed, redacted = self.state, self.input, self.seed, self.redacted
        if recorded is not None:
            state = recorded["state"] if state is None else state
            input_ = input_ if self.has_input else recorded["input"]
            seed = recorded["seed"]
            redacted = recorded.get("redaction") != "off"
        payload: JSONObject = {"state": state, "input": input_, "seed": seed, "agents": self.agents}
        if self.interactive:
            payload["interactive"] = True
        if not redacted:
            payload["redaction"] = "off"
        return payload


async def run_live(
    *,
    stepper: Stepper[Any],
    journal: Journal,
    queue: ArrivalQueue,
    intake: Intake,
    calls: Calls,
    tools: ToolRuns,
    recorder: Recorder,
    listeners: Listeners,
) -> Outcome:
    """Run with real providers and tools, from the arrivals in the queue on, until the run ends.

    What the journal holds and is not durable yet is written first.

    Raises:
        RecorderError: The signal store failed; nothing that was not durable has had an effect.
    """
    await _write(recorder, journal.drain())
    while stepper.outcome is None:
        arrivals = await queue.take()
        try:
            accepted, effects = _take_all(stepper, intake, arrivals)
            fresh = journal.drain()
            await _write(recorder, fresh)
        except BaseException:
            _refuse(arrivals)
            raise
        for tell, signal in accepted:
            tell(signal)
        await listeners.deliver(fresh)
        if stepper.outcome is None:
            for effect in effects:
                if isinstance(effect, StartCall):
                    calls.start(effect)
                elif isinstance(effect, StartTool):
                    tools.start(effect)
                else:
                    calls.start_timer(effect)
            # What was only just begun is still to come.
            if not effects and queue.is_empty and (pending := stepper.pending):
                # Nobody is there who could answer: whoever resumes the run brings the answers along.
                payload: JSONObject = {"pending": pending}
                queue.put(Arrival(name=names.HARNESS_INTERRUPTED, payload=payload, timestamp=journal.now))
    return stepper.outcome


def _take_all(
    stepper: Stepper[Any], intake: Intake, arrivals: Sequence[Arrival]
) -> tuple[list[_Accepted], list[Effect]]:
    """Take arrivals, and return whom to tell what became of theirs, and what is to be done."""
    accepted: list[_Accepted] = []
    effects: list[Effect] = []
    for arrival in arrivals:
        signal: Signal | None = None
        if stepper.outcome is None:
            for admitted in intake.admit(arrival):
                signal, caused = (None, []) if stepper.ended else stepper.take(admitted)
                effects += caused
        if arrival.accepted is not None:
            accepted.append((arrival.accepted, signal))
    return accepted, effects


def _refuse(arrivals: Sequence[Arrival]) -> None:
    """Tell those who wait for it that the run has failed before their arrivals were durable."""
    for arrival in arrivals:
        if arrival.accepted is not None:
            arrival.accepted(None)


async def _write(recorder: Recorder, signals: Sequence[Signal]) -> None:
    try:
        await recorder.write(signals)
    except (RecordingConflictError, RecordingFinalizedError) as error:
        raise RecorderError(f"Somebody else goes on with this run, or has ended it: {error}") from error
    except (Exception, asyncio.CancelledError) as error:
        raise RecorderError(f"The signal store failed, and with it the run: {reason_of(error)}") from error


async def run_replay(
    *,
    stepper: Stepper[Any],
    journal: Journal,
    transcript: Transcript,
    start: StartOfRun,
    listeners: Listeners,
    recording_id: str,
) -> Outcome:
    """Run again with the arrivals of a recording. There is nothing here that could call a provider.

    Raises:
        ReplayDriftError: The run does something else than was recorded.
        RecordingEndedError: The recording ends before the run does.
    """
    await _repeat(stepper, journal, transcript, start, listeners)
    if stepper.outcome is None:
        raise RecordingEndedError(recording_id, seq=transcript.count, state=journal.fold.state)
    transcript.check_is_over()
    return stepper.outcome


async def run_matched(
    *,
    stepper: Stepper[Any],
    journal: Journal,
    matcher: Matcher,
    comparison: StepComparison | None,
    start: StartOfRun,
    listeners: Listeners,
) -> Outcome:
    """Run again with those arrivals of a recording that the run waits for, which may do otherwise than was recorded.

    Raises:
        ReplayDriftError: The run asks for what was not recorded.
        RecordingEndedError: The recording ends before the run does.
    """
    if matcher.folded:
        journal.adopt(matcher.signals[: matcher.folded])
        stepper.adopt()
        await listeners.deliver(journal.signals)
    taken = 0
    while stepper.outcome is None:
        written = len(journal.signals)
        for recorded, arrival in matcher.candidates(journal.fold):
            if recorded.seq == 0 and isinstance(arrival.payload, dict):
                arrival = attrs.evolve(arrival, payload=start.payload(arrival.payload))  # noqa: PLW2901 - the same one
            if recorded.name == names.HARNESS_INTERRUPTED:
                if not (pending := stepper.pending):
                    continue  # This run waits for something else than people.
                arrival = attrs.evolve(arrival, payload={"pending": pending})  # noqa: PLW2901 - likewise
            signal = _take(stepper, journal, arrival)
            if signal is not None:
                matcher.taken(recorded)
                if comparison is not None:
                    comparison.compare(recorded, journal.signals[written:])
                break
        else:
            raise matcher.stuck(journal.fold)
        await listeners.deliver(journal.drain())
        taken += 1
        if taken % _BREATHE_EVERY == 0:
            await asyncio.sleep(0)
    return stepper.outcome


async def catch_up(
    *, stepper: Stepper[Any], journal: Journal, transcript: Transcript, start: StartOfRun, listeners: Listeners
) -> None:
    """Run again up to where a recording ends, so that the run can go on from there.

    Signals that the last step should have caused, and that are not in the recording, are caused now: the journal holds
    them as not durable yet. The run has ended after this if they end it.

    Raises:
        ReplayDriftError: The run does something else than was recorded.
    """
    await _repeat(stepper, journal, transcript, start, listeners)
    journal.mark_durable(transcript.count)


async def _repeat(
    stepper: Stepper[Any], journal: Journal, transcript: Transcript, start: StartOfRun, listeners: Listeners
) -> None:
    """Take recorded arrivals until the run or the recording ends."""
    taken = 0
    while stepper.outcome is None:
        if not taken and transcript.folded:
            journal.adopt(await transcript.read_folded())
            stepper.adopt()
            await listeners.deliver(journal.signals)
        arrival = await transcript.next_arrival()
        if arrival is None:
            return
        if arrival.name == names.HARNESS_START and not taken and isinstance(arrival.payload, dict):
            arrival = attrs.evolve(arrival, payload=start.payload(arrival.payload))
        signal = _take(stepper, journal, arrival)
        if signal is None:
            raise transcript.stray(arrival)
        await listeners.deliver(journal.drain())
        taken += 1
        if taken % _BREATHE_EVERY == 0:
            await asyncio.sleep(0)


def _take(stepper: Stepper[Any], journal: Journal, arrival: Arrival) -> Signal | None:
    """Take a recorded arrival, and return the signal it became; None where nothing waits for it."""
    try:
        return stepper.take(arrival)[0]
    except RecordingEndedError as error:
        error.state = journal.fold.state
        raise
