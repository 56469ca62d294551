"""The fold of a log after any number of its signals, without folding from the beginning each time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from openharness.core.errors import CorruptRecordError, SerializationError
from openharness.core.log import RunFold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.records import Signal

__all__ = ("FoldHistory",)

_MOST_KEPT: Final = 128
_LEAST_STRIDE: Final = 64


class FoldHistory:
    """Folds signals, and keeps some of the folds on the way.

    Coarse ones are kept over the whole log, at most 128 of them; and where somebody goes back, fine ones between two of
    these. With n signals and a distance of s = n / 128 between coarse folds, going back by one applies at most √s
    signals, once the s signals between two coarse folds were applied again; the memory does not grow with n.

    Args:
        signals: The whole log.
        recording_id: The recording, for errors.
    """

    def __init__(self, signals: Sequence[Signal], *, recording_id: str) -> None:
        self._signals = signals
        self._recording_id = recording_id
        self._stride = max(_LEAST_STRIDE, math.ceil(len(signals) / _MOST_KEPT))
        self._fine_stride = math.isqrt(self._stride)
        self._coarse = [RunFold()]
        self._fine: dict[int, RunFold] = {}
        self._fine_from = -1
        self._present = RunFold()

    def at(self, count: int) -> RunFold:
        """Return the fold after this many signals. It belongs to the history: look at it, and copy what is to stay.

        Raises:
            CorruptRecordError: A signal up to there does not fit the ones before it.
        """
        if count < self._present.count:
            self._present = self._nearest(count)
        self._advance(count)
        return self._present

    def _advance(self, count: int) -> None:
        fold = self._present
        for signal in self._signals[fold.count : count]:
            try:
                fold.apply(signal)
            except SerializationError as error:
                # What it has done to the fold by then cannot be known.
                self._present = self._coarse[0].copy()
                raise CorruptRecordError(self._recording_id, reason=str(error)) from error
            self._keep(fold)

    def _keep(self, fold: RunFold) -> None:
        if fold.count == len(self._coarse) * self._stride:
            self._coarse.append(fold.copy())
        elif (
            0 <= fold.count - self._fine_from < self._stride and (fold.count - self._fine_from) % self._fine_stride == 0
        ):
            self._fine.setdefault(fold.count, fold.copy())

    def _nearest(self, count: int) -> RunFold:
        """A copy of the last fold that was kept at or before a position."""
        segment = count // self._stride
        start = segment * self._stride
        if start != self._fine_from:
            self._fine, self._fine_from = {}, start
        fine = (count - start) // self._fine_stride * self._fine_stride + start
        while fine > start and fine not in self._fine:
            fine -= self._fine_stride
        return (self._fine[fine] if fine > start else self._coarse[segment]).copy()
