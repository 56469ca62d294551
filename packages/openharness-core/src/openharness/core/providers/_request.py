"""Checks of requests, the form of tools that many servers read, and the texts that none could."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, cast

from openharness.core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core.interfaces import ProviderRequest

__all__ = ("check_request", "function_tool", "further_options", "json_text", "without_surrogates")

_SURROGATE = re.compile("[\ud800-\udfff]")


def check_request(request: ProviderRequest) -> None:
    """Refuse what no model could answer.

    Raises:
        ProviderError: There is no message, or a parameter cannot be right.
    """
    if not request.messages:
        raise _refused("messages must hold at least one message, got none.")
    if request.max_tokens is not None and request.max_tokens < 1:
        raise _refused(f"max_tokens must be 1 or more, got {request.max_tokens!r}.")
    temperature = request.temperature
    if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
        raise _refused(f"temperature must be 0 or more, got {temperature!r}.")
    if "" in request.stop:
        raise _refused(f"stop must hold texts that are not empty, got {list(request.stop)!r}.")


def further_options(request: ProviderRequest, *, reserved: frozenset[str]) -> dict[str, Any]:
    """Return the options of a request, which go to the model's server as they are.

    Args:
        request: The request.
        reserved: Names that the request has attributes for.

    Raises:
        ProviderError: An option has one of these names.
    """
    wrong = sorted(reserved & request.options.keys())
    if wrong:
        raise _refused(f"options must hold further parameters, got {wrong!r}, which the request has attributes for.")
    return dict(request.options)


def function_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool of `ProviderRequest.tools` as servers read it that follow the chat API of OpenAI: as a function.

    One without parameters takes none.
    """
    function: dict[str, Any] = {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "parameters": tool.get("parameters") or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


def without_surrogates(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a JSON object with each lone surrogate replaced by U+FFFD, and their number: they have no UTF-8 form."""
    text, replaced = json_text(body)
    return (cast("dict[str, Any]", json.loads(text)) if replaced else dict(body)), replaced


def json_text(body: Mapping[str, Any]) -> tuple[str, int]:
    """Return the JSON text of an object with each lone surrogate replaced by U+FFFD, and their number."""
    return _SURROGATE.subn("\ufffd", json.dumps(body, ensure_ascii=False))


def _refused(message: str) -> ProviderError:
    return ProviderError(message, kind="invalid_request")
