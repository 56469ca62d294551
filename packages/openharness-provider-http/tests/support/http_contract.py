"""What holds for every provider that asks over HTTP, to be subclassed with a provider and its stored streams."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest
from collecting import CONTEXT, ask, collect, exhaust, request, told
from real_server import get_weather
from serving import JSON, Reply, Server, error_reply, served_elsewhere

from openharness.core import AgentError, Message, ProviderError, ProviderRequest, TextDelta, create_harness
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from openharness.core import Provider, ProviderEvent


def sizes_of(folder: pathlib.Path, sizes: Sequence[int | None] = (None, 1, 7, 1021)) -> list[Any]:
    """Return stored streams and the sizes of the pieces in which they are served: whole, odd, and byte by byte."""
    return [
        pytest.param(path.name, size, id=f"{path.name}-{size or 'whole'}")
        for path in sorted(folder.glob("*.sse"))
        for size in sizes
        if size != 1 or path.stat().st_size < 6000
    ]


@attrs.frozen
class Person:
    """What the stored streams have as JSON."""

    name: str
    age: int


class HTTPContract:
    """The promises. A subclass names its provider and the files.

    Attributes:
        folder: Where the stored streams are, and ``expected.json``.
        whole: The stream of an answer that is text, ``01_text.sse`` in all dialects.
        key_variable: The environment variable that holds the key.
        sdk: The SDK's import name.
        path: What follows the server's address in ``base_url``.
        cut_events: The bytes of events with which a stream goes wrong after some text, by the kind of the error.
    """

    folder: ClassVar[pathlib.Path]
    key_variable: ClassVar[str]
    sdk: ClassVar[str]
    cut_events: ClassVar[dict[str, bytes]]
    path: ClassVar[str] = ""

    def make(self, url: str, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        raise NotImplementedError

    def stored(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self.folder / name).read_bytes()

    @property
    def whole(self) -> bytes:
        """The bytes of a whole answer."""
        return self.stored("01_text.sse")

    @property
    def half(self) -> bytes:
        """The first events of that answer, some text among them."""
        events = self.whole.split(b"\n\n")
        return b"\n\n".join(events[:6]) + b"\n\n"

    def expected(self, name: str) -> list[Any]:
        """What a stored stream says, as it was written down."""
        stored: dict[str, list[Any]] = json.loads((self.folder / "expected.json").read_text(encoding="utf-8"))
        return stored[name]

    async def failure(
        self, reply: Reply, *, attempt: int = 0, **options: Any
    ) -> tuple[ProviderError, list[ProviderEvent], Server]:
        """Return the error of a request that must fail, and what came before it."""
        events: list[ProviderEvent] = []
        async with Server(reply) as server, self.make(server.url, **{"max_retries": 0, **options}) as provider:
            with pytest.raises(ProviderError) as caught:
                async with asyncio.timeout(50):
                    await collect(provider, request(), events, attempt=attempt)
        return caught.value, events, server

    def test_every_stream_has_an_expectation(self) -> None:
        """No stored stream was forgotten."""
        stored = json.loads((self.folder / "expected.json").read_text(encoding="utf-8"))
        assert sorted(stored) == sorted(path.name for path in self.folder.iterdir() if path.name != "expected.json")

    async def check_stream(self, name: str, size: int | None) -> None:
        """Serve a stored stream in pieces of this size and compare every event."""
        events: list[ProviderEvent] = []
        lines: list[Any] = []
        async with Server(Reply(body=self.stored(name), size=size)) as server:
            async with self.make(server.url, max_retries=0) as provider:
                try:
                    await collect(provider, request(), events)
                except ProviderError as error:
                    lines = [["error", error.kind, error.status, error.retryable]]
            assert server.hung_up == 0
        assert [*map(told, events), *lines] == self.expected(name)

    async def test_a_stored_refusal(self) -> None:
        """The server's own answer to a prompt that is too long is an error of that kind."""
        body = self.stored("10_error_context.error.json")
        error, events, _ = await self.failure(Reply(status=400, headers=JSON, body=body))
        assert events == []
        lines = ["error", error.kind, error.status, error.retryable]
        assert [lines] == self.expected("10_error_context.error.json")
        assert "6031 tokens" in str(error)

    @pytest.mark.parametrize("ending", ["cut", "end"])
    async def test_a_stream_that_ends_anywhere(self, ending: Any) -> None:
        """Wherever a stream ends, nothing that had come is lost, and what is not whole is an error to retry."""
        texts = [event[1] for event in self.expected("01_text.sse") if event[0] == "text"]
        whole = self.whole
        positions = list(range(0, len(whole), 97))
        replies = [Reply(body=whole[:position], ending=ending) for position in positions]
        outcomes = set()
        async with Server(*replies) as server, self.make(server.url, max_retries=0) as provider:
            for position in positions:
                events: list[ProviderEvent] = []
                kind = ""
                try:
                    await collect(provider, request(), events)
                except ProviderError as error:
                    kind = error.kind if error.retryable else "not to be retried"
                said = [event.text for event in events if isinstance(event, TextDelta)]
                assert said == texts[: len(said)]
                # The last event may be cut, those before it are whole.
                arrived = whole[:position].split(b"\n\n")[:-1]
                assert len(said) >= sum(json.dumps(text).encode()[1:-1] in b"".join(arrived) for text in texts[:1])
                assert kind or said == texts
                outcomes.add(kind)
        # The end of the last event may be cut without any loss.
        assert outcomes in ({"connection"}, {"connection", "protocol"}) if ending == "cut" else {"protocol"}

    @pytest.mark.parametrize(
        "status, headers, kind, retryable, retry_after",
        [
            (400, {}, "invalid_request", False, None),
            (401, {}, "authentication", False, None),
            (403, {}, "permission", False, None),
            (404, {}, "not_found", False, None),
            (408, {}, "timeout", True, None),
            (409, {}, "conflict", True, None),
            (413, {}, "request_too_large", False, None),
            (422, {}, "invalid_request", False, None),
            (429, {"retry_after": "7"}, "rate_limit", True, 7.0),
            (429, {"retry_after_ms": "1500", "retry_after": "9"}, "rate_limit", True, 1.5),
            (429, {"x_should_retry": "false"}, "rate_limit", False, None),
            (500, {}, "server", True, None),
            (502, {}, "server", True, None),
            (503, {"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, "overloaded", True, None),
            (529, {}, "overloaded", True, None),
        ],
    )
    async def test_statuses(
        self, status: int, headers: dict[str, str], kind: str, retryable: bool, retry_after: float | None
    ) -> None:
        """Each status has its kind, and says whether and when to try again."""
        reply = error_reply(status, {"error": {"message": "So it is."}}, **headers)
        error, events, server = await self.failure(reply)
        assert events == []
        assert (error.kind, error.status, error.retryable, error.retry_after) == (kind, status, retryable, retry_after)
        assert "So it is." in str(error)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b'"no"', b'{"error": "no"}', b"{}", b"[1]"])
    async def test_errors_in_any_form(self, body: bytes) -> None:
        """An error whose body is not the vendor's is one all the same."""
        error, _, _ = await self.failure(Reply(status=502, headers={"content-type": "text/html"}, body=body))
        assert (error.kind, error.status, error.retryable) == ("server", 502, True)

    async def test_a_wrong_key_names_the_variable(self) -> None:
        """An error about the key says where keys come from."""
        error, _, _ = await self.failure(error_reply(401, {"error": {"message": "invalid key"}}))
        assert self.key_variable in str(error)

    @pytest.mark.parametrize(
        "events",
        [b"", b"\n\n\n", b": only a comment\n\n", b"data:\n\n", b"event: nonsense\ndata: {}\n\n"],
    )
    async def test_an_empty_stream(self, events: bytes) -> None:
        """A stream without an answer is an error to retry."""
        error, came, _ = await self.failure(Reply(body=events))
        assert came == []
        assert (error.kind, error.retryable) == ("protocol", True)

    async def test_a_page_instead_of_an_answer(self) -> None:
        """What answers with a page is not the API: the error says what came, and asks about the address."""
        await self.check_page("and sent text/html. Is that the address")

    async def check_page(self, says: str) -> None:
        """Serve a page, and look for these words in the error."""
        page = Reply(headers={"content-type": "text/html; charset=utf-8"}, body=b"<html>Log in</html>")
        error, came, server = await self.failure(page)
        assert (came, error.kind, error.retryable) == ([], "protocol", True)
        assert says in str(error)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("broken", [b"{", b"nonsense", b'"\xff\xfe"', b'{"a": "\xe4"}'])
    async def test_an_event_that_is_no_json(self, broken: bytes) -> None:
        """An event that cannot be read is an error to retry, after all that came before it."""
        error, events, _ = await self.failure(
            Reply(body=self.half + b"event: message_delta\ndata: " + broken + b"\n\n")
        )
        assert (error.kind, error.retryable) == ("protocol", True)
        assert any(isinstance(event, TextDelta) for event in events)

    @pytest.mark.parametrize("part", [b"3", b'"text"', b"[]", b"null"])
    async def test_an_event_that_is_no_object(self, part: bytes) -> None:
        """An event that is JSON and no object is an error, after all that came before it."""
        error, events, _ = await self.failure(Reply(body=self.half + b"event: message_delta\ndata: " + part + b"\n\n"))
        assert error.kind == "protocol"
        assert any(isinstance(event, TextDelta) for event in events)

    async def test_errors_within_a_stream(self) -> None:
        """An error in the middle comes after what had been said, with its kind."""
        for kind, event in self.cut_events.items():
            error, events, _ = await self.failure(Reply(body=self.half + event))
            assert error.kind == kind, event
            assert any(isinstance(one, TextDelta) for one in events)
            assert error.data["message"]

    async def test_a_server_that_falls_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After the timeout a silent stream is an error to retry, and the server is left."""
        async with Server(Reply(body=self.half, ending="stall")) as server:
            async with self.make(server.url, max_retries=0, timeout=500.0) as provider:
                events: list[ProviderEvent] = []
                collecting = asyncio.create_task(collect(provider, request(), events))
                while not events:  # noqa: ASYNC110 - a list tells nobody
                    await asyncio.sleep(0.005)
                # A clock that is ahead instead of a short timeout, within which a busy machine would say nothing at all.
                loop = asyncio.get_running_loop()
                time = loop.time
                ahead = 0.0
                monkeypatch.setattr(loop, "time", lambda: time() + ahead)
                while not collecting.done():
                    ahead += 1000
                    await asyncio.sleep(0.01)
                with pytest.raises(ProviderError) as caught:
                    await collecting
            await server.until_hung_up()
        assert (caught.value.kind, caught.value.retryable) == ("timeout", True)
        assert events

    async def test_nobody_listens(self) -> None:
        """Where no server is, the error names the address."""
        async with Server() as server:
            url = server.url
        async with self.make(url, max_retries=0) as provider:
            with pytest.raises(ProviderError) as caught:
                await ask(provider)
        assert (caught.value.kind, caught.value.retryable) == ("connection", True)
        assert url in str(caught.value)

    async def test_the_sdk_retries(self) -> None:
        """The SDK sends a failed request again, as often as it is told, and only what began to stream is final."""
        busy = error_reply(529, {"error": {"message": "busy"}}, retry_after_ms="1")
        async with Server(busy, busy, Reply(body=self.whole)) as server, self.make(server.url) as provider:
            await ask(provider)
            assert len(server.asked) == 3
        async with Server(Reply(body=self.half)) as server, self.make(server.url) as provider:
            with pytest.raises(ProviderError):
                await ask(provider)
            assert len(server.asked) == 1

    async def test_retries_are_not_doubled(self) -> None:
        """When the harness tries again, each of its attempts is sent once."""
        busy = error_reply(529, {"error": {"message": "busy"}}, retry_after_ms="1")
        _, _, server = await self.failure(busy, attempt=0, max_retries=2)
        assert len(server.asked) == 3
        _, _, server = await self.failure(busy, attempt=1, max_retries=2)
        assert len(server.asked) == 1

    async def test_the_server_sees_that_a_stream_is_left(self) -> None:
        """Closing a stream in the middle hangs up, and the provider goes on working."""
        replies = Reply(body=self.half, ending="stall"), Reply(body=self.whole)
        async with Server(*replies) as server, self.make(server.url, max_retries=0) as provider:
            generator = provider.run(request(), CONTEXT)
            await anext(generator)
            await generator.aclose()
            await server.until_hung_up()
            assert (await ask(provider)).content

    @pytest.mark.parametrize("begun", [False, True])
    async def test_the_server_sees_that_a_request_is_cancelled(self, begun: bool) -> None:
        """Cancelling hangs up, also before the first event, and the provider goes on working."""
        replies = Reply(body=self.half if begun else b"", ending="stall"), Reply(body=self.whole)
        async with Server(*replies) as server, self.make(server.url, max_retries=0) as provider:
            generator = provider.run(request(), CONTEXT)
            if begun:
                await anext(generator)
            task = asyncio.create_task(exhaust(generator))
            await server.until_asked()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.until_hung_up()
            assert (await ask(provider)).content

    async def test_closing_ends_what_runs(self) -> None:
        """A request that runs when the provider is closed ends with an error, and no new one is taken."""
        async with Server(Reply(body=self.half, ending="stall")) as server:
            provider = self.make(server.url, max_retries=0)
            generator = provider.run(request(), CONTEXT)
            await anext(generator)
            await provider.close()
            with pytest.raises(ProviderError) as caught:
                await asyncio.wait_for(exhaust(generator), 50)
            assert caught.value.kind == "closed"
            await server.until_hung_up()
            with pytest.raises(ProviderError, match="make a new one"):
                await ask(provider)

    def test_one_provider_serves_several_event_loops(self) -> None:
        """A provider goes on working in another event loop, and leaves no connection open when one ends."""
        with served_elsewhere(Reply(body=self.whole)) as url:
            provider = self.make(url, max_retries=0)
            for _ in range(2):
                assert asyncio.run(ask(provider)).content
                # What is left open complains when it is collected, and a warning is an error here.
                gc.collect()
            asyncio.run(provider.close())

    def test_a_provider_is_closed_from_another_event_loop(self) -> None:
        """Closing reaches the event loop in which a request runs."""
        with served_elsewhere(Reply(body=self.half, ending="stall")) as url:
            provider = self.make(url, max_retries=0)
            begun = threading.Event()

            async def use() -> None:
                async for _ in provider.run(request(), CONTEXT):
                    begun.set()

            with concurrent.futures.ThreadPoolExecutor() as pool:
                using = pool.submit(asyncio.run, use())
                assert begun.wait(50)
                asyncio.run(provider.close())
                with pytest.raises(ProviderError) as caught:
                    using.result(50)
        assert caught.value.kind == "closed"

    def test_a_provider_that_is_forgotten_hangs_up(self) -> None:
        """A provider that nobody holds any more gives its connections back while the event loop goes on."""

        async def use() -> None:
            async with Server(Reply(body=self.whole)) as server:
                await ask(self.make(server.url, max_retries=0))
                await server.until_left()

        asyncio.run(use())

    async def test_what_came_before_an_error_is_recorded(self) -> None:
        """When a stream fails in the middle, the recording holds the text that had come, and the error."""
        store = MemorySignalStore()
        harness = create_harness()
        agent = harness.agent(prompt="hi", activate_on="harness:start")
        (kind, event), *_ = self.cut_events.items()
        async with Server(Reply(body=self.half + event)) as server, self.make(server.url, max_retries=0) as provider:
            running = harness.run_reactive(
                agents={"asker": agent}, state={}, provider=provider, store=store, mode="record", fixture="cut"
            )
            with pytest.raises(AgentError) as caught:
                await running
        assert caught.value.recording_id is not None
        recording = await store.load_recording(caught.value.recording_id)
        assert recording is not None
        said = [signal.payload["text"] for signal in recording.signals if signal.name == "text:delta"]
        assert said
        assert said == [event[1] for event in self.expected("01_text.sse")[: len(said)]]
        (failed,) = [signal for signal in recording.signals if signal.name == "provider:error"]
        assert failed.payload["error"]["kind"] == kind

    async def test_an_agent_with_a_tool(self) -> None:
        """A stored call runs the tool, its result goes back in the vendor's form, and the run replays."""
        harness = create_harness()
        store = MemorySignalStore()
        agent = harness.agent(
            prompt="And in Paris?", activate_on="harness:start", updates="answer", tools=[get_weather]
        )
        settings: dict[str, Any] = {"agents": {"asker": agent}, "state": {"answer": ""}, "store": store, "fixture": "f"}
        replies = [Reply(body=self.stored(name)) for name in ("05_tool_use.sse", "06_tool_result.sse")]
        async with Server(*replies) as server, self.make(server.url) as provider:
            recorded = await harness.run_reactive(**settings, provider=provider, mode="record")
        assert recorded.state["answer"] == "It is 18 degrees and sunny in Paris."
        first, second = (asked.body["messages"] for asked in server.asked)
        assert second[: len(first)] == first
        assert "18 degrees, sunny" in json.dumps(second[-1])
        call = self.expected("05_tool_use.sse")[0][1]
        assert [json.dumps(message).count(call) for message in second[-2:]] == [1, 1]
        replayed = await harness.run_reactive(**settings, mode="replay")
        assert replayed.signals == recorded.signals

    async def test_an_agent_with_typed_output(self) -> None:
        """The request has the schema; text is asked about again, stored JSON becomes the object, and the run replays."""
        harness = create_harness()
        store = MemorySignalStore()
        agent = harness.agent(
            prompt="Give me a person.",
            activate_on="harness:start",
            updates="person",
            output=Person,
            tools=[get_weather],
        )
        settings: dict[str, Any] = {
            "agents": {"asker": agent},
            "state": {"person": None},
            "store": store,
            "fixture": "f",
        }
        replies = [Reply(body=self.stored(name)) for name in ("08_max_tokens.sse", "02_json.sse")]
        async with Server(*replies) as server, self.make(server.url) as provider:
            recorded = await harness.run_reactive(**settings, provider=provider, mode="record")
        assert recorded.state["person"] == {"name": "John", "age": 30}
        first, second = (asked.body for asked in server.asked)
        assert {**first, "messages": None} == {**second, "messages": None}
        # A title, which need not be sent, says nothing.
        assert '"age": {' in json.dumps(first)
        said, told = (_text_of(message["content"]) for message in second["messages"][-2:])
        assert said == "The old pirate, Blackbeard,"
        assert "got 'The old pirate, Blackbeard,'. It was cut off" in told
        replayed = await harness.run_reactive(**settings, mode="replay")
        assert replayed.signals == recorded.signals

    async def test_lone_surrogates(self) -> None:
        """A text that has no UTF-8 form is sent with replacements, and a warning says so."""
        async with Server(Reply(body=self.whole)) as server, self.make(server.url) as provider:
            events = await collect(provider, ProviderRequest(messages=[Message("user", "a\ud800b")]))
            assert told(events[0])[0] == "warning"
            assert "a\ufffdb" in json.dumps(server.asked[0].body, ensure_ascii=False)

    @pytest.mark.parametrize(
        "options, says",
        [
            ({"messages": []}, "at least one message"),
            ({"max_tokens": 0}, "max_tokens must be 1 or more"),
            ({"temperature": -1.0}, "temperature must be 0 or more"),
            ({"temperature": float("nan")}, "got nan"),
            ({"stop": ["x", ""]}, "not empty"),
            ({"options": {"messages": [], "stream": False}}, "['messages', 'stream']"),
        ],
    )
    async def test_what_cannot_be_asked(self, options: dict[str, Any], says: str) -> None:
        """A request that cannot be right is refused before it is sent."""
        async with Server(Reply(body=self.whole)) as server, self.make(server.url) as provider:
            with pytest.raises(ProviderError) as caught:
                await collect(provider, request(**options))
            assert caught.value.kind == "invalid_request"
            assert says in str(caught.value)
            assert server.asked == []

    def test_the_sdk_is_imported_when_it_is_used(self) -> None:
        """Importing the package and making a provider imports neither the SDK, nor its HTTP client, nor prices."""
        program = f"""
            import sys
            from {type(self.make("http://localhost:9")).__module__} import *
            {type(self.make("http://localhost:9")).__name__}()
            print([name for name in ("{self.sdk}", "httpx2", "genai_prices", "pydantic") if name in sys.modules])
        """
        assert run_program(program) == (0, "[]\n", "")

    @pytest.mark.slow
    async def test_a_provider_that_was_never_closed(self) -> None:
        """A program that ends in the middle of a stream, and closes nothing, ends soon and in silence."""
        async with Server(Reply(body=self.half, ending="stall")) as server:
            maker = self.make(server.url)
            program = f"""
                import asyncio
                from openharness.core import Message, ProviderRequest, RunContext
                from {type(maker).__module__} import *
                provider = {type(maker).__name__}("m", base_url={server.url + self.path!r}, api_key="k")
                context = RunContext(run_id="r", agent="a", activation="a#1", call="a#1/0/0")
                async def main():
                    async for event in provider.run(ProviderRequest(messages=[Message("user", "hi")]), context):
                        print(event.text)
                        break
                asyncio.run(main())
            """
            done = await asyncio.to_thread(run_program, program)
        assert done == (0, "Hello\n", "")

    async def test_no_key(self, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
        """Without a key the error comes before any request, and names the variable to set."""
        for name in [name for name in os.environ if name.startswith(f"{self.sdk.upper()}_")]:
            monkeypatch.delenv(name)
        # An SDK may find the profile of whoever runs the tests.
        monkeypatch.setenv("HOME", str(tmp_path))
        provider = self.without_key()
        with pytest.raises(ProviderError) as caught:
            await ask(provider)
        assert (caught.value.kind, caught.value.retryable) == ("authentication", False)
        assert self.key_variable in str(caught.value)
        await provider.close()

    async def test_an_address_that_is_none(self) -> None:
        """An address that cannot be read is an error of the first request, and again of the second."""
        async with self.make("http://localhost:many") as provider:
            for _ in range(2):
                with pytest.raises(ProviderError, match="cannot be made") as caught:
                    await ask(provider)
                assert (caught.value.kind, caught.value.retryable) == ("configuration", False)

    def without_key(self) -> Provider:
        """Return a provider of the vendor's own service that was given no key."""
        raise NotImplementedError


def _text_of(content: Any) -> str:
    """What a message says, which some send as text and some as blocks of it."""
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def run_program(program: str) -> tuple[int, str, str]:
    """Run a program of its own, and return its exit code, what it printed and what it complained of."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=50
    )
    return done.returncode, done.stdout, done.stderr
