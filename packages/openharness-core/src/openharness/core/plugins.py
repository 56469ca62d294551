"""Back ends by name: what other packages offer as plugins, found by their entry points and loaded when asked for.

A package offers a back end by an entry point in one of three groups, whose name is the scheme of its URLs::

    [project.entry-points."openharness.run_stores"]
    redis = "acme_openharness_run_store_redis:RedisRunStore"

``open_run_store("redis://localhost/0")`` then imports that class, and no other, and calls ``RedisRunStore.from_url`` with
the URL; a class without `from_url` is called without arguments, and takes no address. The groups are
``openharness.run_stores`` (`RunStore`), ``openharness.signal_stores`` (`SignalStore`) and ``openharness.providers``
(`Provider`).
"""

from __future__ import annotations

import difflib
import logging
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.errors import (
    AmbiguousPluginError,
    InvalidValueError,
    NamespaceShadowedError,
    NoPluginsError,
    PluginLoadError,
    UnknownPluginError,
)
from openharness.core.interfaces import Provider, RunStore, SignalStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution, EntryPoint

__all__ = ("Plugin", "installed_plugins", "open_provider", "open_run_store", "open_signal_store")

_logger: Final = logging.getLogger("openharness.plugins")


@attrs.frozen(kw_only=True)
class Plugin:
    """An installed plugin, which may or may not be importable.

    Attributes:
        group: The entry-point group: ``"openharness.run_stores"``.
        name: Its name, the scheme of its URLs: ``"sqlite"``.
        distribution: The distribution that brought it: ``"openharness-run-store-sqlite"``.
        version: That distribution's version.
        target: What is imported: ``"openharness.run_store_sqlite:SqliteRunStore"``.
    """

    group: str
    name: str
    distribution: str
    version: str
    target: str


@attrs.frozen
class _Kind:
    """One of the groups, what its classes are, and which of them the project publishes: name to distribution.

    Attributes:
        example: How one is named that needs more than a name; None where a name is enough.
    """

    group: str
    noun: str
    interface: type[Any]
    ours: Mapping[str, str]
    example: str | None = None


_RUN_STORES: Final = _Kind(
    "openharness.run_stores",
    "run store",
    RunStore,
    {
        "memory": "openharness-core",
        "postgres": "openharness-run-store-postgres",
        "sqlite": "openharness-run-store-sqlite",
    },
    "sqlite:///runs.db",
)
_SIGNAL_STORES: Final = _Kind(
    "openharness.signal_stores",
    "signal store",
    SignalStore,
    {
        "file": "openharness-signals",
        "memory": "openharness-signals",
        "postgres": "openharness-signal-store-postgres",
        "sqlite": "openharness-signal-store-sqlite",
    },
    "file:tests/fixtures",
)
_PROVIDERS: Final = _Kind(
    "openharness.providers",
    "provider",
    Provider,
    {
        "claude": "openharness-provider-claude",
        "llamacpp": "openharness-provider-llamacpp",
        "openai": "openharness-provider-openai",
        "pydantic-ai": "openharness-provider-pydantic-ai",
    },
)
_KINDS: Final = (_RUN_STORES, _SIGNAL_STORES, _PROVIDERS)


def open_run_store(url: str) -> RunStore:
    """Return the run store of a URL: ``"sqlite:///runs.db"``, ``"memory:"``.

    Like every store it opens itself on first use; ``async with`` closes it.

    Args:
        url: The plugin's name; after a colon, what the plugin makes of it.

    Raises:
        InvalidValueError: It is no URL, or not one the plugin understands.
        PluginError: There is no such plugin, there are several, or it cannot be imported: each is an error of its own,
            that says what is installed and how to install what is not.
    """
    return cast("RunStore", _open(_RUN_STORES, url))


def open_signal_store(url: str) -> SignalStore:
    """Return the signal store of a URL: ``"file:tests/fixtures"``, ``"memory:"``.

    Args:
        url: The plugin's name; after a colon, what the plugin makes of it.

    Raises:
        InvalidValueError: It is no URL, or not one the plugin understands.
        PluginError: As in `open_run_store`.
    """
    return cast("SignalStore", _open(_SIGNAL_STORES, url))


def open_provider(url: str) -> Provider:
    """Return the provider of a name or URL: ``"claude"``, ``"llamacpp:models/small.gguf"``.

    Args:
        url: The plugin's name; after a colon, what the plugin makes of it.

    Raises:
        InvalidValueError: It is no URL, or not one the plugin understands.
        PluginError: As in `open_run_store`.
    """
    return cast("Provider", _open(_PROVIDERS, url))


