"""What still looks like a secret keeps a recording from becoming a fixture."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from harness_kit import KeepingStore, ScriptedProvider

from openharness.core import (
    LimitExceededError,
    Redaction,
    RunOptions,
    SecretFoundError,
    SuspectedSecret,
    create_harness,
)
from openharness.core.redaction import refuse_secrets

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = "zQ81kd0vLw72hPqx5T"
TOKEN = "ghp_" + "aB3d" * 9


def suspects(value: Any, *, redacted: bool = True) -> list[SuspectedSecret]:
    """What is found in one payload."""
    try:
        refuse_secrets([(7, "payload", value)], what="No.", redacted=redacted)
    except SecretFoundError as error:
        return list(error.found)
    return []


@pytest.mark.parametrize(
    "value, path, rule",
    [
        (f"Authorization: Bearer {RANDOM}", "payload", "authorization"),
        ({"headers": [f"bearer {RANDOM}"]}, "payload.headers[0]", "authorization"),
        (f"export SESSION_TOKEN={RANDOM}", "payload", "assignment"),
        (f'{{\\"api_key\\": \\"{RANDOM}\\"}}', "payload", "assignment"),
        ({"a": {"api_key": RANDOM}}, "payload.a.api_key", "assignment"),
        ({"X-Secret-Key": RANDOM}, "payload.X-Secret-Key", "assignment"),
        (f"postgres://me:{RANDOM}@host/db", "payload", "url-password"),
        ([TOKEN], "payload[0]", "github-token"),
        ({f"x {TOKEN}": {"b": TOKEN}}, "payload, key 0", "github-token"),
    ],
)
def test_what_looks_like_a_secret_is_found(value: Any, path: str, rule: str) -> None:
    """Headers, assignments, passwords in URLs and shapes of keys, with the place, which shows nothing of them."""
    found = suspects(value)
    assert found[0] == SuspectedSecret(7, path, rule)
    assert not any(secret in str(found) for secret in (RANDOM, TOKEN))


@pytest.mark.parametrize(
    "name",
    [
        *("bearer ", "basic ", "api_key=", "access-key=", "private_key=", "secret=", "token=", "passwd=", "password="),
        *("passphrase=", "credential=", "credentials=", "authorization="),
    ],
)
def test_the_case_of_letters_hides_nothing(name: str) -> None:
    """However one letter of a name is written, among all that are the same where case does not matter, it is found."""
    every = "".join(map(chr, itertools.chain(range(0xD800), range(0xE000, 0x110000))))
    for letter in sorted(set(filter(str.isalpha, name))):
        for same in re.findall(letter, every, re.IGNORECASE):
            assert suspects(f"{name.replace(letter, same)}{RANDOM}"), same


@pytest.mark.parametrize(
    "value",
    [
        "The token is what the model sees; a bearer of good news: basic things, Authorization: Bearer <your token>",
        "api_key=[redacted:SHOP_API_KEY] token: [redacted:github-token#2]",
        {"input_tokens": 123456789012345678, "max_tokens": "unlimited", "api_key": "", "token": "none"},
        "password = hunter2, secret: aaaaaaaaaaaaaaaaaaaa1, api_key=$SHOP_API_KEY_2024_LONG, token={{ state.token_1 }}",
        "https://user:password@example.com and https://host:8080/path@here",
        {"digest": "sha256:" + "0a1b" * 16, "id": "550e8400-e29b-41d4-a716-446655440000"},
    ],
)
def test_ordinary_recordings_are_not_suspected(value: Any) -> None:
    """Placeholders, examples in documentation, figures, digests and ids."""
    assert suspects(value) == []


def test_where_redaction_was_off_the_environment_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording made without redaction is looked through for what it would have replaced."""
    monkeypatch.setenv("SHOP_PASSWORD", "correct horse")
    assert suspects("a correct horse b", redacted=True) == []
    assert suspects("a correct horse b", redacted=False) == [SuspectedSecret(7, "payload", "SHOP_PASSWORD")]


async def test_a_run_does_not_publish_it_and_loses_nothing() -> None:
    """The run completes and raises at its end; the recording is there without the name, and the override publishes."""
    harness = create_harness()
    store = KeepingStore()
    options: RunOptions[dict[str, Any]] = {
        "agents": {"a": harness.agent(prompt="p", activate_on="harness:start", updates="answer")},
        "state": {"answer": ""},
        "store": store,
        "fixture": "login",
        "mode": "record",
    }
    answer = f"session_token = {RANDOM}"
    with pytest.raises(SecretFoundError, match=r"'rec-0' was not published as 'login'.*allow_secrets=True") as caught:
        await harness.run_reactive(**options, provider=ScriptedProvider(answer))
    error = caught.value
    assert RANDOM not in str(error)
    assert error.result.state == {"answer": answer}
    assert error.recording_id == "rec-0"
    assert store.published == {}
    assert store.recordings["rec-0"].info.outcome == "completed"
    await harness.run_reactive(**options, provider=ScriptedProvider(answer), allow_secrets=True)
    assert store.published == {"login": "rec-1"}
    named = Redaction(secrets={"session": RANDOM})
    await harness.run_reactive(**options, provider=ScriptedProvider(answer), redaction=named)
    assert store.published == {"login": "rec-2"}


async def test_a_run_that_fails_where_every_end_is_published_tells_of_it_likewise() -> None:
    """As in the pytest plugin: what keeps the recording from being published comes before what ended the run."""

    class Store(KeepingStore):
        publishes_every_end = True

    harness, store = create_harness(), Store()
    options: RunOptions[dict[str, Any]] = {
        "agents": {"a": harness.agent(prompt="p", activate_on=["harness:start", "text:complete"], updates="answer")},
        "state": {"answer": ""},
        "store": store,
        "fixture": "login",
        "mode": "record",
        "max_activations": 1,
    }
    answer = f"session_token = {RANDOM}"
    with pytest.raises(SecretFoundError, match=r"ended as failed.*'rec-0' was not published as 'login'") as caught:
        await harness.run_reactive(**options, provider=ScriptedProvider(answer))
    assert isinstance(caught.value.__cause__, LimitExceededError)
    assert store.published == {}
    with pytest.raises(LimitExceededError):
        await harness.run_reactive(**options, provider=ScriptedProvider("nothing to hide"))
    assert store.published == {"login": "rec-1"}


async def test_an_export_is_refused_likewise(tmp_path: Path) -> None:
    """`export_recording` writes no file, unless it is told to; tags and metadata count as well."""
    signals = pytest.importorskip("openharness.signals")
    harness = create_harness()
    store = signals.MemorySignalStore()
    agents = {"a": harness.agent(prompt="p", activate_on="harness:start")}
    result = await harness.run_reactive(
        agents=agents, provider=ScriptedProvider("x"), store=store, metadata={"api_key": RANDOM}
    )
    target = tmp_path / "fixtures" / "login.jsonl"
    with pytest.raises(SecretFoundError, match=r"its header, metadata\.api_key") as caught:
        await signals.export_recording(store, result.run_id, target)
    assert RANDOM not in str(caught.value)
    assert not target.exists()
    assert await signals.export_recording(store, result.run_id, target, allow_secrets=True) == target
