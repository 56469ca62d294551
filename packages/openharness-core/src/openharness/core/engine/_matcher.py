"""A recording as lists of arrivals by the requests they answer, for a replay that may differ from it."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.engine._drift import DriftReport, step_of
from openharness.core.engine._recorded import RecordedRun, arrival_of, folded_of
from openharness.core.engine._redacting import same_but_for_numbers
from openharness.core.errors import RecordingEndedError, ReplayDriftError
from openharness.core.log import _names as names
from openharness.core.log import is_arrival
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openharness.core.engine._arrivals import Arrival
    from openharness.core.log import RunFold
    from openharness.core.records import Signal

__all__ = ("Matcher",)

_HISTORY: Final = "history"


class Matcher(RecordedRun):
    """Gives each call of a run the arrivals of the recorded call that has its identity and its request.

    What comes next is always the earliest recorded arrival that something waits for, or that came from outside of any
    call. So a run that does what was recorded has the recorded log; another one has what there is for it.

    Args:
        recording_id: The recording, for reports.
        signals: All of its signals.

    Attributes:
        signals: The whole recording.
        folded: How many of them were taken over from another run, and are not run again.

    Raises:
        CorruptRecordError: An arrival is not as the engine writes it.
    """

    def __init__(self, recording_id: str, signals: Sequence[Signal]) -> None:
        super().__init__(recording_id)
        self.signals = signals
        self.folded = folded_of(signals[0]) if signals else 0
        # The recorded requests of each call in their order: a fork asks again what was asked before.
        self._asked: dict[str, deque[Signal]] = {}
        self._arrivals: dict[str, deque[Signal]] = {}
        # The first arrival of each call, by position; and, by activation, the calls that did not wait when asked.
        self._heads: list[tuple[int, str]] = []
        self._parked: dict[str, list[str]] = {}
        # The calls of tools that waited for a person when they were recorded.
        self._asked_about: set[object] = set()
        self._redacted: list[Signal] | None = None
        self._read()

    def _read(self) -> None:
        for signal in self.signals[:1]:
            self.inspect_first(signal)
        for signal in self.signals[self.folded :]:
            if is_arrival(signal):
                self.inspect(signal)
                self._arrivals.setdefault(_line(signal), deque()).append(signal)
            elif signal.name == names.PROVIDER_START:
                self._asked.setdefault(_call(signal), deque()).append(signal)
            elif signal.name == names.APPROVAL_REQUESTED:
                self._asked_about.add(_tool_call(signal))
        self._heads = [(queue[0].seq, call) for call, queue in self._arrivals.items()]
        heapq.heapify(self._heads)

    def upcoming(self) -> Sequence[Signal]:
        """Return the recorded signals that tell of redaction: where in the log they stand, says nothing here."""
        if self._redacted is None:
            self._redacted = [signal for signal in self.signals if b"[redacted:" in dump_json(signal.payload)]
        return self._redacted

    @property
    def _is_whole(self) -> bool:
        return bool(self.signals) and self.signals[-1].name == names.HARNESS_END

    # What comes next.

    def candidates(self, fold: RunFold) -> Iterator[tuple[Signal, Arrival]]:
        """Yield the first arrivals of all calls, the earliest first, until one was taken; see `taken`.

        A decision about a call of a tool that does not wait for it yet comes after all others.

        Args:
            fold: Where the run is.
        """
        early: Signal | None = None
        while self._heads:
            _, call = heapq.heappop(self._heads)
            signal = self._arrivals[call][0]
            if self._is_early(signal, fold):
                early = signal
            else:
                yield signal, arrival_of(signal)
            # Nothing waits for it now; it is tried again when its activation has gone on.
            self._parked.setdefault(_activation(call), []).append(call)
        if early is not None:
            yield early, arrival_of(early)

    def _is_early(self, signal: Signal, fold: RunFold) -> bool:
        if signal.name not in (names.APPROVAL_GRANTED, names.APPROVAL_DENIED):
            return False
        id_ = _tool_call(signal)
        call = fold.tool_call(id_)
        return id_ in self._asked_about and (call is None or call.status == "called")

    def taken(self, signal: Signal) -> None:
        """Note that an arrival was delivered."""
        call = _line(signal)
        queue = self._arrivals[call]
        queue.popleft()
        if queue:
            heapq.heappush(self._heads, (queue[0].seq, call))
        outside = self._parked.pop("", ())
        if call:
            # What waits for no request was passed over because something else was still to come.
            self._heads.extend((self._arrivals[line][0].seq, line) for line in outside)
            heapq.heapify(self._heads)
        if signal.name == names.HARNESS_RESUMED:
            self._restarted(signal)
        self.note_injected(signal)

    def _restarted(self, resumed: Signal) -> None:
        """Drop what came for calls before they were begun anew, where it was not delivered by then."""
        for signal in step_of(self.signals, resumed):
            if signal.name != names.PROVIDER_RESTART:
                continue
            call = _call(signal)
            queue = self._arrivals.get(call)
            while queue and queue[0].seq < resumed.seq:
                queue.popleft()
            if queue:
                self._wake(_activation(call))

    def _wake(self, activation: str) -> None:
        for call in self._parked.pop(activation, ()):
            queue = self._arrivals[call]
            if queue:
                heapq.heappush(self._heads, (queue[0].seq, call))

    # What the run does.

    def check(self, actual: Signal) -> Signal:
        """Look at a signal that the run makes, and return it; a request as it was recorded.

        Raises:
            ReplayDriftError: It is a request that was not recorded.
            RecordingEndedError: It is one, and the recording was cut off.
        """
        if actual.source.activation is not None:
            self._wake(actual.source.activation)
        if actual.name == names.PROVIDER_START:
            return self._answered(actual)
        if actual.name == names.HARNESS_START:
            return self._begun(actual)
        return actual

    def _begun(self, actual: Signal) -> Signal:
        """The beginning, with the recorded state and input where only volatile parts of them differ."""
        payload, recorded = cast("dict[str, Any]", actual.payload), cast("dict[str, Any]", self.signals[0].payload)
        alike = attrs.evolve(actual, payload={**payload, "agents": recorded["agents"]})
        if not self.volatile or not self.volatile.same(self.signals[0], alike):
            return actual
        return attrs.evolve(actual, payload={**payload, "state": recorded["state"], "input": recorded["input"]})

    def _answered(self, actual: Signal) -> Signal:
        asked = self._asked.get(_call(actual))
        recorded = asked[0] if asked else None
        if asked and recorded is not None and self._same_request(recorded, actual):
            asked.popleft()
            return attrs.evolve(
                actual,
                payload=self._payload_of(recorded, actual),
                source=attrs.evolve(actual.source, provider=recorded.source.provider),
            )
        raise self._unmatched(recorded, actual)

    def _payload_of(self, recorded: Signal, actual: Signal) -> dict[str, Any]:
        """The recorded payload; what an agent is told of earlier is no part of its request, and is told by the run."""
        told, tells = cast("dict[str, Any]", recorded.payload), cast("dict[str, Any]", actual.payload)
        if told.get(_HISTORY) == tells.get(_HISTORY) or self.volatile.same(recorded, actual):
            return told
        rest = {key: value for key, value in told.items() if key != _HISTORY}
        return {**rest, _HISTORY: tells[_HISTORY]} if _HISTORY in tells else rest

    def _same_request(self, recorded: Signal, actual: Signal) -> bool:
        one, other = (cast("dict[str, Any]", signal.payload).get("digest") for signal in (recorded, actual))
        if one == other or self.volatile.same(recorded, actual):
            return True
        return same_but_for_numbers(attrs.evolve(recorded, seq=actual.seq, source=actual.source), actual)

    def _unmatched(self, recorded: Signal | None, actual: Signal) -> ReplayDriftError | RecordingEndedError:
        call = _call(actual)
        actual = attrs.evolve(actual, payload=self.mask(actual.payload))
        if recorded is None and not self._is_whole:
            return RecordingEndedError(self.recording_id, seq=len(self.signals), state=None)
        report = DriftReport.between(
            self.recording_id,
            actual.seq if recorded is None else recorded.seq,
            # The same place in another log, so that only the requests are compared.
            None if recorded is None else attrs.evolve(recorded, seq=actual.seq, source=actual.source),
            actual,
            log=self.log,
            reducers=self.reducers,
        )
        if recorded is None:
            reason = f"the recording has no request {call}, and no answer to it"
            report = attrs.evolve(report, kind="unmatched", subject=f"the request {call}", reason=reason)
        else:
            report = attrs.evolve(report, reason=f"{report.reason}, and there is no answer to it")
        return ReplayDriftError(attrs.evolve(report, recorded=recorded, agent=actual.source.agent))

    def stuck(self, fold: RunFold) -> ReplayDriftError | RecordingEndedError:
        """Return the error for a run that goes on where nothing of the recording is left for it."""
        if not self._is_whole:
            return RecordingEndedError(self.recording_id, seq=len(self.signals), state=fold.state)
        waiting = list(_waits(fold))
        told = ", ".join(one.told for one in waiting) or "the run"
        last = next(reversed(self.log), None)
        activations = {one.activation for one in waiting}
        agents = {fold.activations[id_].agent for id_ in activations}
        report = DriftReport(
            recording_id=self.recording_id,
            seq=len(self.log),
            reason=f"nothing more is recorded for {told}, and the run waits for it",
            activation=activations.pop() if len(activations) == 1 else None,
            recorded=None,
            actual=last,
            kind="unmatched",
            subject=" and ".join(one.subject for one in waiting) or "the run",
            agent=agents.pop() if len(agents) == 1 else None,
        )
        return ReplayDriftError(report)

    def left_over(self) -> list[Signal]:
        """Return the arrivals that were not delivered, in their order."""
        return sorted((signal for queue in self._arrivals.values() for signal in queue), key=lambda signal: signal.seq)


@attrs.frozen
class _Wait:
    """What a run waits for: for whom, what is told of it, and what is missing."""

    activation: str
    told: str
    subject: str


def _waits(fold: RunFold) -> Iterator[_Wait]:
    """What a run waits for, in the order in which it began to."""
    for call in fold.calls.values():
        yield _Wait(call.activation, call.id, f"the answer to {call.id}")
    for activation in fold.activations.values():
        if activation.waits_for_retry:
            yield _Wait(activation.id, activation.id, f"the retry of {activation.id}")
        for tool_call in activation.tool_calls.values():
            if tool_call.status == "ended":
                continue
            missing = "decision about" if tool_call.status == "waiting" else "result of"
            subject = f"the {missing} tool {tool_call.name!r} of agent {activation.agent!r}"
            yield _Wait(activation.id, f"{subject} ({tool_call.id})", subject)


def _call(signal: Signal) -> str:
    return str(cast("dict[str, Any]", signal.payload).get("call"))


def _tool_call(signal: Signal) -> object:
    payload: object = signal.payload
    return cast("dict[str, Any]", payload).get("tool_call") if isinstance(payload, dict) else None


def _line(signal: Signal) -> str:
    """What an arrival waits for: a request or a tool, which are counted alike. What came from outside waits for nothing."""
    call = arrival_of(signal).call or ""
    return f"{call} tool" if signal.name == names.TOOL_RESULT else call


def _activation(call: str) -> str:
    return call.rsplit("/", 2)[0]
