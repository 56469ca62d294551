"""Signals as readers get them: those whose name is wanted, references to blobs put back in place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openharness.core.errors import CorruptRecordError, SerializationError
from openharness.core.patterns import compile_pattern
from openharness.core.storage._signals import POOLING_SIGNAL, pooled_lists, resolve_signal
from openharness.core.values import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openharness.core.patterns import PatternLike
    from openharness.core.records import Signal
    from openharness.core.storage._log_entries import EncodedSignal
    from openharness.core.values import JSONValue

__all__ = ("SignalDecoder", "name_filter")

MAX_RESOLVED_ITEMS: Final = 20_000_000
"""How many messages and tools one reading puts back in place. A few bytes of a reference stand for a whole conversation,
so that a small hostile log could fill the memory; one of 200 turns has 40,000."""


def name_filter(patterns: PatternLike | Sequence[PatternLike]) -> Callable[[str], bool]:
    """Return a function that tells whether a signal's name matches one of the patterns; without patterns all do.

    Raises:
        PatternError: A pattern is not well formed.
    """
    several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
    compiled = [compile_pattern(pattern) for pattern in several]
    if not compiled:
        return lambda _: True
    return lambda name: any(pattern.matches(name) for pattern in compiled)


class SignalDecoder:
    """Decodes the signals of one reading of a log, references to blobs resolved.

    Signals that refer to the same blob share its value: a conversation of N turns takes memory in proportion to N when
    it is loaded, as it does where it is kept. Two readings share nothing.

    Args:
        blobs: The data of blobs as JSON text, by digest; it may grow while signals are decoded.
        recording_id: The recording, for errors.
        store: The store as it names itself, for errors.
    """

    def __init__(self, blobs: Mapping[str, bytes], *, recording_id: str, store: str) -> None:
        self._blobs = _DecodedBlobs(blobs)
        self._resolved = 0
        self._recording_id = recording_id
        self._store = store

    def decode(self, encoded: EncodedSignal) -> Signal:
        """Return a signal as a new object, its references resolved.

        Raises:
            CorruptRecordError: A blob is missing, or what is kept is no JSON value.
        """
        try:
            signal = encoded.decode()
            return signal if signal.name != POOLING_SIGNAL else self._resolve(signal)
        except KeyError as error:
            reason = f"signal {encoded.seq} refers to the blob {error.args[0]!r}, which is not there"
        except SerializationError as error:
            reason = f"signal {encoded.seq}: {error}"
        raise CorruptRecordError(self._recording_id, reason=reason, store=self._store)

    def _resolve(self, signal: Signal) -> Signal:
        signal = resolve_signal(signal, self._blobs)
        self._resolved += sum(map(len, pooled_lists(signal)))
        if self._resolved > MAX_RESOLVED_ITEMS:
            reason = f"its requests have more than {MAX_RESOLVED_ITEMS:,} messages and tools"
            raise SerializationError("request", value=self._resolved, reason=reason, verb="read")
        return signal


class _DecodedBlobs(dict[str, "JSONValue"]):
    """The values of blobs, each decoded when it is first asked for."""

    def __init__(self, encoded: Mapping[str, bytes]) -> None:
        super().__init__()
        self._encoded = encoded

    def __missing__(self, digest: str) -> JSONValue:
        self[digest] = value = decode_json(self._encoded[digest], path="blob.data")
        return value
