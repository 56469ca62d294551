"""An agent's conversation: what its activations have said so far, and how much of that the next one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.values import JSONObject, dump_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.values import JSONValue

__all__ = ("NO_ANSWER", "Exchange", "Recollection", "exchange_of", "recall")

NO_ANSWER: Final = "(no answer)"
"""What stands for an answer without text, since providers refuse empty messages. It is part of recordings."""

_BYTES_PER_TOKEN: Final = 4
_MOST_TOKENS: Final = 2**53


@attrs.frozen
class Exchange:
    """What one activation has added to the conversation of its agent; it is kept or dropped as a whole.

    Attributes:
        messages: The prompt, the tools that were asked for with their results, and the last answer.
        tokens: How many tokens they take.
    """

    messages: tuple[JSONObject, ...]
    tokens: int


@attrs.frozen
class Recollection:
    """What of a conversation a request begins with.

    Attributes:
        messages: The messages, oldest first.
        tokens: How many tokens they take.
        dropped: How many exchanges were left out, the oldest ones.
    """

    messages: tuple[JSONObject, ...]
    tokens: int
    dropped: int

    def to_payload(self, *, examples: int) -> JSONObject:
        """Return what a request's signal tells of it.

        Args:
            examples: How many messages of worked examples come before it in the request.
        """
        payload: JSONObject = {"messages": len(self.messages), "tokens": self.tokens, "dropped": self.dropped}
        return {**payload, "examples": examples} if examples else payload


def recall(conversation: Sequence[Exchange], most: int) -> Recollection:
    """Return the newest exchanges that take no more than so many tokens together."""
    tokens, kept = 0, len(conversation)
    while kept and tokens + conversation[kept - 1].tokens <= most:
        kept -= 1
        tokens += conversation[kept].tokens
    messages = tuple(message for exchange in conversation[kept:] for message in exchange.messages)
    return Recollection(messages, tokens, kept)


def exchange_of(request: JSONObject, answer: JSONObject, history: int) -> Exchange:
    """Return what an activation has added to its agent's conversation.

    Its tokens are its share, by bytes, of those that the provider has counted for the last request and its answer; where
    the provider has counted none, one for every four bytes of JSON.

    Args:
        request: Its last request.
        answer: The answer to it.
        history: How many of the request's messages were there before.
    """
    messages = cast("list[JSONObject]", request["messages"])
    system = bool(messages) and messages[0].get("role") == "system"
    said = cast("str", answer["content"])
    last: JSONObject = {"role": "assistant", "content": said if said.strip() else NO_ANSWER}
    if "continuation" in answer:
        # What a provider needs to find the conversation again, such as the id of a session on its side.
        last["continuation"] = answer["continuation"]
    added = (*messages[system + history :], last)
    return Exchange(added, _tokens(added, [request, last], cast("dict[str, Any]", answer.get("usage") or {})))


def _tokens(added: Sequence[JSONValue], everything: Sequence[JSONValue], usage: dict[str, Any]) -> int:
    own = sum(len(dump_json(part)) for part in added)
    counted = min(int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0), _MOST_TOKENS)
    if counted <= 0:
        return -(-own // _BYTES_PER_TOKEN)
    return -(-counted * own // sum(len(dump_json(part)) for part in everything))
