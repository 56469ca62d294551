"""What people are told of a signal, in a few words, and from which level on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from openharness.core.log import RESERVED_PREFIXES
from openharness.signals._provider_view import fields_of, object_of
from openharness.signals._reporters._metrics import sum_of
from openharness.signals._reporters._tally import run_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openharness.core.records import Signal
    from openharness.signals._reporters._tally import RunTally

__all__ = ("LEVELS", "Level", "counted", "describe", "is_problem", "rank_of", "seconds", "style_of", "used")

Level: TypeAlias = Literal["quiet", "normal", "verbose", "debug"]
"""How much is told of a run; each level has what the one before it has, and more."""

LEVELS: Final[tuple[Level, ...]] = ("quiet", "normal", "verbose", "debug")

_PROBLEMS: Final = frozenset(
    {
        *("agent:error", "provider:error", "subscriber:error"),
        *("harness:limit", "harness:timeout", "harness:cancelled"),
    }
)
_QUIET: Final = _PROBLEMS | {"harness:end", "harness:interrupted"}
_NORMAL: Final = frozenset(
    {
        *("harness:start", "harness:resumed", "harness:forked", "harness:ending", "harness:finished"),
        *("provider:warning", "provider:retry", "provider:restart"),
        *("text:delta", "text:rejected", "tool:call", "tool:result", "tool:rejected", "tool:restart", "tool:unknown"),
    }
)
_DEBUG: Final = frozenset({"text:complete", "thinking:complete"})


def rank_of(name: str) -> int:
    """Return the number of the first level that tells of signals with this name."""
    if name in _QUIET:
        return 0
    if name in _NORMAL or name.partition(":")[0] not in RESERVED_PREFIXES:
        return 1
    return 3 if name in _DEBUG else 2


def is_problem(signal: Signal) -> bool:
    """Tell whether a signal tells of something that went wrong."""
    ended_badly = signal.name == "harness:end" and fields_of(signal).get("status") != "completed"
    return ended_badly or signal.name in _PROBLEMS


def style_of(signal: Signal) -> str:
    """Return how a signal is to look."""
    if is_problem(signal):
        return "red"
    if signal.name == "harness:end":
        return "green"
    return "yellow" if signal.name.startswith(("provider:retry", "provider:warning")) else ""


def describe(signal: Signal, run: RunTally) -> str:
    """Return what to say of a signal beside its name. It may hold anything that a payload does.

    Args:
        signal: The signal.
        run: Its run, up to this signal.
    """
    words = _WORDS.get(signal.name)
    if words is not None:
        return words(signal, fields_of(signal), run)
    if signal.name.startswith("state:"):
        return _changed(fields_of(signal))
    if signal.name.partition(":")[0] not in RESERVED_PREFIXES:
        payload = fields_of(signal)
        return _json(payload["output"] if payload.keys() == {"agent", "output"} else signal.payload)
    return _json(signal.payload)


def seconds(milliseconds: int) -> str:
    """Return a time as people read it."""
    if milliseconds < 60_000:  # noqa: PLR2004 - a minute
        return f"{milliseconds / 1000:.1f} s"
    minutes, rest = divmod(milliseconds // 1000, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004


def counted(count: int, noun: str) -> str:
    """Return how many there are of something."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def used(run: RunTally) -> str:
    """Return what a run has used."""
    sums = sum_of(tally.totals for tally in run.tallies.agents.values())
    calls = sums["provider_calls"]
    text = counted(calls, "provider call")
    if sums["input_tokens"] or sums["output_tokens"]:
        text += f", {sums['input_tokens']:,} + {sums['output_tokens']:,} tokens"
    return f"{text}, US$ {sums['cost']:.4f}" if sums["cost"] else text


def _started(signal: Signal, payload: Mapping[str, Any], _: RunTally) -> str:
    agents = object_of(payload.get("agents"))
    return f"run {run_id_of(signal)}" + (f", agents {', '.join(agents)}" if agents else "")


def _ended(_: Signal, payload: Mapping[str, Any], run: RunTally) -> str:
    error = object_of(payload.get("error"))
    text = f"{payload.get('status')} in {seconds(run.duration_ms)}, {used(run)}"
    return f"{text}; {error.get('type')}: {error.get('message')}" if error else text


def _sent(signal: Signal, payload: Mapping[str, Any], _: RunTally) -> str:
    messages = object_of(payload.get("request")).get("messages")
    count = len(messages) if isinstance(messages, list) else 0  # pyright: ignore[reportUnknownArgumentType]
    return f"{signal.source.provider}, {counted(count, 'message')}"


def _answered(_: Signal, payload: Mapping[str, Any], run: RunTally) -> str:
    view = run.providers.views.get(str(payload.get("call")))
    if view is None or view.usage is None:
        return ""
    text = f"{seconds(view.duration_ms or 0)}, {view.usage.input_tokens:,} + {view.usage.output_tokens:,} tokens"
    return text if view.stop_reason is None else f"{text}, {view.stop_reason}"


def _provider_failed(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    error = object_of(payload.get("error"))
    return f"{error.get('kind')}: {error.get('message')}"


def _agent_failed(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    return f"{payload.get('kind')}: {payload.get('message')}"


def _retried(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    delay = payload.get("delay_ms")
    return f"once more after {seconds(delay)}" if type(delay) is int else "once more"


def _tool(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    return f"{payload.get('name')} {_json(payload.get('arguments'))}"


def _tool_ended(_: Signal, payload: Mapping[str, Any], run: RunTally) -> str:
    name = payload.get("name", run.tool_names.get(str(payload.get("tool_call"))))
    error = object_of(payload.get("error"))
    what = f"{error.get('kind')}: {error.get('message')}" if error else _json(payload.get("result"))
    return what if name is None else f"{name} {what}"


def _text_rejected(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    return str(object_of(payload.get("error")).get("message"))


def _message(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    return str(payload.get("message"))


def _reason(_: Signal, payload: Mapping[str, Any], __: RunTally) -> str:
    return str(payload.get("reason"))


def _nothing(_: Signal, __: Mapping[str, Any], ___: RunTally) -> str:
    return ""


def _changed(payload: Mapping[str, Any]) -> str:
    return f"{payload.get('operation')} {_json(payload.get('path'))} {_json(payload.get('value'))}"


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


_WORDS: Final[Mapping[str, Callable[[Signal, dict[str, Any], RunTally], str]]] = {
    "harness:start": _started,
    "harness:end": _ended,
    "agent:activated": _nothing,
    "agent:completed": _nothing,
    "agent:skipped": _reason,
    "agent:error": _agent_failed,
    "provider:start": _sent,
    "provider:end": _answered,
    "provider:error": _provider_failed,
    "provider:retry": _retried,
    "provider:warning": _message,
    "subscriber:error": _message,
    "text:rejected": _text_rejected,
    "tool:call": _tool,
    "tool:start": _tool,
    "tool:result": _tool_ended,
    "tool:rejected": _tool_ended,
    "tool:unknown": _tool_ended,
}
