"""Fifty secrets, put wherever a text can come from: none of them is in any byte that a run leaves behind."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import pytest
from harness_kit import EventsProvider, ScriptedProvider

from openharness.core import (
    AgentError,
    Completed,
    InMemoryRunStore,
    ProviderError,
    ProviderOutput,
    ProviderWarning,
    Redaction,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    create_harness,
)
from openharness.core.engine import Intake
from openharness.core.engine import _state as state_module
from openharness.core.engine._activations import Activations
from openharness.core.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openharness.core import RunContext, RunStore, SignalStore

signals: Any = pytest.importorskip("openharness.signals")
sqlite: Any = pytest.importorskip("openharness.run_store_sqlite")


def canaries() -> Iterator[tuple[str, str]]:
    """Fifty secrets with the kind of rule that finds them; awkward to write, too, where they may be."""
    shapes = ("ghp_{:0>36}", "AKIA{:A>16}", "hf_{:x>34}", "sk_live_{:0>24}", "npm_{:0>36}")
    for number in range(20):
        letters = "".join(chr(ord("A") + int(digit)) for digit in str(number))
        yield "shape", shapes[number % 5].format(letters)
    for number in range(10):
        yield "environment", f"canary{number}-" + ('"quo\\ted"', "sla/sh=+", "ümläut", "new\nline", "plain")[number % 5]
    for number in range(10):
        yield "named", f"named{number}:" + ('{"a": 1}', "two words", "\\n\\u0041", "日本語", "x" * 40)[number % 5]
    for number in range(10):
        yield "pattern", f"acme_{number:08d}" if number % 2 else f"Pin {number}-{number:07d}"


CANARIES = list(canaries())
ENVIRONMENT = {f"CANARY{index}_API_KEY": text for index, (kind, text) in enumerate(CANARIES) if kind == "environment"}
REDACTION = Redaction(
    secrets={f"named-{index}": text for index, (kind, text) in enumerate(CANARIES) if kind == "named"},
    patterns={"acme": r"acme_[0-9]{8}", "pin": r"(?i)pin \d-\d{7}"},
    longest=40,
)
PIECES = 3
"""How long the pieces of a stream are, so that every secret is cut at every position in the course of the runs."""


@attrs.define
class State:
    """Everything that a state can hold."""

    secret: str
    nested: dict[str, Any]
    notes: list[str] = attrs.field(factory=list)
    answer: str = ""
    heard: str = ""


def pieces(text: str, offset: int) -> list[str]:
    """A text in short pieces, cut from an offset on."""
    cuts = [0, *range(1 + offset, len(text), PIECES), len(text)]
    return [text[start:stop] for start, stop in itertools.pairwise(cuts) if start < stop]


class Leaky(ScriptedProvider):
    """Says every secret it was told, in every way that a provider can say something."""

    def __init__(self, canary: str, offset: int) -> None:
        super().__init__()
        self.canary, self.offset = canary, offset

    async def run(self, request: Any, context: RunContext) -> Any:
        """Say it."""
        self.requests.append((request, context))
        said = f"I think of {self.canary}, {self.canary}."
        for piece in pieces(said, self.offset):
            yield ThinkingDelta(piece)
            yield TextDelta(piece)
        yield ProviderWarning(f"careful with {self.canary}", data={self.canary: [self.canary]})
        yield ToolCall(
            id=self.canary, name="send", arguments={"header": self.canary, "body": json.dumps([self.canary])}
        )
        if context.agent == "failing" and context.attempt == 0:
            raise ProviderError(f"refused {self.canary}", retryable=True, retry_after=0, data={"sent": self.canary})
        yield Completed(ProviderOutput(content=said, thinking=said, data={"raw": self.canary}, request_id=self.canary))


async def leak(canary: str, offset: int, *, store: SignalStore, run_store: RunStore) -> tuple[Any, str]:
    """Run with a secret in every place, let everything fail that can, and return the result and all error messages."""
    harness = create_harness(State, store=store, run_store=run_store, redaction=REDACTION)

    def note(state: State, signal: Any) -> None:
        state.notes.append(f"{state.secret} {canary}")

    def fail(context: Any) -> bool:
        raise RuntimeError(f"{context.state.secret} {canary}")

    def complain(signal: Any) -> None:
        raise RuntimeError(f"cannot tell of {canary}")

    common: dict[str, Any] = {"activate_on": "person:said", "retries": 1, "retry_delay": 0.0}
    agents = {
        "one": harness.agent(
            prompt="Use {{ state.secret }} and {{ input }}", system=canary, updates="answer", **common
        ),
        "failing": harness.agent(prompt=lambda context: canary, on_error="continue", emits="failing:done", **common),
        "guarded": harness.agent(prompt="p", activate_on="person:said", when=fail, on_error="continue"),
        "broken": harness.agent(prompt=fail, activate_on="person:said", on_error="continue"),
        "hearing": harness.agent(prompt="{{ signal.payload.output }}", activate_on="failing:done", updates="heard"),
    }
    options: dict[str, Any] = {
        "agents": agents,
        "state": State(secret=f"it is {canary}.", nested={"list": [{"deep": canary}], "keys": {canary: 1}}),
        "input": [canary, {"text": json.dumps({"inner": canary})}],
        "reducers": {"person:said": note},
    }
    provider = Leaky(canary, offset)
    with harness.subscribe("person:said", complain):
        async with harness.start(
            **options,
            provider=provider,
            tags=["t", *([canary] if canary.isprintable() else [])],
            metadata={"m": canary, "deep": [{"x": canary}]},
        ) as run:
            await run.emit("person:said", {"what": canary, "keys": {canary: canary}})
    result = await run.result()
    assert any(request.system == canary for request, _ in provider.requests), "the provider must be told the secret"
    # The recording replays with the secrets given again, and nothing differs.
    async with harness.start(**options, recording=result.recording_id) as again:
        await again.emit("person:said", {"what": canary, "keys": {canary: canary}})
    replayed = await again.result()
    assert replayed.signals == result.signals
    assert replayed.state == result.state
    assert (
        await harness.run_reactive(agents=agents, reducers=options["reducers"], recording=result.recording_id)
    ).replayed
    # A run that fails altogether, by a provider that raises anything.
    dead = harness.agent(prompt="p", activate_on="harness:start")
    with pytest.raises(AgentError) as caught:
        await harness.run_reactive(
            agents={"dead": dead}, state=options["state"], provider=EventsProvider([ValueError(canary)])
        )
    return result, str(caught.value)


def encodings(canary: str) -> set[bytes]:
    """What a secret may look like on a disk."""
    texts = {canary, json.dumps(canary)[1:-1], json.dumps(canary, ensure_ascii=False)[1:-1], quote(canary, safe="")}
    texts |= {json.dumps(text)[1:-1] for text in texts}
    found = {text.encode() for text in texts}
    return found | {canary.encode("utf-16-le"), base64.b64encode(canary.encode())}


def found_in(folder: Path, canary: str) -> list[str]:
    """The files that have a secret in them, in any encoding; also files beside databases and temporary ones."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if any(text in path.read_bytes() for text in encodings(canary))]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the secrets is in the environment."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_there_are_fifty_different_ones() -> None:
    """The secrets are distinct, and none is a part of another one."""
    texts = [text for _, text in CANARIES]
    assert len(texts) == 50
    assert not any(one in other for one in texts for other in texts if one is not other)


