"""From signals to spans: what begins and what ends with each signal of a run. Nothing here knows of a tracer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

import attrs

from openharness.core.log import is_arrival
from openharness.core.records import Signal
from openharness.opentelemetry import _names as names
from openharness.opentelemetry._attributes import (
    AttributeMap,
    fields_of,
    integer,
    items_of,
    json_text,
    known,
    nanoseconds,
    number,
    plain,
    text,
)
from openharness.opentelemetry._messages import answer_content, request_content

if TYPE_CHECKING:
    from openharness.opentelemetry._attributes import Value

__all__ = ("RUN", "RunSpans", "SpanEnd", "SpanFailure", "SpanKey", "SpanLink", "SpanOptions", "SpanStart", "SpanStep")

SpanKey: TypeAlias = "tuple[Literal['run', 'agent', 'chat', 'tool'], str]"
"""What a span is of: the run, or an activation, a call of a provider or a call of a tool by its id."""

RUN: Final[SpanKey] = ("run", "")

_CANCELLED: Final = "cancelled"
_INCOMPLETE: Final = "incomplete"
_INTERRUPTED: Final = "interrupted"
_OTHER: Final = "_OTHER"
"""The conventions' word for an error of which no more is known."""
_FIRST: Final = "/0/0"
"""How the first call of every activation ends."""
_MS: Final = 1000
_NUMBERS: Final[Mapping[str, str]] = {
    "temperature": names.TEMPERATURE,
    "top_p": names.TOP_P,
    "frequency_penalty": names.FREQUENCY_PENALTY,
    "presence_penalty": names.PRESENCE_PENALTY,
}
_INTEGERS: Final[Mapping[str, str]] = {
    "max_tokens": names.MAX_TOKENS,
    "seed": names.REQUEST_SEED,
    "top_k": names.TOP_K,
}
_USAGE: Final[Mapping[str, str]] = {
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
    "cached_tokens": names.READ_FROM_CACHE,
}


@attrs.frozen(kw_only=True)
class SpanOptions:
    """What the spans of a run are to say beside what its signals say.

    Attributes:
        content: Whether they hold what was said.
        workflow: The name of what is run.
        conversation_of: The conversation of a run, by its first signal.
        provider_names: What providers are called, by `Provider.type`, where it is not that.
    """

    content: bool = False
    workflow: str | None = None
    conversation_of: Callable[[Signal], str | None] | None = None
    provider_names: Mapping[str, str] = names.PROVIDER_NAMES


@attrs.frozen
class SpanLink:
    """Another activation that caused this one.

    Attributes:
        key: Its span.
        attributes: Those of the link.
    """

    key: SpanKey
    attributes: AttributeMap


@attrs.frozen(kw_only=True)
class SpanStart:
    """A span begins.

    Attributes:
        key: What it is of.
        parent: The span it is in; None for that of the run.
        name: Its name.
        client: Whether it stands for a request to another process.
        at: When, in nanoseconds since the epoch.
        attributes: What is known of it from the beginning.
        links: What caused it.
    """

    key: SpanKey
    parent: SpanKey | None
    name: str
    at: int
    attributes: AttributeMap
    client: bool = False
    links: tuple[SpanLink, ...] = ()


@attrs.frozen
class SpanFailure:
    """Why something went wrong.

    Attributes:
        type: One of few words: ``error.type``.
        message: A sentence.
    """

    type: str
    message: str | None = None


@attrs.frozen(kw_only=True)
class SpanEnd:
    """A span ends.

    Attributes:
        key: What it is of.
        at: When, in nanoseconds since the epoch.
        attributes: What is known of it now.
        failure: What went wrong; None where nothing did.
    """

    key: SpanKey
    at: int
    attributes: AttributeMap = attrs.field(factory=dict[str, "Value"])
    failure: SpanFailure | None = None


SpanStep: TypeAlias = SpanStart | SpanEnd
"""What happens to a span."""


@attrs.define
class _Activation:
    """What is known of an activation that goes on."""

    agent: str
    model: str | None = None
    finish_reasons: list[str] = attrs.field(factory=list[str])
    usage: dict[str, int] = attrs.field(factory=dict[str, int])
    request: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    vendor_ids: dict[str, str] = attrs.field(factory=dict[str, str])
    tools: dict[str, dict[str, Any]] = attrs.field(factory=dict[str, dict[str, Any]])
    conversation: str | None = None


