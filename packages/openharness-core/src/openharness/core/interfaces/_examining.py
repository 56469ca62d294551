"""The examination of any store through its interface: everything is read, and what is damaged is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from openharness.core.errors import CorruptRecordError, StoreClosedError, StoreError
from openharness.core.records import DoctorReport, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from openharness.core.values import JSONValue

__all__ = ("ItemT", "examined", "report_of")

_PAGE: Final = 200


class _Placed(Protocol):
    """A run or a recording."""

    @property
    def cursor(self) -> str:
        """Where it stands among all."""
        ...


ItemT = TypeVar("ItemT", bound=_Placed)


async def examined(
    page: Callable[[str | None, int, int], Awaitable[list[ItemT]]], findings: list[Finding]
) -> AsyncIterator[ItemT]:
    """Yield all there is; what cannot be listed becomes a finding.

    Args:
        page: Lists what comes after a cursor: so many are skipped, and so many given at most.
        findings: Gets a finding for each damaged record.
    """
    cursor: str | None = None
    offset, limit, steps = 0, _PAGE, 0
    while True:
        try:
            items = await page(cursor, offset, limit)
        except CorruptRecordError as error:
            # Somewhere on this page; one by one, it alone is left out.
            if limit == 1:
                findings.append(Finding.damaged(error))
                offset += 1
            else:
                limit = 1
            continue
        for item in items:
            yield item
        if len(items) < limit:
            return
        cursor, offset = items[-1].cursor, 0
        steps = 0 if limit == _PAGE else steps + 1
        if steps == _PAGE:
            limit, steps = _PAGE, 0


async def report_of(
    look: Callable[[], Awaitable[None]],
    *,
    store: str,
    findings: list[Finding],
    facts: Callable[[], Mapping[str, JSONValue]],
) -> DoctorReport:
    """Look, and report what was found, also when the store cannot be used at all; one that was closed is an error.

    Args:
        look: Looks, and adds to the findings.
        store: The store as it names itself.
        findings: What is found.
        facts: Gives what is known in the end.
    """
    try:
        await look()
    except StoreClosedError:
        raise
    except StoreError as error:
        findings.append(Finding(Severity.ERROR, "unusable", f"The store cannot be read: {error}"))
    return DoctorReport(store=store, facts=facts(), findings=findings)
