"""Worked examples: conversations that show a model what is wanted of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from openharness.core.errors import DefinitionError
from openharness.core.interfaces import Message
from openharness.core.values import JSONObject, to_json

__all__ = ("ExamplesLike", "example_messages")

ExamplesLike: TypeAlias = Iterable[Message | tuple[str, str]]
"""Messages, oldest first; or pairs of what a user says and what the model should answer; or both."""

_FOLLOWS: Final = {
    "nothing": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
    "tool": ("assistant",),
}


def example_messages(given: ExamplesLike) -> tuple[JSONObject, ...]:
    """Return worked examples as messages of a request in the log.

    Raises:
        DefinitionError: They are no messages and pairs, or not a conversation that a user begins, in which each call of
            a tool has its result, and that an answer ends.
    """
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _refused(f"got {given!r}")
    messages = [message for one in given for message in _messages(one)]
    unanswered: list[str] = []
    last: str = "nothing"
    for message in messages:
        if message.role not in (("tool",) if unanswered else _FOLLOWS[last]):
            raise _refused(f"got a message of the {message.role} after {last}")
        if unanswered and message.tool_call_id != unanswered.pop(0):
            raise _refused(f"got the result of a call {message.tool_call_id!r} out of turn")
        unanswered += [call.id for call in message.tool_calls]
        last = message.role
    if messages and (unanswered or last != "assistant"):
        raise _refused(f"got one that ends with {'a call of a tool' if unanswered else last}")
    return tuple(_as_recorded(message) for message in messages)


def _messages(given: object) -> list[Message]:
    if isinstance(given, Message):
        if str(given.role) not in ("user", "assistant", "tool") or (given.tool_calls and given.role != "assistant"):
            raise _refused(f"got {given!r}")
        return [given]
    match given:
        case (str(question), str(answer)):
            return [Message("user", question), Message("assistant", answer)]
        case _:
            raise _refused(f"got {given!r}")


def _as_recorded(message: Message) -> JSONObject:
    recorded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        recorded["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        recorded["tool_call_id"] = message.tool_call_id
    if message.is_error:
        recorded["is_error"] = True
    if message.continuation is not None:
        recorded["continuation"] = message.continuation
    try:
        return cast("JSONObject", to_json(recorded))
    except ValueError as error:
        raise _refused(f"got one that is not made of JSON values: {error}") from error


def _refused(what: str) -> DefinitionError:
    return DefinitionError(
        "examples must be messages (Message), or pairs of a question and its answer, that make a conversation: a user "
        f"begins, the results of tools follow the calls in their order, and an answer of the model ends it; {what}."
    )
