"""A local HTTP server that answers with given bytes, cut as one likes, and knows who hung up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

EVENTS = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@attrs.frozen(kw_only=True)
class Reply:
    """What the server answers one request with.

    Attributes:
        body: The bytes.
        status: The HTTP status.
        headers: Headers beside those of the transfer.
        size: How many bytes are sent at once; None sends all.
        ending: What follows the bytes: the ``"end"``; a broken connection (``"cut"``); or nothing, until the client
            hangs up (``"stall"``).
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=lambda: dict(EVENTS))
    size: int | None = None
    ending: Literal["end", "cut", "stall"] = "end"

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes as they are sent."""
        size = self.size or max(len(self.body), 1)
        for start in range(0, len(self.body), size):
            yield self.body[start : start + size]


@attrs.frozen
class Asked:
    """A request the server got.

    Attributes:
        path: Its path with the query.
        headers: Its headers, with names in lower case.
        body: Its body as a JSON value.
    """

    path: str
    headers: Mapping[str, str]
    body: Any


def error_reply(status: int, body: object, **headers: str) -> Reply:
    """Return a reply that is an error, with underscores in the names of headers for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers={**JSON, **named}, body=json.dumps(body).encode())


class Server:
    """Answers each request with the next reply, and all further ones with the last.

    Args:
        replies: The replies, or what makes one of a request.
    """

    def __init__(self, *replies: Reply | Callable[[Asked], Reply]) -> None:
        self.asked: list[Asked] = []
        self.hung_up = 0
        self._replies: Sequence[Reply | Callable[[Asked], Reply]] = replies
        self._changed = asyncio.Condition()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Hang up on everybody."""
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def until_asked(self, times: int = 1) -> None:
        """Wait until this many requests have come."""
        await self._until(lambda: len(self.asked) >= times)

    async def until_hung_up(self, times: int = 1) -> None:
        """Wait until clients have hung up in the middle of this many replies."""
        await self._until(lambda: self.hung_up >= times)

    async def until_left(self) -> None:
        """Wait until nobody is connected."""
        await self._until(lambda: not self._connections)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(50), self._changed:
            await self._changed.wait_for(is_so)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[task]
            await self._tell()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, and return whether the connection is to be kept."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()[:-1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        asked = Asked(first.split()[1], headers, json.loads(content) if content else None)
        self.asked.append(asked)
        await self._tell()
        chosen = self._replies[min(len(self.asked), len(self._replies)) - 1]
        reply = chosen if isinstance(chosen, Reply) else chosen(asked)
        head = [f"HTTP/1.1 {reply.status} Reply", *(f"{name}: {value}" for name, value in reply.headers.items())]
        writer.write("\r\n".join([*head, "transfer-encoding: chunked", "", ""]).encode("latin-1"))
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            for piece in reply.pieces():
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            if reply.ending == "stall":
                await leaving
            if leaving.done() and not leaving.result():
                self.hung_up += 1
                return False
            if reply.ending == "cut":
                writer.transport.abort()
                return False
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            self.hung_up += 1
            return False
        finally:
            leaving.cancel()
        return True


@contextlib.contextmanager
def served_elsewhere(*replies: Reply) -> Iterator[str]:
    """Run a server in a thread, for tests that have event loops of their own, and yield its address."""
    started: concurrent.futures.Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = (
        concurrent.futures.Future()
    )

    async def serve() -> None:
        ended = asyncio.Event()
        async with Server(*replies) as server:
            started.set_result((server.url, asyncio.get_running_loop(), ended))
            await ended.wait()

    # A daemon, so that a test that fails to stop it does not keep the interpreter from ending.
    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    url, loop, ended = started.result(50)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(50)
