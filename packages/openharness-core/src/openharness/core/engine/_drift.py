"""Where a replay differs from its recording, told so that one sees why."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs

from openharness.core.records import Signal
from openharness.core.values import Difference, dump_json, find_differences
from openharness.core.values._differences import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core.values import JSONValue

__all__ = ("DriftReport", "same_signal")


@attrs.frozen(kw_only=True)
class DriftReport:
    """The first difference between a recording and its replay.

    Attributes:
        recording_id: The recording.
        seq: The position of the first difference.
        reason: What is wrong, in one sentence.
        activation: The activation it happened in; None outside of one.
        recorded: The recorded signal; None where the recording has none.
        actual: The signal that came; None where none came.
        differences: Where the two differ, if there are two.
    """

    recording_id: str
    seq: int
    reason: str
    activation: str | None
    recorded: Signal | None
    actual: Signal | None
    differences: tuple[Difference, ...] = ()

    @classmethod
    def between(cls, recording_id: str, seq: int, recorded: Signal | None, actual: Signal | None) -> DriftReport:
        """Return the report for a position where the recording has one signal and the replay another."""
        present = actual or recorded
        activation = None if present is None else present.source.activation
        differences: tuple[Difference, ...] = ()
        if recorded is None and actual is not None:
            reason = f"the recording has ended, and the run goes on with {actual.name!r}"
        elif actual is None and recorded is not None:
            reason = f"the recording has {recorded.name!r} here, and the run caused nothing more"
        elif recorded is not None and actual is not None and recorded.name != actual.name:
            reason = f"the recording has {recorded.name!r} here, and the run made {actual.name!r}"
        else:
            name = "" if present is None else present.name
            reason = f"{name!r} is not what was recorded"
            differences = tuple(_differences(recorded, actual))
        return cls(
            recording_id=recording_id,
            seq=seq,
            reason=reason,
            activation=activation,
            recorded=recorded,
            actual=actual,
            differences=differences,
        )

    def __str__(self) -> str:
        """Return the report as text of a few lines."""
        where = f" in {self.activation}" if self.activation else ""
        lines = [f"Replay drifted from recording {self.recording_id!r} at signal {self.seq}{where}: {self.reason}."]
        if self.differences:
            lines += [f"  {line}" for difference in self.differences for line in str(difference).splitlines()]
        else:
            lines += [f"  recorded: {_told(self.recorded)}", f"  actual:   {_told(self.actual)}"]
        lines.append("If the change is meant, record the run again.")
        return "\n".join(lines)


def same_signal(recorded: Signal, actual: Signal) -> bool:
    """Tell whether a signal is the recorded one. Its provider does not count: in a replay there is none."""
    if recorded.name != actual.name or recorded.seq != actual.seq:
        return False
    if dump_json(recorded.payload) != dump_json(actual.payload):
        return False
    one, other = recorded.source, actual.source
    return (one.agent, one.activation, one.parent) == (other.agent, other.activation, other.parent)


def _differences(recorded: Signal | None, actual: Signal | None) -> Iterator[Difference]:
    if recorded is None or actual is None:
        return
    for part in ("agent", "activation", "parent"):
        one, other = getattr(recorded.source, part), getattr(actual.source, part)
        if one != other:
            yield Difference(f"source.{part}", one, other)
    payloads = cast("JSONValue", recorded.payload), cast("JSONValue", actual.payload)
    found = list(find_differences(*payloads, path="payload"))
    # A digest only repeats that something it covers differs.
    meaningful = [difference for difference in found if not difference.path.endswith(".digest")]
    yield from meaningful or found


def _told(signal: Signal | None) -> str:
    return "nothing" if signal is None else f"{signal.name} {shown(signal.payload)}"
