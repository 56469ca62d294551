"""What comes into a run from outside: names and sizes of signals that are injected, and what no name may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core.errors import DefinitionError, InvalidValueError
from openharness.core.log import RESERVED_PREFIXES
from openharness.core.patterns import check_name
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONValue

__all__ = ("check_injected", "check_size", "refuse_secret")


def check_injected(name: str) -> str:
    """Return the name as plain text if a signal may be injected under it.

    Raises:
        PatternError: It is not well formed.
        DefinitionError: It belongs to the harness.
    """
    checked = check_name(name)
    if checked.split(":")[0] in RESERVED_PREFIXES:
        reserved = ", ".join(sorted(RESERVED_PREFIXES))
        raise DefinitionError(f"{checked!r} cannot be emitted: the first segments {reserved} belong to the harness.")
    return checked


def check_size(redactor: Redactor, payload: JSONValue, *, max_bytes: int) -> None:
    """Refuse a payload that is too large for the log, in the form in which it would stand there.

    Once the run has taken it, the store that refuses it ends the run.

    Raises:
        SerializationError: Its JSON text is longer than ``max_bytes``.
    """
    dump_json(redactor.json(payload, mask=True), path="payload", max_bytes=max_bytes)


def refuse_secret(redactor: Redactor, what: str, text: str | None) -> None:
    """Refuse a name that holds a secret: names cannot be redacted, as things are found by them.

    Raises:
        InvalidValueError: It holds one, which the error does not show.
    """
    # A plain word is a secret nowhere but in somebody's test database.
    if text is None or text.replace("_", "").replace(":", "").isalpha():
        return
    masked = redactor.mask(text)
    if masked != text:
        raise InvalidValueError(what, value=masked, expected="a text without secrets, as things are found by it")
