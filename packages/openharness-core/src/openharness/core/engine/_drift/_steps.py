"""How the steps of a run differ from the recorded ones, where both may have steps that the other has not."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from openharness.core.engine._drift._completion import Surroundings, complete
from openharness.core.engine._drift._report import DriftReport
from openharness.core.engine._drift._same import differences_between, same_end
from openharness.core.log import RunFold, is_arrival
from openharness.core.log import _names as names
from openharness.core.values import dump_json, find_differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openharness.core.log import VolatileRules
    from openharness.core.records import Signal

__all__ = ("StepComparison", "step_of")

_CHOICES = frozenset({names.AGENT_ACTIVATED, names.AGENT_SKIPPED})
_Key: TypeAlias = tuple[Any, ...]


def step_of(recorded: Sequence[Signal], arrival: Signal) -> list[Signal]:
    """Return the signals of a recorded step, from its arrival on."""
    following = (recorded[seq] for seq in range(arrival.seq + 1, len(recorded)))
    return [arrival, *takewhile(lambda signal: not is_arrival(signal), following)]


class StepComparison:
    """Compares step by step what an arrival caused with what it had caused when it was recorded.

    Args:
        recorded: The whole recording.
        folded: How many of its signals were taken over from another run.
        volatile: What does not count.
    """

    def __init__(self, recorded: Sequence[Signal], *, folded: int, volatile: VolatileRules) -> None:
        self._recorded = recorded
        self._volatile = volatile
        self._pairs: list[tuple[Signal | None, Signal | None]] = []
        # The recorded counterpart of each signal, by id; and who has none.
        # What was taken over from another run is the same in both.
        self._counterparts = {signal.id: signal.id for signal in recorded[:folded]}
        self._alone: set[str] = set()

    def compare(self, arrival: Signal, actual: Sequence[Signal]) -> None:
        """Compare what an arrival has caused.

        Args:
            arrival: The recorded arrival.
            actual: The signals of the run's step, from its arrival on.
        """
        expected = {_key(*keyed): keyed[0] for keyed in _counted(step_of(self._recorded, arrival))}
        came = {_key(*keyed): keyed[0] for keyed in _counted(actual)}
        for key, signal in came.items():
            if key in expected:
                self._counterparts[signal.id] = expected[key].id
        known = len(self._pairs)
        for key in dict.fromkeys([*expected, *came]):
            self._note(expected.get(key), came.get(key))
        if len(self._pairs) == known:
            self._note_order(
                [key for key in expected if key in came], [key for key in came if key in expected], expected, came
            )

    def _note(self, recorded: Signal | None, actual: Signal | None) -> None:
        present = recorded or actual
        if present is None or present.name == names.HARNESS_END:
            # Ends are compared when both runs have one, wherever that is.
            return
        if recorded is not None and actual is not None:
            if not self._same(recorded, actual):
                self._pairs.append((recorded, actual))
            return
        self._alone.add(_side(present, actual is None))
        # What comes of a signal that only one of them has is a part of that difference.
        parent = present.source.parent
        if parent is None or f"{actual is None}:{parent}" not in self._alone:
            self._pairs.append((recorded, actual))

    def _note_order(
        self, before: list[_Key], now: list[_Key], expected: Mapping[_Key, Signal], came: Mapping[_Key, Signal]
    ) -> None:
        """Note the first of those signals that are all the same and come in another order."""
        for one, other in zip(before, now, strict=True):
            if one != other:
                self._pairs.append((expected[one], came[other]))
                return

    def _same(self, recorded: Signal, actual: Signal) -> bool:
        if recorded.name != actual.name:
            # The other choice: what came of the recorded one cannot come now.
            self._alone |= {_side(recorded, True), _side(actual, False)}
            return False
        parent = actual.source.parent
        known = parent is None or self._counterparts.get(parent) == recorded.source.parent
        if not known and actual.name != names.HARNESS_END and not is_arrival(actual):
            return False
        return (
            dump_json(recorded.payload) == dump_json(actual.payload)
            or same_end(recorded, actual)
            or self._volatile.same(recorded, actual)
        )

    # What is told of it.

    def reports(
        self,
        recording_id: str,
        log: Sequence[Signal],
        *,
        left_over: Sequence[Signal],
        ended: bool,
        around: Surroundings,
        reducers: Callable[[str], Sequence[str]],
        mask: Callable[[Any], Any],
    ) -> tuple[DriftReport, ...]:
        """Return all differences as reports, in the order in which they came up.

        Args:
            recording_id: The recording.
            log: The log of the run.
            left_over: The recorded arrivals that were not delivered.
            ended: Whether the run came to its end, so that its end and what is left over mean something.
            around: What is known around each of them.
            reducers: Tells the patterns of the run's reducers that take signals of a name.
            mask: Keeps secrets out of reports.
        """
        reached = {signal.source.activation for signal in log}

        def told(report: DriftReport) -> DriftReport:
            recorded = report.recorded
            rest = () if recorded is None or recorded.seq == 0 else self._recorded[recorded.seq :]
            whole = complete(report, attrs.evolve(around, rest=rest))
            lost = [one for one in whole.unreachable if one.depends and one.activation not in reached]
            return attrs.evolve(whole, unreachable=tuple(lost), remaining=0)

        found = [
            *(self._report(recording_id, *_masked(pair, mask), log, reducers) for pair in self._pairs),
            *(self._ends(recording_id, log, left_over) if ended else ()),
        ]
        return tuple(told(report) for report in found)

    def _report(
        self,
        recording_id: str,
        recorded: Signal | None,
        actual: Signal | None,
        log: Sequence[Signal],
        reducers: Callable[[str], Sequence[str]],
    ) -> DriftReport:
        placed = recorded
        before = self._recorded[: recorded.seq] if actual is None and recorded is not None else ()
        if recorded is not None and actual is not None:
            before = log[: actual.seq]
            parent = recorded.source.parent
            if self._counterparts.get(actual.source.parent or "") == parent:
                parent = actual.source.parent
            placed = attrs.evolve(recorded, seq=actual.seq, source=attrs.evolve(recorded.source, parent=parent))
        elif actual is not None:
            before = log[: actual.seq]
        report = DriftReport.between(
            recording_id,
            -1 if recorded is None and actual is None else (recorded or cast("Signal", actual)).seq,
            placed,
            actual,
            log=before,
            reducers=reducers,
        )
        return attrs.evolve(report, recorded=recorded)

    def _ends(self, recording_id: str, log: Sequence[Signal], left_over: Sequence[Signal]) -> Iterator[DriftReport]:
        ends = self._recorded[-1], log[-1]
        if all(end.name == names.HARNESS_END for end in ends) and not same_end(*ends):
            placed = attrs.evolve(ends[0], seq=ends[1].seq, source=ends[1].source)
            yield DriftReport(
                recording_id=recording_id,
                seq=ends[0].seq,
                reason="the run ends otherwise than it was recorded",
                activation=None,
                recorded=ends[0],
                actual=ends[1],
                differences=differences_between(placed, ends[1]),
                subject="the end of the run",
            )
        if left_over:
            count = len(left_over)
            yield DriftReport(
                recording_id=recording_id,
                seq=left_over[0].seq,
                reason=f"{count} recorded {'arrival is' if count == 1 else 'arrivals are'} left over",
                activation=left_over[0].source.activation,
                recorded=left_over[0],
                actual=None,
                kind="unused",
                subject="recorded arrivals",
                agent=left_over[0].source.agent,
                unused=tuple(left_over),
            )
        states = RunFold.of(self._recorded).state, RunFold.of(log).state
        differences = tuple(find_differences(*states, path="state"))
        if differences:
            yield DriftReport(
                recording_id=recording_id,
                seq=ends[0].seq,
                reason="the final state is not the recorded one",
                activation=None,
                recorded=None,
                actual=None,
                differences=differences,
                kind="final_state",
                subject="the final state",
            )


def _masked(
    pair: tuple[Signal | None, Signal | None], mask: Callable[[Any], Any]
) -> tuple[Signal | None, Signal | None]:
    recorded, actual = pair
    return recorded, None if actual is None else attrs.evolve(actual, payload=mask(actual.payload))


def _side(signal: Signal, is_recorded: bool) -> str:
    return f"{is_recorded}:{signal.id}"


def _counted(step: Sequence[Signal]) -> Iterator[tuple[Signal, int]]:
    """The signals of a step, and how many of the same kind came before each."""
    counts: Counter[_Key] = Counter()
    for signal in step:
        kind = _key(signal, 0)
        yield signal, counts[kind]
        counts[kind] += 1


def _key(signal: Signal, ordinal: int) -> _Key:
    """What a signal is called in its step, in every run; the two choices of a guard are called alike."""
    source = signal.source
    if signal.name in _CHOICES:
        return "choice", source.agent, ordinal
    return signal.name, source.agent, source.activation, ordinal
