"""Names what a model of Pydantic AI raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.provider_http import Service

__all__ = ("model_error", "request_error")

# By name: releases of Pydantic AI differ in what they have, and no vendor's library need be imported.
_KINDS: dict[str, tuple[str, bool]] = {
    "ModelRequestTimeout": ("timeout", True),
    "ModelTimeoutError": ("timeout", True),
    "APITimeoutError": ("timeout", True),
    "TimeoutException": ("timeout", True),
    "ModelContextWindowExceededError": ("context_length", False),
    "ModelAuthenticationError": ("authentication", False),
    "ModelNotFoundError": ("model_not_found", False),
    "ModelQuotaExceededError": ("quota", False),
    "ModelRateLimitError": ("rate_limit", True),
    "ModelOverloadedError": ("overloaded", True),
    "ModelServerError": ("server", True),
    "ContentFilterError": ("content_filter", False),
    "APIConnectionError": ("connection", True),
    "TransportError": ("connection", True),
    "ModelConnectionError": ("connection", True),
    "JSONDecodeError": ("protocol", True),
    "UnicodeDecodeError": ("protocol", True),
    "UnexpectedModelBehavior": ("protocol", True),
    "ModelRequestRejectedError": ("invalid_request", False),
    "UserError": ("invalid_request", False),
    # Of an answer that is quite unlike what the vendor sends.
    "AttributeError": ("protocol", False),
    "LookupError": ("protocol", False),
    "TypeError": ("protocol", False),
    "ValidationError": ("protocol", False),
}


def request_error(error: Exception, service: Service) -> ProviderError:
    """Return a typed error for what was raised while a model was asked, or while its answer was read.

    Args:
        error: What was raised.
        service: Who was asked.
    """
    given: Any = error
    body, status = getattr(given, "body", None), getattr(given, "status_code", None)
    kind, retryable = _kind_of(error)
    if status is not None or body is not None:
        told = service.refusal(error, body=_plain(body), status=status, headers=getattr(given, "headers", None))
        if told.kind == "error":
            told.kind, told.retryable = kind, retryable
        elif kind in ("context_length", "quota"):
            # These it knows better: each vendor has words of its own.
            told.kind, told.retryable = kind, retryable
        if told.retry_after is None and not getattr(given, "headers", None):
            told.retry_after = getattr(given, "retry_after", None)
        return told
    said = f"{_words(error)[:500].rstrip('. ')}."
    if kind == "timeout":
        return ProviderError(
            f"{service.name} at {service.base_url} was silent for longer than the timeout. Ask again, or pass a larger "
            "timeout=.",
            kind=kind,
            retryable=True,
        )
    if kind == "connection":
        said = f"The connection to {service.name} at {service.base_url} failed: {said} Is the address right, and does the server run?"
    else:
        said = f"{service.name} could not be asked: {said}"
    return ProviderError(said, kind=kind, retryable=retryable)


def model_error(error: Exception, model: str) -> ProviderError:
    """Return a typed error for what was raised while a model was made.

    Args:
        error: What was raised.
        model: How the model was named.
    """
    said = f"The model {model} cannot be made: {_words(error)}"
    if isinstance(error, ImportError):
        return ProviderError(said, kind="configuration")
    return ProviderError(said, kind="authentication" if "API_KEY" in str(error) else "configuration")


def _kind_of(error: Exception) -> tuple[str, bool]:
    for one in _chain(error):
        for kind in type(one).__mro__:
            if kind.__name__ in _KINDS:
                return _KINDS[kind.__name__]
    return "error", False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came of, the innermost first: it says most."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return reversed(chain)


def _words(error: BaseException) -> str:
    *_, outermost = _chain(error)
    innermost = next(_chain(error))
    return str(innermost) or str(outermost) or type(outermost).__name__


def _plain(body: object) -> object:
    if isinstance(body, (bytes, bytearray)):
        return body.decode(errors="replace")
    return body
