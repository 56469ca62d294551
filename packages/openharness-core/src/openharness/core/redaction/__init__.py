"""Secrets are kept out of the log: which texts are taken for secrets, and what stands in their place.

`Redaction` is what users set. `Redactor` applies it to texts and JSON values of one run, and puts the secrets back into
what is sent to a provider; `RedactedStream` applies it to a text that comes in pieces. `refuse_secrets` looks for what is
left, before a recording becomes a fixture.
"""

from __future__ import annotations

from openharness.core.redaction._configuration import Redaction
from openharness.core.redaction._redactor import Redactor
from openharness.core.redaction._rules import note_placeholders, unnumbered
from openharness.core.redaction._scan import SuspectedSecret, refuse_secrets
from openharness.core.redaction._stream import RedactedStream

__all__ = (
    "RedactedStream",
    "Redaction",
    "Redactor",
    "SuspectedSecret",
    "note_placeholders",
    "refuse_secrets",
    "unnumbered",
)
