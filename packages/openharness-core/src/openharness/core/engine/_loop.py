"""The run loop: one arrival at a time, whether arrivals come from the queue or from a recording."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from openharness.core.engine._step import StartCall
from openharness.core.errors import RecorderError, RecordingEndedError
from openharness.core.log import _names as names
from openharness.core.values import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.engine._arrivals import Arrival, ArrivalQueue
    from openharness.core.engine._calls import Calls
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._recorder import Recorder
    from openharness.core.engine._step import Effect, Outcome, Stepper
    from openharness.core.engine._transcript import Transcript
    from openharness.core.records import Signal

__all__ = ("Listeners", "StartOfRun", "run_live", "run_replay")

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
    """

    state: JSONObject | None
    input: JSONValue
    has_input: bool
    seed: int
    agents: JSONObject

    def payload(self, recorded: dict[str, Any] | None = None) -> JSONObject:
        """Return the payload of ``harness:start``, with what was recorded where nothing was given."""
        state, input_, seed = self.state, self.input, self.seed
        if recorded is not None:
            state = recorded["state"] if state is None else state
            input_ = input_ if self.has_input else recorded["input"]
            seed = recorded["seed"]
        return {"state": state, "input": input_, "seed": seed, "agents": self.agents}


async def run_live(
    *,
    stepper: Stepper[Any],
    journal: Journal,
    queue: ArrivalQueue,
    calls: Calls,
    recorder: Recorder,
    listeners: Listeners,
) -> Outcome:
    """Run with real providers, from the arrivals in the queue on, until the run ends.

    Raises:
        RecorderError: The signal store failed; nothing that was not durable has had an effect.
    """
    while stepper.outcome is None:
        effects: list[Effect] = []
        accepted: list[tuple[Arrival, Signal | None]] = []
        for arrival in await queue.take():
            signal, caused = (None, []) if stepper.ended else stepper.take(arrival)
            effects += caused
            accepted.append((arrival, signal))
        fresh = journal.drain()
        try:
            await recorder.write(fresh)
        except Exception as error:
            raise RecorderError(f"The signal store failed, and with it the run: {error}") from error
        for arrival, signal in accepted:
            if arrival.accepted is not None:
                arrival.accepted(signal)
        await listeners.deliver(fresh)
        if not stepper.ended:
            for effect in effects:
                if isinstance(effect, StartCall):
                    calls.start(effect)
                else:
                    calls.start_timer(effect)
    return stepper.outcome


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
    taken = 0
    while stepper.outcome is None:
        arrival = await transcript.next_arrival()
        if arrival is None:
            raise RecordingEndedError(recording_id, seq=transcript.count, state=journal.fold.state)
        if arrival.name == names.HARNESS_START and not taken and isinstance(arrival.payload, dict):
            arrival = attrs.evolve(arrival, payload=start.payload(arrival.payload))
        signal, _ = stepper.take(arrival)
        if signal is None:
            raise transcript.stray(arrival)
        await listeners.deliver(journal.drain())
        taken += 1
        if taken % _BREATHE_EVERY == 0:
            await asyncio.sleep(0)
    transcript.check_is_over()
    return stepper.outcome
