"""A server that cannot be reached, or does not answer, and a store that was not told how to reach one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
import attrs
import pytest

from openharness.core import RunRecord, StoreOpenError
from openharness.run_store_postgres import PostgresRunStore

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator

    from openharness.testing.postgres import PostgresPlace


@attrs.define(eq=False)
class Relay:
    """What stands between a store and its server.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        silent: How many of the next connections it accepts without a word.
        writers: Its open connections.
    """

    port: int = 0
    silent: int = 0
    writers: set[asyncio.StreamWriter] = attrs.field(factory=set[asyncio.StreamWriter])

    def cut(self) -> None:
        """End every connection."""
        for writer in self.writers:
            writer.transport.abort()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, until one of them ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def relay(openharness_postgres: PostgresPlace) -> AsyncIterator[Relay]:
    """Return what stands before the server."""
    socket = openharness_postgres.dsn.partition("host=")[2]
    if not socket:
        pytest.skip("the server that was given is not on a Unix socket")
    relay = Relay()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay.writers.add(writer)
        with contextlib.suppress(ConnectionError):
            if relay.silent:
                relay.silent -= 1
                await reader.read()
                await reader.read()
            else:
                behind, to_behind = await asyncio.open_unix_connection(f"{socket}/.s.PGSQL.5432")
                relay.writers.add(to_behind)
                await asyncio.gather(copy(reader, to_behind), copy(behind, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    yield relay
    server.close()
    relay.cut()


@pytest.fixture
def dsn(relay: Relay) -> str:
    """Return the URL of the server behind the relay."""
    return f"postgresql://postgres@127.0.0.1:{relay.port}/postgres?sslmode=disable"


async def test_a_machine_that_stops_answering_is_waited_for(
    relay: Relay, dsn: str, openharness_postgres: PostgresPlace
) -> None:
    """Connections that nobody answers are tried again until reconnect_timeout is over, like those that are refused."""
    async with PostgresRunStore(dsn, schema=openharness_postgres.schema, reconnect_timeout=50) as store:
        await store.save_run(RunRecord("a", created_at=1, state=1))
        server = store._current()._server
        server.settings = attrs.evolve(server.settings, connect_timeout=0.1)
        relay.silent = 4
        relay.cut()
        await asyncio.gather(store.save_run(RunRecord("b", created_at=1, state=1)), store.get_run("a"))
        assert relay.silent == 0
        assert await store.count_runs() == 2


async def test_a_machine_that_never_answers_is_named(relay: Relay, dsn: str) -> None:
    """The first use raises StoreOpenError after connect_timeout, and says that it was that; doctor reports it."""
    relay.silent = 2
    store = PostgresRunStore(dsn, connect_timeout=0.1)
    with pytest.raises(StoreOpenError, match=r"no connection within 0\.1 s"):
        await store.get_run("a")
    (finding,) = (await store.doctor()).findings
    assert "no connection within 0.1 s" in finding.message
    await store.close()


def refuse() -> str:
    """Give no password."""
    raise KeyError("the vault is sealed")


async def refuse_later() -> str:
    """Give none either."""
    return refuse()


@pytest.mark.parametrize(
    "options,expected",
    [
        (
            {"dsn": "postgresql://me@127.0.0.1/db?sslmode=verify-full&sslrootcert=/nowhere/root.pem"},
            "'/nowhere/root.pem' ",
        ),
        ({"dsn": "postgresql://me@127.0.0.1/db?sslmode=sometimes"}, "cannot be used: `sslmode`"),
        ({"dsn": "postgresql://me@/db?host=127.0.0.1&port=x"}, "cannot be used: "),
        ({"dsn": "postgresql://me@127.0.0.1:1/db", "password": refuse}, "gives the password failed: KeyError"),
        ({"dsn": "postgresql://me@127.0.0.1:1/db", "password": refuse_later}, "gives the password failed: KeyError"),
    ],
)
async def test_what_does_not_say_how_to_connect(options: dict[str, Any], expected: str) -> None:
    """Each is a StoreOpenError that says what is wrong, and a finding of doctor."""
    store = PostgresRunStore(**options)
    with pytest.raises(StoreOpenError) as caught:
        await store.save_run(RunRecord("a", created_at=1, state=1))
    assert expected in str(caught.value)
    (finding,) = (await store.doctor()).findings
    assert expected in finding.message
    await store.close()


async def test_an_option_that_nobody_knows_is_named(openharness_postgres: PostgresPlace) -> None:
    """An option of libpq that the driver has not, or one that is misspelt, is a StoreOpenError that names it."""
    for option in ("channel_binding=require", "ssl_mode=require"):
        store = PostgresRunStore(f"{openharness_postgres.dsn}&{option}")
        with pytest.raises(StoreOpenError, match=f'neither the driver nor the server knows: .*"{option[:8]}'):
            await store.get_run("a")
        (finding,) = (await store.doctor()).findings
        assert "neither the driver nor the server" in finding.message
        await store.close()


async def test_a_server_without_room_for_connections_is_waited_for(
    openharness_postgres: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save waits until there is room for its connection again; reads meanwhile share the one that there is."""
    place = openharness_postgres
    role = place.schema
    administrator = await asyncpg.connect(place.dsn)
    await administrator.execute(f"CREATE ROLE {role} LOGIN; CREATE SCHEMA {role} AUTHORIZATION {role}")
    dsn = place.dsn.replace("postgres@", f"{role}@")
    refused = asyncio.Event()
    honest = asyncpg.connect

    async def connect(*arguments: Any, **options: Any) -> Any:
        try:
            return await honest(*arguments, **options)
        except asyncpg.TooManyConnectionsError:
            refused.set()
            raise

    monkeypatch.setattr(asyncpg, "connect", connect)
    async with PostgresRunStore(dsn, schema=place.schema, reconnect_timeout=50) as store:
        # One connection, which reads.
        assert await store.count_runs() == 0
        await administrator.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
        saving = asyncio.ensure_future(store.save_run(RunRecord("a", created_at=1, state=1)))
        await asyncio.gather(*(store.count_runs() for _ in range(50)))
        await refused.wait()
        await administrator.execute(f"ALTER ROLE {role} CONNECTION LIMIT 2")
        await saving
        assert await store.count_runs() == 1
    await administrator.close()


async def test_a_socket_that_is_not_there_is_a_server_that_is_not_there(tmp_path: pathlib.Path) -> None:
    """A missing socket is what a server that has stopped leaves, and is not taken for a wrong option."""
    store = PostgresRunStore(f"postgresql://me@/db?host={tmp_path}&sslmode=disable")
    with pytest.raises(StoreOpenError, match="cannot be reached"):
        await store.get_run("a")
    await store.close()