@attrs.define
class _Chat:
    """What is known of a call of a provider that goes on."""

    activation: str
    started: int
    first_chunk: int | None = None
    asked: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])


class RunSpans:
    """The spans of one run: takes its signals one by one and says what begins and what ends.

    It depends on nothing but the signals and the options, so the spans of a run that goes on and those of its recording
    are the same. A log that begins in the middle, as that of a resumed run does for who listens to it, has the spans of
    what arrived since. Signals that follow no rule are passed over.

    Args:
        options: What the spans are to say.
    """

    def __init__(self, options: SpanOptions) -> None:
        self._options = options
        self._steps: list[SpanStep] = []
        self._last = 0
        self._began = False
        self._ended = False
        # What every span says.
        self._common: dict[str, Value] = {}
        # In the order in which they began, so that what is left is ended in a known order.
        self._open: dict[SpanKey, int] = {}
        self._activations: dict[str, _Activation] = {}
        self._chats: dict[str, _Chat] = {}
        self._seen: set[str] = set()
        # The signals of the step that is under way: those may be causes.
        self._step: dict[str, Signal] = {}

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self._ended

    def apply(self, signal: Signal) -> list[SpanStep]:
        """Return what the next signal begins and ends."""
        self._steps = []
        if self._ended:
            # Nothing comes after the end of a run, in a log of ours.
            return self._steps
        at = nanoseconds(signal)
        if not self._began:
            self._begin(signal, at)
        self._remember(signal)
        handler = self._HANDLERS.get(signal.name)
        if handler is not None:
            handler(self, signal, fields_of(signal.payload), at)
        self._last = at
        return self._steps

    def leave(self) -> list[SpanStep]:
        """Return the ends of what has not ended: no more signals come."""
        self._steps = []
        failure = SpanFailure(_INCOMPLETE, "Its end is not in the log.")
        self._close(lambda key: key != RUN, self._last, failure)
        if RUN in self._open:
            self._end(RUN, self._last, {names.RUN_STATUS: _INCOMPLETE}, failure)
        return self._steps

    # What is common to all.

    def _begin(self, signal: Signal, at: int) -> None:
        self._began = True
        options = self._options
        conversation = None if options.conversation_of is None else options.conversation_of(signal)
        payload = fields_of(signal.payload)
        forked, resumed = signal.name == "harness:forked", signal.name == "harness:resumed"
        self._common = known(
            {
                names.CONVERSATION_ID: text(conversation),
                names.RUN_ID: text(signal.id.removesuffix(f"/{signal.seq}")),
            }
        )
        attributes = known(
            {
                names.OPERATION_NAME: names.INVOKE_WORKFLOW,
                names.WORKFLOW_NAME: text(options.workflow),
                **self._common,
                names.FORKED_FROM: text(payload.get("run_id")) if forked else None,
                names.RESUMED_FROM: text(payload.get("resumed_from")) if resumed else None,
            }
        )
        self._start(RUN, None, _titled(names.INVOKE_WORKFLOW, text(options.workflow)), at, attributes)

    def _remember(self, signal: Signal) -> None:
        # Whoever a signal activates is activated in the step that it belongs to.
        if is_arrival(signal):
            self._step.clear()
        if signal.source.activation:
            self._step[signal.id] = signal

    def _start(
        self,
        key: SpanKey,
        parent: SpanKey | None,
        name: str,
        at: int,
        attributes: AttributeMap,
        *,
        client: bool = False,
        links: tuple[SpanLink, ...] = (),
    ) -> None:
        if key in self._open:
            self._end(key, at, {}, SpanFailure(_INTERRUPTED, "It began anew."))
        self._open[key] = at
        self._steps.append(
            SpanStart(key=key, parent=parent, name=name, at=at, attributes=attributes, client=client, links=links)
        )

    def _end(self, key: SpanKey, at: int, attributes: Mapping[str, Value], failure: SpanFailure | None = None) -> None:
        started = self._open.pop(key, None)
        if started is None:
            return
        kind, id_ = key
        told = dict(attributes)
        if kind == "agent":
            told |= self._summary(self._activations.pop(id_, None))
        elif kind == "chat":
            self._chats.pop(id_, None)
        if failure is not None:
            told[names.ERROR_TYPE] = failure.type
        self._steps.append(SpanEnd(key=key, at=max(at, started), attributes=told, failure=failure))

    def _close(self, which: Callable[[SpanKey], bool], at: int, failure: SpanFailure | None) -> None:
        """End what is still open, the youngest first: what is inside of another ends before it."""
        for key in [key for key in reversed(self._open) if which(key)]:
            self._end(key, at, {}, failure)

    # The run.

    def _finish(self, _: Signal, payload: Mapping[str, Any], at: int) -> None:
        status = text(payload.get("status")) or _OTHER
        failure = _failure_of_run(status, fields_of(payload.get("error")))
        left = None if failure is None else SpanFailure(_CANCELLED, "The run ended before it did.")
        self._close(lambda key: key != RUN, at, left)
        early = True if payload.get("terminated_early") is True else None
        self._end(RUN, at, known({names.RUN_STATUS: status, names.TERMINATED_EARLY: early}), failure)
        self._ended = True

    def _taken_up(self, _: Signal, __: Mapping[str, Any], at: int) -> None:
        """End what was under way when its process ended, or when the log was cut: it begins anew, or never does."""
        failure = SpanFailure(_INTERRUPTED, "The run was resumed or forked while it was under way.")
        # The time of the last signal before: nobody knows more of when it ended.
        self._close(lambda key: key[0] in {"chat", "tool"}, self._last or at, failure)

    # Activations.

    def _activated(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        activation = text(payload.get("activation"))
        if activation is None:
            return
        links: tuple[SpanLink, ...] = ()
        cause = self._step.get(signal.source.parent or "")
        maker = None if cause is None else text(cause.source.activation)
        if cause is not None and maker in self._seen:
            about = {names.SIGNAL_NAME: plain(cause.name), names.SIGNAL_ID: plain(cause.id)}
            links = (SpanLink(("agent", maker), about),)
        self._begin_activation(activation, text(payload.get("agent")), at, links)

    def _begin_activation(
        self, activation: str, agent: str | None, at: int, links: tuple[SpanLink, ...] = ()
    ) -> _Activation:
        name = agent or activation.rpartition("#")[0] or activation
        attributes = known(
            {
                names.OPERATION_NAME: names.INVOKE_AGENT,
                names.AGENT_NAME: name,
                **self._common,
                names.ACTIVATION: activation,
            }
        )
        self._start(("agent", activation), RUN, _titled(names.INVOKE_AGENT, name), at, attributes, links=links)
        self._seen.add(activation)
        begun = self._activations[activation] = _Activation(name)
        return begun

    def _activation(self, signal: Signal, at: int, call: str) -> tuple[str, _Activation]:
        """The activation that a call belongs to; begun here, where its beginning was not seen."""
        activation = text(signal.source.activation) or call.rsplit("/", 2)[0] or call
        going = self._activations.get(activation)
        return activation, going or self._begin_activation(activation, text(signal.source.agent), at)

    def _completed(self, _: Signal, payload: Mapping[str, Any], at: int) -> None:
        self._leave_activation(text(payload.get("activation")), at, None)

    def _failed(self, _: Signal, payload: Mapping[str, Any], at: int) -> None:
        data, kind = fields_of(payload.get("data")), text(payload.get("kind"))
        detail = text(data.get("kind")) if kind == "provider" else None
        self._leave_activation(
            text(payload.get("activation")), at, SpanFailure(detail or kind or _OTHER, text(payload.get("message")))
        )

    def _leave_activation(self, activation: str | None, at: int, failure: SpanFailure | None) -> None:
        if activation is None:
            return
        inside = ("chat", "tool")
        self._close(
            lambda key: key[0] in inside and key[1].startswith(f"{activation}/"),
            at,
            SpanFailure(_CANCELLED, "Its activation ended before it did."),
        )
        self._end(("agent", activation), at, {}, failure)

    def _summary(self, activation: _Activation | None) -> dict[str, Value]:
        if activation is None:
            return {}
        summary: dict[str, Value] = dict(activation.usage)
        if activation.conversation is not None:
            summary[names.CONVERSATION_ID] = activation.conversation
        if activation.model is not None:
            summary[names.REQUEST_MODEL] = activation.model
        if activation.finish_reasons:
            summary[names.FINISH_REASONS] = activation.finish_reasons
        return summary

    # Calls of providers.

    def _sent(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        call = text(payload.get("call"))
        if call is None:
            return
        if call.endswith(_FIRST):
            # Only the first request of an activation tells; after a fork there is a first one again.
            _, going = self._activation(signal, at, call)
            going.conversation = self._conversation_of(going.agent) if "history" in payload else None
        self._begin_chat(signal, call, fields_of(payload.get("request")), at)

    def _sent_again(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        call = text(payload.get("call"))
        if call is not None:
            _, going = self._activation(signal, at, call)
            self._begin_chat(signal, call, going.request, at)

    def _conversation_of(self, agent: str) -> str | None:
        """Name the conversation that an agent keeps in this run, unless the application has named that of the run."""
        run = self._common.get(names.RUN_ID)
        return None if run is None or names.CONVERSATION_ID in self._common else f"{run}/{agent}"

    def _begin_chat(self, signal: Signal, call: str, request: Mapping[str, Any], at: int) -> _Chat:
        activation, going = self._activation(signal, at, call)
        provider = text(signal.source.provider) or _OTHER
        model = text(request.get("model"))
        going.model = model or going.model
        going.request = request
        options = {**fields_of(request.get("options")), **request}
        attributes = known(
            {
                names.OPERATION_NAME: names.CHAT,
                names.PROVIDER_NAME: self._options.provider_names.get(provider, provider),
                names.REQUEST_MODEL: model,
                names.CONVERSATION_ID: going.conversation,
                **self._common,
                names.CALL: call,
                names.OUTPUT_TYPE: "json" if request.get("output_schema") is not None else None,
                names.STOP_SEQUENCES: _texts(request.get("stop")),
                **{attribute: number(options.get(name)) for name, attribute in _NUMBERS.items()},
                **{attribute: integer(options.get(name)) for name, attribute in _INTEGERS.items()},
            }
        )
        if self._options.content and request:
            attributes |= request_content(request)
        self._start(
            ("chat", call),
            ("agent", activation),
            _titled(names.CHAT, model),
            at,
            attributes,
            client=provider not in names.IN_PROCESS,
        )
        begun = self._chats[call] = _Chat(activation, at)
        return begun

    def _chat(self, signal: Signal, payload: Mapping[str, Any], at: int) -> tuple[str, _Chat] | None:
        """The call that a signal belongs to; begun here, where its beginning was not seen."""
        call = text(payload.get("call"))
        if call is None:
            return None
        return call, self._chats.get(call) or self._begin_chat(signal, call, {}, at)

    def _piece(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        found = self._chat(signal, payload, at)
        if found is not None and found[1].first_chunk is None:
            found[1].first_chunk = at

    def _asked(self, signal: Signal, payload: dict[str, Any], at: int) -> None:
        found = self._chat(signal, payload, at)
        if found is not None:
            found[1].asked.append(payload)

    def _answered(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        found = self._chat(signal, payload, at)
        if found is None:
            return
        call, chat = found
        output = fields_of(payload.get("output"))
        usage = fields_of(output.get("usage"))
        tokens = {
            attribute: count
            for name, attribute in _USAGE.items()
            if (count := integer(usage.get(name))) is not None and count >= 0
        }
        # All of them 0 says that the provider told nothing; what was not read from a cache is not worth a line.
        tokens = {name: count for name, count in tokens.items() if count or name != names.READ_FROM_CACHE}
        if not any(tokens.values()):
            tokens = {}
        reason = text(output.get("stop_reason"))
        reasons = None if reason is None else [names.FINISH_WORDS.get(reason, reason)]
        _, activation = self._activation(signal, at, call)
        for name, count in tokens.items():
            activation.usage[name] = min(activation.usage.get(name, 0) + count, 2**63 - 1)
        activation.finish_reasons = reasons or []
        turn = call.rpartition("/")[0]
        activation.vendor_ids = {
            f"{turn}/{index}": text(asked.get("id")) or "" for index, asked in enumerate(chat.asked)
        }
        attributes = known(
            {
                **tokens,
                names.RESPONSE_MODEL: text(output.get("model")),
                names.FINISH_REASONS: reasons,
                names.REQUEST_ID: text(output.get("request_id")),
                names.COST: number(usage.get("cost")),
                **_streamed(chat),
            }
        )
        if self._options.content:
            attributes |= answer_content(output, chat.asked)
        self._end(("chat", call), at, attributes)

    def _unanswered(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        found = self._chat(signal, payload, at)
        if found is None:
            return
        call, chat = found
        error = fields_of(payload.get("error"))
        kind, type_ = text(error.get("kind")), text(error.get("type"))
        # An exception that is none of ours has no kind but its type.
        failure = SpanFailure((type_ if kind in {None, "error"} else kind) or _OTHER, text(error.get("message")))
        self._end(("chat", call), at, known(_streamed(chat)), failure)

    # Calls of tools.

    def _tool_started(self, signal: Signal, payload: Mapping[str, Any], at: int) -> None:
        call = text(payload.get("tool_call"))
        if call is None:
            return
        activation, going = self._activation(signal, at, call)
        # That it runs again says no more than which one it is.
        payload = going.tools[call] = {**going.tools.get(call, {}), **payload}
        name = text(payload.get("name"))
        attributes = known(
            {
                names.OPERATION_NAME: names.EXECUTE_TOOL,
                names.TOOL_NAME: name,
                names.TOOL_TYPE: "function",
                names.TOOL_DESCRIPTION: _description(going.request, name),
                names.TOOL_CALL_ID: going.vendor_ids.get(call) or None,
                names.AGENT_NAME: going.agent,
                # The conventions give no conversation to tools.
                names.RUN_ID: self._common.get(names.RUN_ID),
                names.TOOL_CALL: call,
            }
        )
        if self._options.content and "arguments" in payload:
            attributes[names.TOOL_ARGUMENTS] = json_text(payload["arguments"])
        self._start(("tool", call), ("agent", activation), _titled(names.EXECUTE_TOOL, name), at, attributes)

    def _tool_ended(self, _: Signal, payload: Mapping[str, Any], at: int) -> None:
        call = text(payload.get("tool_call"))
        if call is None:
            return
        failure = None
        if payload.get("error") is not None:
            error = fields_of(payload["error"])
            type_ = text(error.get("type")) or text(error.get("kind")) or _OTHER
            failure = SpanFailure(type_, text(error.get("message")))
        attributes: dict[str, Value] = {}
        if self._options.content and failure is None and "result" in payload:
            attributes[names.TOOL_RESULT] = json_text(payload["result"])
        self._end(("tool", call), at, attributes, failure)

    _HANDLERS: ClassVar[Mapping[str, Callable[[Any, Signal, dict[str, Any], int], None]]] = {
        "harness:resumed": _taken_up,
        "harness:forked": _taken_up,
        "harness:end": _finish,
        "agent:activated": _activated,
        "agent:completed": _completed,
        "agent:error": _failed,
        "provider:start": _sent,
        "provider:restart": _sent_again,
        "text:delta": _piece,
        "thinking:delta": _piece,
        "tool:call": _asked,
        "provider:end": _answered,
        "provider:error": _unanswered,
        "tool:start": _tool_started,
        "tool:restart": _tool_started,
        "tool:result": _tool_ended,
        "tool:unknown": _tool_ended,
    }


def _titled(operation: str, subject: str | None) -> str:
    return operation if subject is None else f"{operation} {subject}"


def _failure_of_run(status: str, error: Mapping[str, Any]) -> SpanFailure | None:
    """Why a run did not complete. One that waits for a person did not go wrong."""
    if status in {"completed", _INTERRUPTED}:
        return None
    message = text(error.get("message"))
    if status == _CANCELLED:
        return SpanFailure(_CANCELLED, message or "The run was cancelled.")
    return SpanFailure(text(error.get("type")) or status, message)


def _description(request: Mapping[str, Any], name: str | None) -> str | None:
    """What the model was told that a tool does."""
    for tool in items_of(request.get("tools")):
        fields = fields_of(tool)
        if name is not None and text(fields.get("name")) == name:
            return text(fields.get("description"))
    return None


def _texts(value: object) -> list[str] | None:
    return [one for one in map(text, items_of(value)) if one is not None] or None


def _streamed(chat: _Chat) -> dict[str, Value | None]:
    if chat.first_chunk is None:
        return {}
    seconds = max(chat.first_chunk - chat.started, 0) / _MS / 1_000_000
    return {names.REQUEST_STREAM: True, names.TIME_TO_FIRST_CHUNK: seconds}
