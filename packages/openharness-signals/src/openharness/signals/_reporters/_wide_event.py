"""One event for each run, with all that is known of it side by side."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from openharness.core.errors import InvalidValueError
from openharness.core.values import JSONObject, JSONValue, copy_json
from openharness.signals._provider_view import object_of
from openharness.signals._reporters._metrics import latency_of, sum_of
from openharness.signals._reporters._reporter import Reporter
from openharness.signals._reporters._tally import OpenRuns, RunTally, Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openharness.core.records import RecordingInfo, Signal

__all__ = ("EventTarget", "TextTarget", "WideEventReporter")


class TextTarget(Protocol):
    """What text can be written to: an open file, standard output, `io.StringIO`."""

    def write(self, text: str, /) -> object:
        """Write text."""
        ...

    def flush(self) -> object:
        """Hand on what was written."""
        ...


EventTarget: TypeAlias = "Callable[[JSONObject], object] | logging.Logger | TextTarget"
"""Where events go: a function, a logger (as a line of JSON, and as ``record.event``), or a stream (as lines of JSON)."""


class WideEventReporter(Reporter):
    """Tells of each run by one event when it has ended: a flat JSON object, made to be searched and grouped.

    An event has

    - ``event``: ``"openharness.run"``;
    - ``run_id``; ``fixture``, ``tags`` and ``metadata.<key>`` where they are known: from the recording that is
      reported, or from the arguments; objects in the metadata are flattened, with dots;
    - ``status``: a word of `openharness.core.RunStatus`, or ``"incomplete"`` for a run whose end was not seen;
      ``terminated_early``: whether ``end_when`` ended it;
    - ``started_at`` and ``ended_at`` (milliseconds since the epoch, of the first signal and the last), ``duration_ms``,
      ``signals`` (how many);
    - ``error_type`` and ``error_message`` of what the run raised; ``error_kind`` (``"provider"``, ``"guard"``...),
      ``error_agent`` and ``error_activation`` of the last ``agent:error``; ``provider_error_kind`` of the last
      ``provider:error``; None where there was none;
    - ``activations``, ``skipped``, ``errors``, ``provider_calls``, ``retries``, ``input_tokens``, ``output_tokens``,
      ``cached_tokens`` and ``cost`` (US dollars), as in `openharness.core.RunMetrics`; ``provider_failures`` and
      ``provider_cancelled``: calls that failed, and that were given up; ``tools_asked``
      and ``tools_failed``: how often models asked for tools, and how many of these calls ended with an error;
    - ``provider_ms_p50``, ``provider_ms_p99``, ``provider_ms_max``: how long calls of providers took;
      ``first_token_ms_p50``, ``first_token_ms_max``: until the first piece of their answers; None without any;
    - ``agents``, ``providers``, ``models``, ``tools``: lists of names, sorted;
    - ``agent.<name>.activations``, ``.errors``, ``.provider_calls``, ``.input_tokens``, ``.output_tokens``, ``.cost``
      and ``.duration_ms`` (of its activations that ended, together) for each agent;
    - ``sample_reason``: ``"status"`` (it did not complete), ``"error"`` (an agent failed), ``"slow"``, or ``"rate"``;
      ``sample_rate``: how many of the runs kept for this reason there are for each such run, from above 0 to 1. To
      count runs, count each event ``1 / sample_rate`` times.

    Args:
        target: Where events go.
        rate: The share of runs that are told of, from 0 to 1. Which ones depends on their ids alone, so that all
            reporters choose the same. Runs that did not complete, in which an agent failed, or that were slow are told
            of at any rate.
        slow_ms: From how many milliseconds on a run is slow; None: no run is.
        fixture: The fixture of the runs.
        tags: Their tags.
        metadata: What else is known of them, as JSON values.

    Raises:
        InvalidValueError: The rate or the limit is none, or the target is none of the three.
    """

    def __init__(
        self,
        target: EventTarget,
        *,
        rate: float = 1.0,
        slow_ms: int | None = None,
        fixture: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, JSONValue] | None = None,
    ) -> None:
        if type(rate) not in {int, float} or not 0 <= rate <= 1:
            raise InvalidValueError("rate", value=rate, expected="a number from 0 to 1")
        if slow_ms is not None and (type(slow_ms) is not int or slow_ms < 0):
            raise InvalidValueError("slow_ms", value=slow_ms, expected="milliseconds, as an integer from 0 on, or None")
        self._write = _writer(target)
        self._rate = rate
        self._slow_ms = slow_ms
        self._given = _known(fixture, tags, metadata)
        self._introduced: dict[str, JSONObject] = {}
        self._open = OpenRuns(lambda run_id, signal: RunTally(run_id, signal, Tallies()))

    def introduce(self, info: RecordingInfo) -> None:
        """Take fixture, tags and metadata of a recording."""
        self._introduced[info.run_id] = _known(info.name, info.tags, info.metadata)

    def __call__(self, signal: Signal) -> None:
        """Take the next signal of a run."""
        left = self._open.begun_again(signal)
        if left is not None:
            self._tell(left)
        run = self._open.of(signal)
        run.apply(signal)
        if run.end is not None:
            self._open.end(signal)
            self._tell(run)

    def close(self) -> None:
        """Tell of the runs that have not ended."""
        for run in self._open.leave():
            self._tell(run)

    def _tell(self, run: RunTally) -> None:
        known = {**self._introduced.pop(run.run_id, {}), **self._given}
        event = _event(run, known)
        reason = self._reason(run, errors=bool(event["errors"]))
        rate = self._rate if reason == "rate" else 1.0
        if reason != "rate" or _share(run.run_id) < rate:
            self._write({**event, "sample_reason": reason, "sample_rate": rate})

    def _reason(self, run: RunTally, *, errors: bool) -> str:
        if run.status != "completed":
            return "status"
        if errors:
            return "error"
        return "slow" if self._slow_ms is not None and run.duration_ms >= self._slow_ms else "rate"


def _event(run: RunTally, known: JSONObject) -> JSONObject:
    tallies = run.tallies
    end = run.end or {}
    error = object_of(end.get("error"))
    agent_error, provider_error = run.agent_error or {}, run.provider_error or {}
    calls = latency_of([took for tally in tallies.providers.values() for took in tally.durations])
    first = latency_of([took for tally in tallies.providers.values() for took in tally.first_tokens])
    event: dict[str, Any] = {
        "event": "openharness.run",
        "run_id": run.run_id,
        **known,
        "status": run.status,
        "terminated_early": end.get("terminated_early") is True,
        "started_at": run.started_at,
        "ended_at": run.last_at,
        "duration_ms": run.duration_ms,
        "signals": run.signals,
        "error_type": error.get("type"),
        "error_message": error.get("message"),
        "error_kind": agent_error.get("kind"),
        "error_agent": agent_error.get("agent"),
        "error_activation": agent_error.get("activation"),
        "provider_error_kind": provider_error.get("kind"),
        **sum_of(tally.totals for tally in tallies.agents.values()),
        "provider_failures": sum(tally.failed for tally in tallies.providers.values()),
        "provider_cancelled": sum(tally.cancelled for tally in tallies.providers.values()),
        "tools_asked": sum(tally.calls for tally in tallies.tools.values()),
        "tools_failed": sum(tally.errors for tally in tallies.tools.values()),
        "provider_ms_p50": calls.p50_ms,
        "provider_ms_p99": calls.p99_ms,
        "provider_ms_max": calls.max_ms,
        "first_token_ms_p50": first.p50_ms,
        "first_token_ms_max": first.max_ms,
        "agents": sorted(tallies.agents),
        "providers": sorted(tallies.providers),
        "models": sorted(run.models),
        "tools": sorted(tallies.tools),
    }
    for name, tally in tallies.agents.items():
        totals = tally.totals
        event |= {
            f"agent.{name}.activations": totals.activations,
            f"agent.{name}.errors": totals.errors,
            f"agent.{name}.provider_calls": totals.provider_calls,
            f"agent.{name}.input_tokens": totals.input_tokens,
            f"agent.{name}.output_tokens": totals.output_tokens,
            f"agent.{name}.cost": totals.cost,
            f"agent.{name}.duration_ms": sum(tally.durations),
        }
    return event


def _known(fixture: str | None, tags: Sequence[str], metadata: Mapping[str, JSONValue] | None) -> JSONObject:
    known: JSONObject = {}
    if fixture is not None:
        known["fixture"] = fixture
    if tags:
        known["tags"] = list(tags)
    if metadata:
        known |= _flat("metadata", dict(metadata))
    return known


def _flat(name: str, value: JSONValue) -> JSONObject:
    if isinstance(value, dict) and value:
        flat: JSONObject = {}
        for key, item in value.items():
            flat |= _flat(f"{name}.{key}", item)
        return flat
    return {name: copy_json(value)}


def _share(run_id: str) -> float:
    """A number from 0 to below 1 that belongs to a run."""
    digest = hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).digest()
    # As many bits as a float holds exactly: one more, and the largest would be rounded up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _writer(target: EventTarget) -> Callable[[JSONObject], object]:
    if isinstance(target, logging.Logger):
        return lambda event: target.info("%s", _line(event), extra={"event": event})
    write, flush = getattr(target, "write", None), getattr(target, "flush", None)
    if callable(write) and callable(flush):

        def write_line(event: JSONObject) -> None:
            write(_line(event) + "\n")
            flush()

        return write_line
    if callable(target):
        return target
    raise InvalidValueError("target", value=target, expected="a function, a logging.Logger or a text stream")


def _line(event: JSONObject) -> str:
    # In ASCII: half characters, which models write, are no text that every stream could hold.
    return json.dumps(event)
