"""What a planted bug is: something with one bug, and the part of its contract that must notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from openharness.testing._kit._contract import Contract

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T", bound=type[Any])


@attrs.frozen
class Bug:
    """A planted bug.

    Attributes:
        make: The class that has it.
        part: The part of the contract that must notice.
    """

    make: type[Any]
    part: type[Contract]


class Garden:
    """The bugs of one kind of thing, by their names.

    Attributes:
        bugs: Each bug by the name of its class, in words.
    """

    def __init__(self) -> None:
        self.bugs: dict[str, Bug] = {}

    def plant(self, part: type[Contract]) -> Callable[[T], T]:
        """Add a class as a bug that this part of the contract must notice."""

        def add(bug: T) -> T:
            words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in bug.__name__)
            self.bugs[words.removeprefix("_")] = Bug(bug, part)
            return bug

        return add
