"""What an examination of a store found."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

import attrs

from openharness.core.values import JSONValue

if TYPE_CHECKING:
    from openharness.core.errors import CorruptRecordError

__all__ = ("DoctorReport", "Finding", "Severity")


class Severity(enum.StrEnum):
    """How bad a finding is."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Nothing is lost yet, but something is not as safe as it could be, or could not be looked at."""
    ERROR = "error"
    """Something is damaged, or cannot be used."""


@attrs.frozen
class Finding:
    """One thing that an examination found.

    Attributes:
        severity: How bad it is.
        code: What it is, as words that programs compare: ``damaged-record``.
        message: What it is, as a sentence.
        advice: What to do about it; None where there is nothing to do.
        record_id: The run or the recording it is about; None where it is about no single one.
    """

    severity: Severity = attrs.field(converter=Severity)
    code: str
    message: str
    advice: str | None = attrs.field(default=None, kw_only=True)
    record_id: str | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def damaged(cls, error: CorruptRecordError, *, what: str = "record") -> Self:
        """Return the finding for a record that is damaged, ``damaged-record``.

        Args:
            error: What reading it has raised.
            what: What it is: ``run``, ``recording``.
        """
        return cls(
            Severity.ERROR,
            "damaged-record",
            f"The {what} {error.record_id!r} is damaged ({error.reason}).",
            advice="Restore it from a backup or delete it; the others can be read.",
            record_id=error.record_id,
        )

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.severity.value}: {self.message}" + (f" {self.advice}" if self.advice else "")


def _facts(value: Mapping[str, JSONValue]) -> Mapping[str, JSONValue]:
    return dict(value)


def _findings(value: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(value)


@attrs.frozen(kw_only=True)
class DoctorReport:
    """What an examination of a store found; its text is for people.

    Attributes:
        store: The store as it names itself.
        engine: What it keeps its data with, ``SQLite`` for example; None where that is nothing of its own.
        engine_version: The version of that, as it is in use.
        facts: What was measured and read, by name; which there are depends on the kind of the store.
        findings: What was found, in the order of the examination.
    """

    store: str
    engine: str | None = None
    engine_version: str | None = None
    facts: Mapping[str, JSONValue] = attrs.field(factory=dict[str, "JSONValue"], converter=_facts, hash=False)
    findings: tuple[Finding, ...] = attrs.field(default=(), converter=_findings)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is damaged: there may be warnings, but there is no error."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def of(self, severity: Severity | str) -> tuple[Finding, ...]:
        """Return the findings that are as bad as this, no more and no less."""
        wanted = Severity(severity)
        return tuple(finding for finding in self.findings if finding.severity is wanted)

    def __str__(self) -> str:
        """Say what was looked at, what is known of it, and each finding in a line, the worst first."""
        lines = [self.store]
        if self.engine is not None:
            lines.append(f"  engine: {self.engine} {self.engine_version or '(version unknown)'}")
        lines += [f"  {name}: {value}" for name, value in self.facts.items()]
        lines += [str(finding) for severity in reversed(Severity) for finding in self.of(severity)]
        if not self.of(Severity.WARNING) and not self.of(Severity.ERROR):
            lines.append("healthy: nothing is wrong.")
        return "\n".join(lines)
