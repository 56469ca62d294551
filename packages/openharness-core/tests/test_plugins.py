"""Back ends by name, with distributions that are really installed: folders with metadata on the path."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import openharness.core
from openharness.core import InMemoryRunStore
from openharness.core.errors import (
    AmbiguousPluginError,
    InvalidValueError,
    NoPluginsError,
    PluginError,
    PluginLoadError,
    UnknownPluginError,
)
from openharness.core.plugins import Plugin, installed_plugins, open_provider, open_run_store, open_signal_store

if TYPE_CHECKING:
    from collections.abc import Callable

RUN_STORES = "openharness.run_stores"

STORE = """
from openharness.core import InMemoryRunStore

class Store(InMemoryRunStore):
    url = None

    @classmethod
    def from_url(cls, url):
        made = cls()
        made.url = url
        return made

class Plain(InMemoryRunStore):
    from_url = property()

def function():
    return InMemoryRunStore()

instance = Store()
"""

PROVIDER = """
from openharness.core import Provider

class Echo(Provider):
    type = "echo"

    async def run(self, request, context):
        yield
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs distributions, each in a folder of its own; no others are installed, the project's own neither."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not list(Path(place).glob("*.dist-info"))])

    def make(
        distribution: str,
        entry_points: str,
        version: str = "1.0",
        folder: str | None = None,
        **modules: str,
    ) -> Path:
        place = tmp_path / (folder or distribution)
        info = place / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        for name, source in modules.items():
            (place / f"{name}.py").write_text(source)
        sys.path.insert(0, str(place))
        importlib.invalidate_caches()
        return place

    def forget() -> None:
        for name in set(sys.modules) - before:
            if name.startswith("acme"):
                del sys.modules[name]

    yield make  # type: ignore[misc]
    forget()


def entry(name: str, target: str, group: str = RUN_STORES) -> str:
    """The text of one entry point."""
    return f"[{group}]\n{name} = {target}\n"


@pytest.mark.parametrize(
    "url,seen",
    [
        ("acme:///runs.db?x=1", "acme:///runs.db?x=1"),
        ("acme:rel/path", "acme:rel/path"),
        ("acme:", "acme:"),
        ("acme", "acme:"),
    ],
)
def test_a_store_is_made_of_its_url(install: Any, url: str, seen: str) -> None:
    """The scheme finds the class, whose `from_url` gets the whole URL, with a colon in any case."""
    install("acme-store", entry("acme", "acme_store:Store"), acme_store=STORE)
    store: Any = open_run_store(url)
    assert type(store).__name__ == "Store"
    assert store.url == seen


def test_a_class_without_from_url_takes_no_address(install: Any) -> None:
    """Such a class is called without arguments; an address, which it could not know, is refused and not shown."""
    install("acme-provider", entry("echo", "acme_provider:Echo", "openharness.providers"), acme_provider=PROVIDER)
    for url in ("echo", "echo:"):
        assert open_provider(url).type == "echo"
    with pytest.raises(InvalidValueError, match="Echo takes no address") as caught:
        open_provider("echo:secret@host")
    assert "secret" not in str(caught.value)


def test_only_the_plugin_that_is_asked_for_is_imported(install: Any) -> None:
    """Another plugin of the same package may not even be importable."""
    install(
        "acme-two",
        entry("good", "acme_good:Store") + "broken = acme_broken:Store\n",
        acme_good=STORE,
        acme_broken="raise RuntimeError('boom')",
    )
    assert isinstance(open_run_store("good"), InMemoryRunStore)
    assert "acme_broken" not in sys.modules
    assert [plugin.name for plugin in installed_plugins()] == ["broken", "good"]
    assert "acme_broken" not in sys.modules


def test_installed_plugins_are_listed(install: Any) -> None:
    """Group, name, distribution, version and target of each, of all three groups, sorted, and no other entry points."""
    install("acme-b", entry("b", "acme_b:B", "openharness.signal_stores") + entry("a", "acme_b:A"), version="2.1")
    install(
        "acme-a",
        entry("b", "acme_a:B") + entry("x", "acme_a:X", "openharness.other") + entry("y", "y", "console_scripts"),
    )
    assert installed_plugins() == [
        Plugin(group=RUN_STORES, name="a", distribution="acme-b", version="2.1", target="acme_b:A"),
        Plugin(group=RUN_STORES, name="b", distribution="acme-a", version="1.0", target="acme_a:B"),
        Plugin(group="openharness.signal_stores", name="b", distribution="acme-b", version="2.1", target="acme_b:B"),
    ]