@pytest.mark.parametrize(
    "index",
    [index if index % 5 == 0 else pytest.param(index, marks=pytest.mark.slow) for index in range(len(CANARIES))],
)
async def test_no_secret_is_in_any_byte(index: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files and databases while they are open and once they are closed, what is logged, and what errors say."""
    canary = CANARIES[index][1]
    with caplog.at_level(logging.DEBUG, logger="openharness"):
        async with (
            signals.FileSignalStore(tmp_path / "recordings") as store,
            sqlite.SqliteRunStore(tmp_path / "runs.db") as runs,
        ):
            result, message = await leak(canary, index % PIECES, store=store, run_store=runs)
            assert found_in(tmp_path, canary) == []
    assert found_in(tmp_path, canary) == []
    assert canary not in message
    assert canary not in caplog.text
    assert "[redacted:" in message
    assert "[redacted:" in caplog.text
    assert "[redacted:" in str(result.signals)


async def test_no_secret_is_in_memory_stores() -> None:
    """What the stores in memory give back is what the others would have written."""
    for index, (_, canary) in enumerate(CANARIES[::10]):
        store, runs = signals.MemorySignalStore(), InMemoryRunStore()
        result, _ = await leak(canary, index % PIECES, store=store, run_store=runs)
        kept = [await store.load_recording(info.id) for info in await store.list_recordings()]
        told = f"{kept} {[list(one.signals) for one in kept]} {await runs.list_runs()} {result}"
        assert not any(text.decode(errors="replace") in told for text in encodings(canary) if b"\0" not in text)
        assert canary not in told.replace("\\\\", "\\")


def _unchanged(self: Any, value: Any, **_: Any) -> Any:
    return value


@pytest.mark.parametrize(
    "omission",
    ["arrivals", "requests", "initial state", "reducers", "error messages", "metadata", "log lines"],
)
async def test_the_search_finds_what_one_omission_leaves(
    omission: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each way into a run, left open once, is found out: the tests above can fail."""
    from openharness.core.engine import _redacting as redacting
    from openharness.core.harness import _preparation as preparation

    canary = CANARIES[20][1]
    if omission == "arrivals":
        monkeypatch.setattr(Intake, "admit", lambda self, arrival: [arrival])
    elif omission == "requests":
        original = Activations._send

        def send(self: Any, *args: Any, **options: Any) -> Any:
            kept, self._redactor = self._redactor, Redactor(None)
            try:
                return original(self, *args, **options)
            finally:
                self._redactor = kept

        monkeypatch.setattr(Activations, "_send", send)
    elif omission == "initial state":
        monkeypatch.setattr(preparation.Preparation, "_redacted_fields", _unchanged)
    elif omission == "reducers":
        original_init = state_module.StateView.__init__
        monkeypatch.setattr(
            state_module.StateView,
            "__init__",
            lambda self, schema, fold, redactor: original_init(self, schema, fold, Redactor(None)),
        )
    elif omission == "error messages":
        monkeypatch.setattr(Redactor, "text", _unchanged)
    elif omission == "metadata":
        walk = Redactor.json
        monkeypatch.setattr(Redactor, "json", lambda self, value, *, mask=False: value if mask else walk(self, value))
    else:
        monkeypatch.setattr(redacting.Redactor, "mask", lambda self, text: text)
    # A replay may drift then, too.
    with caplog.at_level(logging.DEBUG, logger="openharness"), contextlib.suppress(Exception):
        async with (
            signals.FileSignalStore(tmp_path / "recordings") as store,
            sqlite.SqliteRunStore(tmp_path / "runs.db") as runs,
        ):
            await leak(canary, 0, store=store, run_store=runs)
    assert found_in(tmp_path, canary) or canary in caplog.text
