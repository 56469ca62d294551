"""Payloads that an older release of a program recorded, in the form of today: the user's own functions, by signal name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from openharness.core.errors import InvalidValueError, StoreError
from openharness.core.patterns import check_name
from openharness.core.values import to_json

if TYPE_CHECKING:
    from openharness.core.records import Signal

__all__ = ("SignalUpcaster", "SignalUpcasters", "UpcastError", "Upcasting")

SignalUpcaster: TypeAlias = Callable[[Any], Any]
"""Takes a payload, of today's form or of any before it, and returns it in the form of today: a function of the payload
alone. It is given a copy, which it may change and return. What is in the form of today already it returns as it is."""

SignalUpcasters: TypeAlias = Mapping[str, "SignalUpcaster | Sequence[SignalUpcaster]"]
"""By the name of a signal, the function for its payloads, or several that are applied in turn."""


class UpcastError(StoreError):
    """An upcaster failed, or returned what no payload can be. The recording itself is as it was.

    Attributes:
        recording_id: The recording.
        seq: The signal.
        name: The signal's name.
        reason: What went wrong, as a phrase.
    """

    def __init__(self, recording_id: str, *, seq: int, name: str, reason: str, store: str = "") -> None:
        self.recording_id = recording_id
        self.seq = seq
        self.name = name
        self.reason = reason
        super().__init__(
            f"recording {recording_id!r}, signal {seq}: the upcaster for {name!r} {reason}. It must return the payload "
            "in the form of today for every payload that was ever recorded under this name.",
            store=store,
        )


class Upcasting:
    """Brings the payloads of loaded signals to the form of today.

    Args:
        upcasters: The functions, by the names of signals; None for none.
        store: The store as it names itself, for errors.

    Raises:
        InvalidValueError: They are no mapping of names to functions.
        PatternError: A name is none.
    """

    def __init__(self, upcasters: SignalUpcasters | None, *, store: str) -> None:
        self._store = store
        self._upcasters: dict[str, tuple[SignalUpcaster, ...]] = {}
        if upcasters is None:
            return
        if not isinstance(cast("object", upcasters), Mapping):
            raise InvalidValueError("upcasters", value=upcasters, expected="a mapping of signal names to functions")
        for name, given in upcasters.items():
            several: Sequence[SignalUpcaster] = (given,) if callable(given) else given
            if not isinstance(cast("object", several), Sequence) or not all(map(callable, several)):
                raise InvalidValueError(f"upcasters[{name!r}]", value=given, expected="a function, or several")
            self._upcasters[check_name(name)] = tuple(several)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._upcasters)

    def __call__(self, signal: Signal, *, recording_id: str) -> Signal:
        """Return a signal with its payload in the form of today; the signal itself where nothing is to be done.

        Raises:
            UpcastError: An upcaster failed, or returned what no payload can be.
        """
        functions = self._upcasters.get(signal.name)
        if functions is None:
            return signal

        def failed(reason: str) -> UpcastError:
            return UpcastError(recording_id, seq=signal.seq, name=signal.name, reason=reason, store=self._store)

        # A copy: requests share their messages with one another.
        payload: object = to_json(signal.payload)
        for function in functions:
            try:
                payload = function(payload)
            except Exception as error:
                raise failed(f"raised {error!r}") from error
        try:
            return attrs.evolve(signal, payload=to_json(payload, path=f"{signal.name}.payload"))
        except ValueError as error:
            raise failed(f"returned what cannot be stored ({error})") from error
