"""The versions of the format: the one that is written, and how lines of the older ones become lines of it.

A release that changes what lines mean raises `VERSION`, and adds a function that makes a line of the version before into
one of the new version. The functions of all versions since stay for ever and are applied in turn, so that every released
recording loads; each is tested with the golden files of its version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from openharness.core.values import JSONObject

__all__ = ("VERSION", "FormatVersions", "LineUpcaster", "released")

VERSION: Final = 1
"""The version this code writes, and the newest it reads."""

LineUpcaster: TypeAlias = "Callable[[JSONObject], JSONObject]"
"""Makes a line of one version, as a JSON object without ``crc``, into a line of the next. It changes nothing it is given
that others have, and depends on the line alone."""


@attrs.frozen
class FormatVersions:
    """A version to write, and all older ones that are read.

    Attributes:
        current: The version that is written.
        upcasters: By version, what makes a line of it into one of the next: one for each version before `current`.
    """

    current: int
    upcasters: Mapping[int, LineUpcaster] = attrs.field(factory=dict[int, LineUpcaster])

    def __attrs_post_init__(self) -> None:
        if set(self.upcasters) != set(range(1, self.current)):
            raise ValueError(f"version {self.current} needs an upcaster for each version before it: {self.upcasters}")

    def upcast(self, line: JSONObject, version: int) -> JSONObject:
        """Return a line of an older version as one of the current version.

        Args:
            line: The line, which this call may change.
            version: The version of its file.
        """
        for older in range(version, self.current):
            line = self.upcasters[older](line)
        return line


_RELEASED: FormatVersions = FormatVersions(VERSION)


def released() -> FormatVersions:
    """Return the versions of this release. Looked up at each use, so that a test can release another one."""
    return _RELEASED