def installed_plugins() -> list[Plugin]:
    """Return the plugins of all kinds that are installed, sorted by group, name and distribution; none is imported."""
    found = [
        Plugin(
            group=entry_point.group,
            name=entry_point.name,
            distribution=distribution.name,
            version=distribution.version,
            target=entry_point.value,
        )
        for distribution, entry_point in _entry_points({kind.group for kind in _KINDS})
    ]
    return sorted(found, key=lambda plugin: (plugin.group, plugin.name, plugin.distribution))


def _open(kind: _Kind, url: str) -> object:
    if not isinstance(cast("object", url), str) or not url.partition(":")[0]:
        expected = f"the name of a {kind.noun}, as in {next(iter(kind.ours))!r}, or its URL"
        raise InvalidValueError("url", value=url, expected=expected)
    name, _, address = url.partition(":")
    loaded = _load(kind, name, is_url=":" in url)
    if hasattr(loaded, "from_url"):
        return loaded.from_url(f"{name}:{address}")
    if address:
        expected = f"{name!r} and nothing more ({loaded.__name__} takes no address)"
        raise InvalidValueError("url", value=f"{name}:…", expected=expected)
    return loaded()


def _load(kind: _Kind, name: str, *, is_url: bool) -> Any:
    found = list(_entry_points({kind.group}))
    installed = [(entry_point.name, distribution.name) for distribution, entry_point in found]
    named = [(distribution, entry_point) for distribution, entry_point in found if entry_point.name == name]
    if not named:
        raise _missing(kind, name, installed, is_url=is_url)
    if len(named) > 1:
        owners = " and ".join(sorted(distribution.name for distribution, _ in named))
        raise AmbiguousPluginError(
            f"The {kind.noun} {name!r} is offered by {owners}; uninstall all but one, or make its class yourself.",
            group=kind.group,
            name=name,
            installed=installed,
        )
    [(distribution, entry_point)] = named
    what = f"The {kind.noun} {name!r} of {distribution.name} {distribution.version} ({entry_point.value})"
    try:
        loaded = entry_point.load()
    except Exception as error:
        file = _what_shadows()
        if file is not None and isinstance(error, ImportError) and entry_point.value.startswith("openharness."):
            raise NamespaceShadowedError(
                f"{what} cannot be imported, because {file} makes 'openharness' a regular package: the namespace that "
                "the packages share has no such file. Remove or rename it.",
                file=file,
                group=kind.group,
                name=name,
                installed=installed,
            ) from error
        raise PluginLoadError(
            f"{what} cannot be imported: {type(error).__name__}: {error}.",
            group=kind.group,
            name=name,
            installed=installed,
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, kind.interface)):
        raise PluginLoadError(
            f"{what} is no subclass of {kind.interface.__name__}, but {loaded!r}.",
            group=kind.group,
            name=name,
            installed=installed,
        )
    return cast("Any", loaded)


def _missing(
    kind: _Kind, name: str, installed: list[tuple[str, str]], *, is_url: bool
) -> NoPluginsError | UnknownPluginError:
    known = {one for one, _ in installed}
    close = [] if name in kind.ours else difflib.get_close_matches(name, sorted({*known, *kind.ours}), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if not is_url and kind.example is not None:
        hint += f" A {kind.noun} is named by a URL, as in {kind.example!r}."
    wanted = (
        [kind.ours[name]] if name in kind.ours else sorted({kind.ours[one] for one in kind.ours if one not in known})
    )
    error = UnknownPluginError if installed else NoPluginsError
    none = f"There is no {kind.noun} {name!r}" if installed else f"No {kind.noun} is installed, {name!r} neither"
    return error(
        f"{none}.{hint}",
        group=kind.group,
        name=name,
        installed=installed,
        command=f"pip install {' '.join(wanted)}" if wanted else None,
    )


def _what_shadows() -> str | None:
    """The file that makes ``openharness`` a regular package or module; None for a namespace."""
    return getattr(sys.modules.get("openharness"), "__file__", None)


def _entry_points(groups: set[str]) -> Iterator[tuple[Distribution, EntryPoint]]:
    """The entry points of these groups. A distribution that cannot be read is told of, and hides no other one."""
    # Imported here: it costs as much as the rest of this package, and most programs make their back ends themselves.
    from importlib.metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        try:
            if "openharness." not in (distribution.read_text("entry_points.txt") or ""):
                continue
            # As in imports, the first on the path wins: an editable install stands before an old copy of it.
            name = re.sub("[-_.]+", "-", distribution.name).lower()
            if name in seen:
                continue
            seen.add(name)
            entry_points = dict.fromkeys(one for one in distribution.entry_points if one.group in groups)
        except Exception:
            _logger.warning("The entry points of %r cannot be read.", distribution.locate_file(""), exc_info=True)
            continue
        yield from ((distribution, entry_point) for entry_point in entry_points)
