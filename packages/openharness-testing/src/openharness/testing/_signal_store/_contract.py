"""The parts of the contract of signal stores, put together; the quick ones run first."""

from __future__ import annotations

from openharness.testing._signal_store._aliasing import AliasingTests
from openharness.testing._signal_store._blobs import BlobTests
from openharness.testing._signal_store._catalogue import CheckpointTests, FixtureTests, InfoTests, ListingTests
from openharness.testing._signal_store._concurrency import ConcurrencyTests, InstanceTests
from openharness.testing._signal_store._damage import DamageTests
from openharness.testing._signal_store._following import FollowedProcessTests, FollowTests
from openharness.testing._signal_store._interruption import CancellationTests
from openharness.testing._signal_store._lifecycle import LifecycleTests
from openharness.testing._signal_store._logs import AppendTests, FinalizeTests, UnknownRecordingTests
from openharness.testing._signal_store._model import ModelTests
from openharness.testing._signal_store._other_processes import ProcessTests
from openharness.testing._signal_store._reading import ReadingTests
from openharness.testing._signal_store._restoring import RestoreTests
from openharness.testing._signal_store._search import SearchTests
from openharness.testing._signal_store._values import PayloadTests

__all__ = ("SignalStoreContract",)


class SignalStoreContract(
    ProcessTests,
    FollowedProcessTests,
    ModelTests,
    InstanceTests,
    ConcurrencyTests,
    CancellationTests,
    DamageTests,
    LifecycleTests,
    PayloadTests,
    AliasingTests,
    CheckpointTests,
    FixtureTests,
    RestoreTests,
    FollowTests,
    SearchTests,
    ListingTests,
    InfoTests,
    ReadingTests,
    BlobTests,
    UnknownRecordingTests,
    FinalizeTests,
    AppendTests,
):
    """The contract of a signal store. Subclass it, define the fixture ``store``, and pytest reports each promise.

    ::

        class TestMySignalStore(SignalStoreContract):
            abilities = frozenset({Ability.DURABLE})

            @pytest.fixture
            def store(self, tmp_path):
                return MySignalStore(tmp_path / "recordings")

            @pytest.fixture
            def reopen(self, tmp_path):
                return functools.partial(MySignalStore, tmp_path / "recordings")

    The fixture ``reopen`` belongs to `Ability.DURABLE`, and ``damage`` to `Ability.CHECKSUMS`.

    Attributes:
        max_bytes: The size limit of the store that the fixture makes. A small one (64 KiB to 1 MiB) makes the tests
            quicker.
    """
