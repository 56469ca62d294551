"""What the tests of this package share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

import pytest
from hypothesis import HealthCheck, settings
from span_support import Spans

# How long an example takes says more about who else uses the machine than about the code.
settings.register_profile("openharness-opentelemetry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openharness-opentelemetry")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Where the SDK keeps the spans of a test, whatever the environment says."""
    for name in ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)
    return Spans()
