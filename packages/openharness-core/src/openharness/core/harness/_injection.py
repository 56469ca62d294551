"""The names of signals that come into a run from outside."""

from __future__ import annotations

from openharness.core.errors import DefinitionError
from openharness.core.log import RESERVED_PREFIXES
from openharness.core.patterns import check_name

__all__ = ("check_injected",)


def check_injected(name: str) -> str:
    """Return the name if a signal may be injected under it.

    Raises:
        PatternError: It is not well formed.
        DefinitionError: It belongs to the harness.
    """
    if check_name(name).split(":")[0] in RESERVED_PREFIXES:
        reserved = ", ".join(sorted(RESERVED_PREFIXES))
        raise DefinitionError(f"{name!r} cannot be emitted: the first segments {reserved} belong to the harness.")
    return name