def check(caught: Any, name: str, installed: tuple[tuple[str, str], ...], command: str | None) -> str:
    """Check what every error carries, and return its sentence."""
    error: PluginError = caught.value
    assert (error.name, error.installed, error.command) == (name, installed, command)
    text = str(error)
    assert error.group in text
    assert all(one in text and distribution in text for one, distribution in installed)
    assert command is None or command in text
    return text


def test_none_is_installed(install: Any) -> None:
    """Without any plugin of the kind, the error says so, and the command that installs the one that was asked for."""
    with pytest.raises(NoPluginsError) as caught:
        open_provider("claude")
    text = check(caught, "claude", (), "pip install openharness-provider-claude")
    assert "none" in text
    assert "Did you mean" not in text
    with pytest.raises(NoPluginsError) as caught:
        open_signal_store("nothing:like/it")
    check(
        caught,
        "nothing",
        (),
        "pip install openharness-signal-store-postgres openharness-signal-store-sqlite openharness-signals",
    )


def test_the_name_is_unknown(install: Any) -> None:
    """With others installed, the error lists them, the nearest name, and the command for the rest."""
    install("acme-store", entry("acme", "acme_store:Store"), acme_store=STORE)
    with pytest.raises(UnknownPluginError) as caught:
        open_run_store("sqlite:///runs.db")
    check(caught, "sqlite", (("acme", "acme-store"),), "pip install openharness-run-store-sqlite")
    with pytest.raises(UnknownPluginError, match="Did you mean 'acme'") as caught:
        open_run_store("acne:x")
    assert caught.value.command == (
        "pip install openharness-core openharness-run-store-postgres openharness-run-store-sqlite"
    )


def test_a_path_in_place_of_a_url_is_noticed(install: Any) -> None:
    """Who gives a folder or a file is told how a store is named; providers have names alone."""
    install("acme-store", entry("acme", "acme_store:Store"), acme_store=STORE)
    with pytest.raises(UnknownPluginError, match=r"A run store is named by a URL, as in 'sqlite:///runs\.db'"):
        open_run_store("runs.db")
    with pytest.raises(UnknownPluginError) as caught:
        open_run_store("acne:runs.db")
    assert "named by a URL" not in str(caught.value)


def test_two_distributions_offer_the_name(install: Any) -> None:
    """Neither is taken by chance; the error names both."""
    install("acme-one", entry("acme", "acme_store:Store"), acme_store=STORE)
    install("acme-two", entry("acme", "acme_store:Plain"))
    with pytest.raises(AmbiguousPluginError) as caught:
        open_run_store("acme")
    text = check(caught, "acme", (("acme", "acme-one"), ("acme", "acme-two")), None)
    assert "acme-one and acme-two" in text
    assert "acme_store" not in sys.modules


def test_a_second_copy_of_a_distribution_is_no_ambiguity(install: Any) -> None:
    """Of two copies on the path the first counts, as for imports, whatever way its name is written."""
    install("acme-store", entry("acme", "acme_old:Store"), folder="old")
    install("Acme.Store", entry("acme", "acme_store:Store") * 2, version="2.0", folder="new", acme_store=STORE)
    open_run_store("acme")
    assert [(plugin.distribution, plugin.version) for plugin in installed_plugins()] == [("Acme.Store", "2.0")]


