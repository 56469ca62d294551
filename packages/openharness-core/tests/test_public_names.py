"""What the packages say they offer is what they offer: for every leaf of the namespace that is installed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from typing import TYPE_CHECKING

import pytest

import openharness
import openharness.core

if TYPE_CHECKING:
    from collections.abc import Iterator


def modules() -> Iterator[str]:
    """The name of every module of the project that is installed and can be imported here."""
    for leaf in pkgutil.iter_modules(openharness.__path__, "openharness."):
        yield leaf.name
        package = importlib.import_module(leaf.name)
        yield from (module.name for module in pkgutil.walk_packages(package.__path__, f"{leaf.name}."))


MODULES = sorted(modules())
PUBLIC = [name for name in MODULES if "._" not in name]


@pytest.mark.parametrize("name", [name for name in MODULES if name in PUBLIC or name.startswith("openharness.core.")])
def test_all_is_a_tuple_of_what_is_there(name: str) -> None:
    """Every public module, and every one of the core, has an ``__all__``: a tuple of names that exist, each once."""
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", None)
    assert isinstance(offered, tuple)
    assert len(set(offered)) == len(offered)
    assert [one for one in offered if not hasattr(module, one)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_public_is_forgotten(name: str) -> None:
    """Whatever a public module shows without an underscore is in its ``__all__``, or belongs to another package."""
    module = importlib.import_module(name)
    leaf = ".".join(name.split(".")[:2])
    forgotten = [
        shown
        for shown, value in vars(module).items()
        if not shown.startswith("_")
        and shown not in module.__all__
        and isinstance(value, (type, types.FunctionType))
        and value.__module__.startswith(leaf)
        # A module that is no package uses what its siblings offer; what it defines itself is meant.
        and (hasattr(module, "__path__") or value.__module__ == name)
    ]
    assert forgotten == []


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name: str) -> None:
    """Every class and function that is offered, and each of their public methods, says what it is for."""
    module = importlib.import_module(name)
    silent: list[str] = []
    for offered in module.__all__:
        value = getattr(module, offered)
        if not isinstance(value, (type, types.FunctionType)):
            continue
        if not inspect.getdoc(value):
            silent.append(offered)
        if isinstance(value, type):
            silent += [
                f"{offered}.{method}"
                for method, function in vars(value).items()
                if not method.startswith("_")
                and isinstance(function, types.FunctionType)
                and not inspect.getdoc(function)
            ]
    assert silent == []


def test_a_user_finds_everything_at_the_top() -> None:
    """All records, interfaces and errors are in ``openharness.core`` itself."""
    for name in ("records", "interfaces", "errors", "memory"):
        offered = importlib.import_module(f"openharness.core.{name}").__all__
        helpers = {"LogEntry", "Moment", "Outcome", "check_id", "check_outcome", "signal_id", "time_ms", "new_id"}
        assert [one for one in offered if one not in helpers and not hasattr(openharness.core, one)] == []


def test_the_namespace_belongs_to_nobody() -> None:
    """``openharness`` is a namespace: a file of its own would hide the other packages."""
    assert getattr(openharness, "__file__", None) is None
