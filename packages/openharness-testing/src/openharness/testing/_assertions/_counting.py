"""How often something may happen, and how much of something may be used."""

from __future__ import annotations

from typing import Final

import attrs

from openharness.core import InvalidValueError

__all__ = ("AT_LEAST_ONCE", "Bounds")


@attrs.frozen
class Bounds:
    """Between two figures, both included; None where there is no bound.

    Attributes:
        low: At least this much.
        high: At most this much.
    """

    low: float | None
    high: float | None

    @classmethod
    def counted(cls, times: int | None, at_least: int | None, at_most: int | None) -> Bounds:
        """Return the bounds that these arguments mean; without any, at least once.

        Raises:
            InvalidValueError: They contradict one another, or are negative.
        """
        if times is None and at_least is None and at_most is None:
            return AT_LEAST_ONCE
        if times is not None and not (at_least is None and at_most is None):
            raise InvalidValueError("times", value=times, expected="given without at_least and at_most")
        return cls.limited(times if at_least is None else at_least, times if at_most is None else at_most)

    @classmethod
    def limited(cls, at_least: float | None, at_most: float | None) -> Bounds:
        """Return the bounds that these arguments mean; at least one must be given.

        Raises:
            InvalidValueError: None is given, one is negative, or nothing lies between them.
        """
        if at_least is None and at_most is None:
            raise InvalidValueError("at_most", value=None, expected="given, or at_least")
        for name, value in (("at_least", at_least), ("at_most", at_most)):
            # A NaN would let everything pass.
            if value is not None and not value >= 0:
                raise InvalidValueError(name, value=value, expected="a number from 0 on")
        if at_least is not None and at_most is not None and at_least > at_most:
            raise InvalidValueError("at_least", value=at_least, expected=f"no more than at_most={at_most}")
        return cls(at_least, at_most)

    def hold(self, value: float) -> bool:
        """Tell whether a figure is within the bounds."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        """Return the bounds as a phrase."""
        if self.low == self.high:
            return f"exactly {self.low}"
        if self.high is None:
            return f"at least {self.low}"
        if self.low is None:
            return f"at most {self.high}"
        return f"{self.low} to {self.high}"


AT_LEAST_ONCE: Final = Bounds(1, None)
"""What is expected to happen, when nothing is said about how often."""