@pytest.mark.parametrize(
    "target,source,reason",
    [
        ("acme_store:Store", "import nothing_of_this_name", "ModuleNotFoundError"),
        ("acme_store:Store", "def broken(:", "SyntaxError"),
        ("acme_store:Store", "1 / 0", "ZeroDivisionError"),
        ("acme_store:Missing", STORE, "AttributeError"),
        ("acme_missing:Store", STORE, "ModuleNotFoundError"),
        ("not a target", STORE, "cannot be imported"),
        ("acme_store:function", STORE, "no subclass of RunStore"),
        ("acme_store:instance", STORE, "no subclass of RunStore"),
        ("acme_store", STORE, "no subclass of RunStore"),
        ("acme_store:Echo", PROVIDER, "no subclass of RunStore"),
    ],
)
def test_a_plugin_that_cannot_be_used(install: Any, target: str, source: str, reason: str) -> None:
    """The error names distribution and entry point, and holds what was raised; other plugins work all the same."""
    install("acme-bad", entry("bad", target), acme_store=source)
    install("acme-good", entry("good", "acme_good:Store"), acme_good=STORE)
    with pytest.raises(PluginLoadError, match=reason) as caught:
        open_run_store("bad:x")
    text = check(caught, "bad", (("bad", "acme-bad"), ("good", "acme-good")), None)
    assert "acme-bad 1.0" in text
    assert target in text
    assert isinstance(open_run_store("good"), InMemoryRunStore)


def test_unreadable_metadata_hides_no_other_plugin(install: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A distribution whose metadata is damaged is told of in the log, and the others are found."""
    place = install("acme-bad", "[openharness.run_stores]\nno equals sign\n= nothing\n")
    install("acme-worse", entry("worse", "x:y"))
    for file in (place.parent / "acme-worse").glob("*.dist-info/METADATA"):
        file.unlink()
    install("acme-good", entry("good", "acme_good:Store"), acme_good=STORE)
    with caplog.at_level(logging.WARNING, logger="openharness.plugins"):
        assert isinstance(open_run_store("good"), InMemoryRunStore)
    assert "acme-worse" in caplog.text


def test_an_error_of_the_plugins_own_comes_through(install: Any) -> None:
    """What `from_url` raises is the plugin's word to its user."""
    source = (
        STORE
        + "\nclass Picky(InMemoryRunStore):\n    @classmethod\n    def from_url(cls, url):\n        raise LookupError(url)\n"
    )
    install("acme-store", entry("acme", "acme_store:Picky"), acme_store=source)
    with pytest.raises(LookupError, match="acme:x"):
        open_run_store("acme:x")


@pytest.mark.parametrize("url", ["", ":", "://x", None, 5, b"sqlite:"])
def test_what_is_no_url_is_refused(url: Any) -> None:
    """A URL is text that begins with a name."""
    for open_ in (open_run_store, open_signal_store, open_provider):
        with pytest.raises(InvalidValueError, match="url"):
            open_(url)


def test_the_store_in_memory_has_no_address() -> None:
    """`memory:` is a new store each time, and anything after the colon is refused."""
    first, second = InMemoryRunStore.from_url("memory:"), InMemoryRunStore.from_url("memory")
    assert first is not second
    with pytest.raises(InvalidValueError, match="no address"):
        InMemoryRunStore.from_url("memory:x")


def test_a_regular_package_that_hides_the_namespace_is_named(tmp_path: Path) -> None:
    """A plugin below ``openharness`` that cannot be found because of an ``openharness/__init__.py`` is told as that."""
    [core] = openharness.core.__path__
    guilty = tmp_path / "shadow" / "openharness" / "__init__.py"
    guilty.parent.mkdir(parents=True)
    guilty.write_text(f"__path__ = [{str(Path(core).parent)!r}]\n")
    leaf = tmp_path / "site" / "openharness" / "acme_leaf.py"
    leaf.parent.mkdir(parents=True)
    leaf.write_text(STORE)
    info = tmp_path / "site" / "acme_leaf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-leaf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry("leaf", "openharness.acme_leaf:Store"))
    program = f"""
import sys
sys.path[:0] = {[str(tmp_path / "shadow"), str(tmp_path / "site")]!r}
from openharness.core.errors import NamespaceShadowedError, PluginLoadError
from openharness.core.plugins import open_run_store
try:
    open_run_store("leaf:")
except NamespaceShadowedError as error:
    assert error.file == {str(guilty)!r}
    assert error.file in str(error)
    assert error.name == "leaf"
    print("named")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.stdout == "named\n", done.stderr
