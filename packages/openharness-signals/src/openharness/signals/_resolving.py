"""References to blobs put back in place, each blob decoded once however often it is referred to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core.errors import CorruptRecordError, SerializationError
from openharness.core.storage import references, resolve_signal
from openharness.core.values import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core.records import Signal
    from openharness.core.values import JSONValue
    from openharness.signals._encoding import EncodedSignal

__all__ = ("Resolver", "resolved")


class Resolver:
    """Decodes the signals of one reading of a log.

    Signals that refer to the same blob share its value: a conversation of N turns takes memory in proportion to N when
    it is loaded, as it does where it is kept. Two readings share nothing.

    Args:
        blobs: The data of blobs as JSON text, by digest; it may grow while signals are decoded.
    """

    def __init__(self, blobs: Mapping[str, bytes]) -> None:
        self._encoded = blobs
        self._decoded: dict[str, JSONValue] = {}

    def signal(self, encoded: EncodedSignal) -> Signal:
        """Return a signal as a new object, its references resolved.

        Raises:
            KeyError: A blob is missing; its digest is the argument.
            SerializationError: A payload or a blob is no JSON value.
        """
        signal = encoded.decode()
        digests = references(signal)
        if not digests:
            return signal
        for digest in digests:
            if digest not in self._decoded:
                self._decoded[digest] = decode_json(self._encoded[digest], path="blob.data")
        return resolve_signal(signal, self._decoded)


def resolved(encoded: EncodedSignal, resolver: Resolver, *, recording_id: str, store: str) -> Signal:
    """Return a signal as a new object, its references resolved.

    Args:
        encoded: The signal.
        resolver: Knows the blobs before it.
        recording_id: The recording, for errors.
        store: The store as it names itself, for errors.

    Raises:
        CorruptRecordError: A blob is missing, or what is kept is no JSON value.
    """
    try:
        return resolver.signal(encoded)
    except KeyError as error:
        reason = f"signal {encoded.seq} refers to the blob {error.args[0]!r}, which is not there"
    except SerializationError as error:
        reason = f"signal {encoded.seq}: {error}"
    raise CorruptRecordError(recording_id, reason=reason, store=store)
