"""The parts of the contract of run stores, put together; the quick ones run first."""

from __future__ import annotations

from openharness.testing._run_store._aliasing import AliasingTests
from openharness.testing._run_store._concurrency import ConcurrencyTests, InstanceTests
from openharness.testing._run_store._damage import DamageTests
from openharness.testing._run_store._defaults import CountTests, IterationTests, PruneTests
from openharness.testing._run_store._hostile import HostileTests
from openharness.testing._run_store._interruption import CancellationTests
from openharness.testing._run_store._lifecycle import LifecycleTests
from openharness.testing._run_store._model import ModelTests
from openharness.testing._run_store._other_processes import ProcessTests
from openharness.testing._run_store._queries import MetadataQueryTests, OrderTests, PagingTests, QueryTests
from openharness.testing._run_store._records import RecordTests
from openharness.testing._run_store._values import SizeTests, ValueTests

__all__ = ("RunStoreContract",)


class RunStoreContract(
    ProcessTests,
    ModelTests,
    InstanceTests,
    ConcurrencyTests,
    CancellationTests,
    DamageTests,
    LifecycleTests,
    PruneTests,
    CountTests,
    IterationTests,
    HostileTests,
    SizeTests,
    ValueTests,
    AliasingTests,
    PagingTests,
    MetadataQueryTests,
    QueryTests,
    OrderTests,
    RecordTests,
):
    """The contract of a run store. Subclass it, define the fixture ``store``, and pytest reports each promise.

    ::

        class TestMyRunStore(RunStoreContract):
            abilities = frozenset({Ability.DURABLE})

            @pytest.fixture
            def store(self, tmp_path):
                return MyRunStore(tmp_path / "runs")

            @pytest.fixture
            def reopen(self, tmp_path):
                return functools.partial(MyRunStore, tmp_path / "runs")

    The fixture ``reopen`` belongs to `Ability.DURABLE`, and ``damage`` to `Ability.CHECKSUMS`.

    Attributes:
        max_bytes: The size limit of the store that the fixture makes. A small one (64 KiB to 1 MiB) makes the tests
            quicker.
    """
