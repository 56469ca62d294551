"""Values of every kind through every store: the same are taken and refused, and what is taken comes back the same.

The long form, of ``nox -s faults``, is 1,000,000 values, each through seven stores. They are made from the corpus of the
contracts, put into one another at random, with random texts and numbers: Hypothesis, which the contracts use, would take
days for so many.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

_FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(_FAULTS))

from every_store import every_store  # noqa: E402
from places import folder_in_memory  # noqa: E402

from openharness.core import RunQuery, RunRecord, SerializationError, Signal, to_json  # noqa: E402
from openharness.core.records import signal_id  # noqa: E402
from openharness.core.values import encode_json  # noqa: E402
from openharness.testing.corpus import ACCEPTED_VALUES, CONVERTED_VALUES, REFUSED_VALUES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore, SignalStore
    from openharness.testing.postgres import PostgresPlace

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
VALUES = int(os.environ.get("OPENHARNESS_CONTRACT_EXAMPLES", "1000000")) if LONG else 400
_AT_ONCE = 200

pytestmark = [pytest.mark.slow, pytest.mark.timeout(36_000 if LONG else 240)]

# The large ones have tests of their own, and would be most of the work here.
_TAKEN = [case.value for case in ACCEPTED_VALUES if len(repr(case.value)) < 300]
_CONVERTED = [case.value for case in CONVERTED_VALUES]
_REFUSED = [case.make for case in REFUSED_VALUES if "deep" not in case.name or case.name.startswith("nan")]
_ALPHABETS = ("ab", "\0\x1f\"'\\/", "\xe9\u20ac\u2028\ufeff", "\ud83d\ude00", "\U0001f600\U0010ffff", "%_$.[]{}:;-")


def text(chance: random.Random) -> str:
    """Return a text of characters that mean something somewhere."""
    alphabet = chance.choice(_ALPHABETS) + chance.choice(_ALPHABETS)
    return "".join(chance.choices(alphabet, k=chance.randrange(8)))


def number(chance: random.Random) -> float:
    """Return an integer around a power of two, or a float with any bits; some of either are refused."""
    if chance.random() < 0.5:
        return chance.choice((1, -1)) * (1 << chance.randrange(65)) + chance.randrange(-1, 2)
    found: float = struct.unpack("<d", chance.randbytes(8))[0]
    return found if math.isfinite(found) or chance.random() < 0.1 else 0.5


def _made(make: Callable[[], Any]) -> Any:
    return make()


def value(chance: random.Random, depth: int = 0) -> Any:
    """Return a value of any kind; few of them are of a kind that is refused."""
    makers: dict[Callable[[], Any], int] = {
        lambda: _made(chance.choice(_REFUSED)): 4,
        lambda: chance.choice(_CONVERTED): 4,
        lambda: chance.choice(_TAKEN): 14,
        lambda: text(chance): 20,
        lambda: number(chance): 20,
        lambda: [value(chance, depth + 1) for _ in range(chance.randrange(4))]: 20 if depth < 4 else 0,
        lambda: {text(chance): value(chance, depth + 1) for _ in range(chance.randrange(4))}: 20 if depth < 4 else 0,
    }
    (maker,) = chance.choices(list(makers), weights=list(makers.values()))
    return maker()


@attrs.frozen
class Case:
    """A value, and what stores must do with it.

    Attributes:
        value: The value.
        expected: The JSON text of what comes back; None when it is refused.
    """

    value: Any
    expected: bytes | None

    @classmethod
    def of(cls, chance: random.Random) -> Case:
        """Make one."""
        made = value(chance)
        try:
            # The text tells 1 from 1.0 and true, and one order of keys from another.
            return cls(made, encode_json(to_json(made)))
        except SerializationError:
            return cls(made, None)


async def _through_runs(store: RunStore, cases: list[Case]) -> None:
    runs = [RunRecord(f"{place:04}", created_at=1, state=case.value) for place, case in enumerate(cases)]
    outcomes = await asyncio.gather(*map(store.save_run, runs), return_exceptions=True)
    for case, outcome in zip(cases, outcomes, strict=True):
        assert (outcome is None) == (case.expected is not None), (outcome, case)
        assert outcome is None or isinstance(outcome, SerializationError), (outcome, case)
    found = {run.id: encode_json(run.state) for run in await store.list_runs()}
    expected = {run.id: case.expected for run, case in zip(runs, cases, strict=True) if case.expected is not None}
    assert found == expected
    await store.prune_runs(keep_last=0, status="running")
    assert await store.count_runs(RunQuery()) == 0


async def _through_signals(store: SignalStore, cases: list[Case]) -> None:
    recording = await store.create_recording(run_id="run")
    signals: list[Signal] = []
    for case in cases:
        seq = len(signals)
        signal = Signal(signal_id("run", seq), name="a:b", payload=case.value, timestamp=1, seq=seq)
        if case.expected is not None:
            signals.append(signal)
            continue
        with pytest.raises(SerializationError):
            await store.append(recording, [*signals, signal])
    await store.append(recording, signals)
    found = [encode_json(signal.payload) async for signal in store.iter_signals(recording)]
    assert found == [case.expected for case in cases if case.expected is not None]
    await store.delete_recording(recording)


async def test_values_of_every_kind(
    openharness_postgres: PostgresPlace, record_property: Callable[[str, object], None]
) -> None:
    """Every store takes the same values and refuses the others with SerializationError; what it took comes back."""
    seed = random.SystemRandom().randrange(1 << 32) if LONG else 0
    chance = random.Random(seed)
    refused = 0
    with folder_in_memory() as folder:
        async with every_store(folder, openharness_postgres) as (runs, signals):
            for _ in range(0, VALUES, _AT_ONCE):
                cases = [Case.of(chance) for _ in range(_AT_ONCE)]
                refused += sum(case.expected is None for case in cases)
                for name in {**runs, **signals}:
                    try:
                        if name in runs:
                            await _through_runs(runs[name], cases)
                        await _through_signals(signals[name], cases)
                    except BaseException as error:
                        error.add_note(f"in {name}, with random.Random({seed})")
                        raise
    record_property("values", VALUES)
    record_property("refused", refused)
    record_property("stores", len(runs) + len(signals))
    assert VALUES / 50 < refused < VALUES / 2
