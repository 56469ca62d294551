"""A server that is reached through TLS."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from openharness.core import RunRecord, StoreOpenError
from openharness.run_store_postgres import PostgresRunStore

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator, Callable

    from openharness.testing.postgres import PostgresPlace

SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, until one of them ends."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def port(openharness_postgres: PostgresPlace, authority: trustme.CA) -> AsyncIterator[int]:
    """Return the port of 127.0.0.1 on which the server, named "db.example", speaks TLS.

    The server that the tests start speaks none; what stands before it asks for it, as PostgreSQL does, and undoes it.
    """
    socket = openharness_postgres.dsn.partition("host=")[2]
    if not socket:
        pytest.skip("the server that was given is not on a Unix socket")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            assert await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
            behind, to_behind = await asyncio.open_unix_connection(f"{socket}/.s.PGSQL.5432")
            await asyncio.gather(copy(reader, to_behind), copy(behind, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    if connections:
        await asyncio.wait(connections, timeout=50)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return who signs the certificate of the server."""
    return trustme.CA()


@pytest.fixture
def new_store(openharness_postgres: PostgresPlace, port: int) -> Callable[..., PostgresRunStore]:
    """Return what makes a store that reaches the server by a name and with options of the URL."""

    def new(host: str, options: str = "", **arguments: object) -> PostgresRunStore:
        dsn = f"postgresql://postgres@{host}:{port}/postgres?{options}"
        return PostgresRunStore(dsn, schema=openharness_postgres.schema, **arguments)  # type: ignore[arg-type]

    return new


async def test_a_server_whose_certificate_is_right(
    new_store: Callable[..., PostgresRunStore], authority: trustme.CA, tmp_path: pathlib.Path
) -> None:
    """The authority may be a file in the URL or a context, and the name is compared."""
    root = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(root)
    context = ssl.create_default_context(cafile=str(root))
    for number, store in enumerate(
        (
            new_store("localhost", f"sslmode=verify-full&sslrootcert={root}"),
            new_store("localhost", ssl=context),
            new_store("localhost", "sslmode=require"),
        )
    ):
        async with store:
            await store.save_run(RunRecord(f"r{number}", created_at=1, state=1))
            assert await store.count_runs() == number + 1


async def test_a_store_whose_event_loop_is_closed_lets_go_without_a_word(
    new_store: Callable[..., PostgresRunStore], caplog: pytest.LogCaptureFixture
) -> None:
    """Through TLS as well, connections of a loop that is closed are dropped, and nothing is logged."""
    store = new_store("localhost", "sslmode=require")
    for number in range(2):
        # In a thread, as the server needs the loop of the test.
        await asyncio.to_thread(asyncio.run, store.save_run(RunRecord(f"r{number}", created_at=1, state=1)))
    await asyncio.to_thread(asyncio.run, store.close())
    gc.collect()
    assert caplog.records == []


async def test_a_server_whose_certificate_is_wrong(
    new_store: Callable[..., PostgresRunStore], authority: trustme.CA, tmp_path: pathlib.Path
) -> None:
    """A certificate of another name, or of an authority that is not trusted, is refused before anything is sent."""
    root, other = tmp_path / "root.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(root)
    trustme.CA().cert_pem.write_to_path(other)
    for store in (
        new_store("127.0.0.1", f"sslmode=verify-full&sslrootcert={root}"),
        new_store("localhost", f"sslmode=verify-ca&sslrootcert={other}"),
        new_store("localhost", ssl=ssl.create_default_context(cafile=str(other))),
    ):
        with pytest.raises(StoreOpenError, match="no secure connection"):
            await store.save_run(RunRecord("a", created_at=1, state=1))
        await store.close()


async def test_a_server_without_tls_is_refused_where_it_is_wanted() -> None:
    """With TLS required, a server that has none is an error; nothing goes over in the clear."""
    said: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.readexactly(len(SSL_REQUEST)))
        writer.write(b"N")
        await writer.drain()
        said.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = PostgresRunStore(f"postgresql://postgres:secret@127.0.0.1:{port}/postgres", ssl="require")
    with pytest.raises(StoreOpenError):
        await store.save_run(RunRecord("a", created_at=1, state=1))
    await store.close()
    server.close()
    assert said[0] == SSL_REQUEST
    assert b"".join(said[1:]).replace(SSL_REQUEST, b"") == b""
