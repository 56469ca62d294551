"""What the first line of a recording's file says: what every store keeps, and what only a file needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from openharness.core.storage import RecordingHeader
from openharness.signals._format._versions import released

if TYPE_CHECKING:
    from typing import Self

__all__ = ("Header",)


@attrs.frozen(kw_only=True)
class Header(RecordingHeader):
    """The header of a recording in a file.

    Attributes:
        version: The version of the format that its file was written in; what is written anew has the current one.
        published_as: The fixture name it was published under where that is not `name` and the name of the file cannot
            say it; None otherwise.
    """

    version: int = attrs.field(factory=lambda: released().current, eq=False)
    published_as: str | None = None

    @classmethod
    def of(cls, header: RecordingHeader) -> Self:
        """Return the header of a new file, which is published under no name."""
        return cls(**attrs.asdict(header, recurse=False))
