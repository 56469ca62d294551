"""The errors that no server of the tests causes by itself."""

from __future__ import annotations

import json

import httpx2
import pytest

from openharness.provider_http import Service

SERVICE = Service(name="Claude", base_url="https://api.example/v1", key_variable="THE_KEY")


class BodyError(Exception):
    """An error with a body and no response, as SDKs raise it within a stream."""

    def __init__(self, body: object) -> None:
        super().__init__("It broke.")
        self.body = body


@pytest.mark.parametrize(
    "body, kind, retryable",
    [
        ({"error": {"type": "overloaded_error"}}, "overloaded", True),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, "quota", False),
        ({"code": "rate_limit_exceeded", "type": "requests"}, "rate_limit", True),
        ({"code": "model_not_found", "type": "invalid_request_error"}, "model_not_found", False),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8"}, "context_length", False),
        ({"code": 400, "message": "This model's maximum context length is 8"}, "context_length", False),
        ({"code": 400, "message": "Input exceeds the available context size"}, "context_length", False),
        ({"code": 400, "message": "What?"}, "invalid_request", False),
        ({"code": 503, "message": "Loading model"}, "overloaded", True),
        ({"code": 12}, "error", False),
        ({"type": 3, "message": []}, "error", False),
        ("It broke.", "error", False),
    ],
)
def test_kinds_by_what_bodies_say(body: object, kind: str, retryable: bool) -> None:
    """The code says most, then the type, then the status, then the message."""
    error = SERVICE.error(BodyError(body))
    assert (error.kind, error.retryable) == (kind, retryable)
    assert "Claude" in str(error)


def test_an_error_within_a_stream_has_no_status() -> None:
    """The 200 with which a stream began is not the status of its error."""
    response = httpx2.Response(200, headers={"request-id": "req_1"}, request=httpx2.Request("POST", "https://x"))
    error = httpx2.HTTPStatusError("It broke.", request=response.request, response=response)
    made = SERVICE.error(error)
    assert (made.status, made.kind) == (None, "error")
    assert isinstance(made.data, dict)
    assert made.data["request_id"] == "req_1"


def test_the_cause_is_told() -> None:
    """Behind an SDK's "Connection error." stands what happened."""
    error = httpx2.ConnectError("Connection error.")
    error.__cause__ = OSError("Name or service not known")
    made = SERVICE.error(error)
    assert (made.kind, made.retryable) == ("connection", True)
    assert "Name or service not known" in str(made)
    assert "https://api.example/v1" in str(made)


def test_what_is_no_error_of_the_network() -> None:
    """Anything else is an error that trying again does not help, and names its type where it has no message."""
    made = SERVICE.error(TypeError())
    assert (made.kind, made.retryable) == ("error", False)
    assert "TypeError" in str(made)
    assert SERVICE.error(json.JSONDecodeError("x", "y", 0)).kind == "protocol"


def test_a_long_message_is_cut_in_the_sentence() -> None:
    """A page of HTML does not become the sentence, and is kept as data."""
    made = SERVICE.error(BodyError({"code": 502, "message": "x" * 5000}))
    assert len(str(made)) < 700
    assert isinstance(made.data, dict)
    assert len(made.data["message"]) == 5000
