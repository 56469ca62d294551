"""Makes typed errors of what SDKs and HTTP clients raise."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from openharness.core import ProviderError
from openharness.provider_http._fields import text_at

if TYPE_CHECKING:
    import httpx2

    from openharness.provider_http._answer import Collected

__all__ = ("Service",)

# The words that vendors and servers use for types and codes of errors.
_KINDS = {
    "api_error": "server",
    "authentication_error": "authentication",
    "billing_error": "quota",
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "insufficient_quota": "quota",
    "invalid_api_key": "authentication",
    "invalid_request_error": "invalid_request",
    "model_not_found": "model_not_found",
    "not_found_error": "not_found",
    "overloaded_error": "overloaded",
    "permission_error": "permission",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "request_too_large": "request_too_large",
    "server_error": "server",
    "timeout_error": "timeout",
}
_KINDS_BY_STATUS = {
    400: "invalid_request",
    401: "authentication",
    402: "quota",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "request_too_large",
    422: "invalid_request",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
_ERRORS = range(400, 600)
_SERVER_ERRORS = range(500, 600)
_PASSING = frozenset({"conflict", "overloaded", "rate_limit", "server", "timeout"})
# Servers without a code for it say it in these words.
_CONTEXT_LENGTH = re.compile(
    r"prompt is too long|(maximum|exceeds?\b.*) context|context (length|size|window)", re.IGNORECASE
)
_SHOWN = 500
_EVENTS = "text/event-stream"


@attrs.frozen(kw_only=True)
class Service:
    """Who is asked, as errors name it.

    Attributes:
        name: The service: ``"Claude"``.
        base_url: Where it is.
        key_variable: The environment variable that holds the key; None where that is not known.
    """

    name: str
    base_url: str
    key_variable: str | None

    def no_key(self) -> ProviderError:
        """There is no key, so nothing was sent."""
        where = f"Set the environment variable {self.key_variable}, or pass" if self.key_variable else "Pass"
        return ProviderError(
            f"{self.name} needs a key, and there is none. {where} api_key=.",
            kind="authentication",
        )

    def cut(self, answer: Collected, *, content_type: str = "") -> ProviderError:
        """The answer stopped before its end, or was none.

        Args:
            answer: What has come of it.
            content_type: What the answer called itself; what is no stream of events tells of a wrong address.
        """
        kind = content_type.partition(";")[0].strip()
        if kind and kind != _EVENTS and not answer.length:
            return ProviderError(
                f"{self.name} at {self.base_url} should have sent a stream of events ({_EVENTS}), and sent {kind[:_SHOWN]}. "
                "Is that the address of the API, with its path, such as /v1?",
                kind="protocol",
                retryable=True,
            )
        return ProviderError(
            f"{self.name} should have said why its answer ended, and stopped after {answer.length} characters of text. "
            "Ask again.",
            kind="protocol",
            retryable=True,
        )

    def error(self, error: Exception) -> ProviderError:
        """Make a typed error of what an SDK or its HTTP client raised while it asked, or while it read the answer."""
        # By now the SDK has imported it; before, nobody needs it.
        import httpx2

        response = getattr(error, "response", None)
        if isinstance(response, httpx2.Response):
            return self._refusal(error, response)
        if isinstance(error, httpx2.TimeoutException) or type(error).__name__ == "APITimeoutError":
            return ProviderError(
                f"{self.name} at {self.base_url} was silent for longer than the timeout. Ask again, or pass a larger "
                "timeout=.",
                kind="timeout",
                retryable=True,
            )
        if isinstance(error, httpx2.TransportError) or type(error).__name__ == "APIConnectionError":
            return ProviderError(
                f"The connection to {self.name} at {self.base_url} failed: {_cause(error)}. Is the address right, and "
                "does the server run?",
                kind="connection",
                retryable=True,
            )
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            return ProviderError(
                f"{self.name} at {self.base_url} sent an event that is no JSON ({error}). Ask again; if it stays, the "
                "server is not one this provider can talk to.",
                kind="protocol",
                retryable=True,
            )
        body = getattr(error, "body", None)
        if body is not None:
            return self.refusal(error, body=body)
        return ProviderError(f"{self.name} could not be asked: {_cause(error)}")

    def _refusal(self, error: Exception, response: httpx2.Response) -> ProviderError:
        # An error within a stream comes with the status that the stream began with.
        return self.refusal(
            error, body=getattr(error, "body", None), status=response.status_code, headers=response.headers
        )

    def refusal(
        self,
        error: Exception,
        *,
        body: object,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProviderError:
        """Make a typed error of a service's answer that it does not do what it was asked.

        Args:
            error: What was raised; its words stand in for those of the body.
            body: The body of the answer: a JSON value in any form that services use, or None.
            status: Its HTTP status; what is no status of an error is passed over.
            headers: Its headers, with names in lower case or found in any case.
        """
        details = _details(body)
        status = status if status in _ERRORS else None
        headers = headers or {}
        code = details.get("code")
        if status is None and isinstance(code, int) and code in _ERRORS:
            status = code
        message = text_at(details, "message") or str(error)
        kind = _kind(details, message, status)
        retryable = {"true": True, "false": False}.get(
            headers.get("x-should-retry", ""),
            kind in _PASSING or (status in _SERVER_ERRORS and kind not in ("context_length", "invalid_request")),
        )
        said = f"{message[:_SHOWN].rstrip('. ')}."
        where = f" in {self.key_variable}, or in api_key=," if self.key_variable else ""
        hint = f" Is the key{where} the right one?" if kind == "authentication" else ""
        return ProviderError(
            f"{self.name} refuses the request{f' with status {status}' if status else ''}: {said}{hint}",
            kind=kind,
            status=status,
            retryable=retryable,
            retry_after=_retry_after(headers),
            data={
                "type": text_at(details, "type") or None,
                "code": code if isinstance(code, str | int) else None,
                "message": message,
                "request_id": headers.get("request-id") or headers.get("x-request-id"),
            },
        )


def _details(body: object) -> Mapping[str, Any]:
    """The object with message, type and code: the body, or what is in its field ``error``."""
    if isinstance(body, Mapping):
        given = cast("Mapping[str, Any]", body)
        inner = given.get("error")
        if isinstance(inner, Mapping):
            return cast("Mapping[str, Any]", inner)
        return {"message": inner} if isinstance(inner, str) else given
    return {"message": body} if isinstance(body, str) else {}


def _kind(details: Mapping[str, Any], message: str, status: int | None) -> str:
    known = [_KINDS[word] for name in ("code", "type") if (word := text_at(details, name)) in _KINDS]
    by_status = _KINDS_BY_STATUS.get(status or 0, "server" if status in _SERVER_ERRORS else "error")
    kind = next(iter(known), by_status)
    if kind == "invalid_request" and by_status not in ("invalid_request", "error"):
        # The type that stands for everything says less than the status.
        kind = by_status
    if kind == "invalid_request" and _CONTEXT_LENGTH.search(message):
        return "context_length"
    return kind


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from the two headers that SDKs heed as well."""
    try:
        seconds = float(headers["retry-after-ms"]) / 1000
    except (KeyError, ValueError):
        value = headers.get("retry-after", "")
        try:
            seconds = float(value)
        except ValueError:
            moment = email.utils.parsedate_tz(value)
            if moment is None:
                return None
            seconds = email.utils.mktime_tz(moment) - time.time()
    return seconds if 0 <= seconds < float("inf") else None


def _cause(error: BaseException) -> str:
    """The innermost message: an SDK's own says only that there was an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).rstrip(". ") or type(error).__name__
