"""Compare what the installed packages offer with the list of it: ``public_api.py [--write]``.

The list ``public_api.txt`` beside this file has every public name of every package, with the parameters of functions and
of constructors. What a user can call changes only where somebody changes the list with it, and whoever reads that change
sees what becomes of users' programs. ``--write`` writes the list anew.

A name stands with all that belongs to it at the first place that offers it, the shortest one, and by itself at the others.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pathlib
import pkgutil
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = importlib.import_module("openharness").__path__
LIST = pathlib.Path(__file__).with_name("public_api.txt")
_PLAIN = (types.NoneType, bool, int, float, str)


def main(arguments: list[str]) -> int:
    """Compare, or write; return the exit code."""
    offered = [f"{line}\n" for line in lines()]
    if arguments == ["--write"]:
        LIST.write_text("".join(offered), encoding="utf-8")
        return 0
    known = LIST.read_text(encoding="utf-8").splitlines(keepends=True)
    changes = list(difflib.unified_diff(known, offered, "on the list", "offered", n=0))
    if changes:
        print("".join(changes), end="")
        print("If the change is meant, write the list anew: python .ci/public_api.py --write")
    print(f"public_api: {len(offered)} lines, {'not ' if changes else ''}as listed")
    return 1 if changes else 0


def lines() -> Iterator[str]:
    """Yield a line for each name, and for each member of a class."""
    told: set[int] = set()
    for module_name in sorted(public_modules(), key=lambda name: (name.count("."), name)):
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            value, place = getattr(module, name), f"{module_name}.{name}"
            if isinstance(value, (type, types.FunctionType)) and id(value) in told:
                yield place
                continue
            told.add(id(value))
            yield from lines_of(place, value)


def public_modules() -> Iterator[str]:
    """Yield the modules whose names have no part with an underscore before it."""
    for leaf in pkgutil.iter_modules(NAMESPACE, "openharness."):
        yield leaf.name
        package = importlib.import_module(leaf.name)
        for module in pkgutil.walk_packages(package.__path__, f"{leaf.name}."):
            if "._" not in module.name:
                yield module.name


def lines_of(place: str, value: Any) -> Iterator[str]:
    """Yield the lines of one name."""
    if isinstance(value, types.FunctionType):
        yield place + shown(value)
    elif typing.is_typeddict(value):
        yield place
        for key in sorted(value.__required_keys__ | value.__optional_keys__):
            yield f"{place}[{key!r}]{' required' if key in value.__required_keys__ else ''}"
    elif isinstance(value, type):
        # Other constructors are what Python gives a class, and not the same in all its versions.
        yield place + (shown(value) if isinstance(vars(value).get("__init__"), types.FunctionType) else "")
        yield from sorted(members(place, value))
    else:
        yield place


def members(place: str, owner: type) -> Iterator[str]:
    """Yield the lines of what a class has, also of what it has from another class of ours."""
    for name in dir(owner):
        if name.startswith("_"):
            continue
        base = next(base for base in owner.__mro__ if name in vars(base))
        if not base.__module__.startswith("openharness."):
            continue
        member: Any = vars(base)[name]
        abstract = " abstract" if getattr(member, "__isabstractmethod__", False) else ""
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        parameters = shown(function) if isinstance(function, types.FunctionType) else ""
        yield f"{place}.{name}{parameters}{abstract}"


def shown(function: Any) -> str:
    """Return parameters as they are written, without types; a default that is no plain value as ``...``."""
    signature = inspect.signature(function)
    parameters = []
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is not parameter.empty and not isinstance(default, _PLAIN):
            default = ...
        parameters.append(parameter.replace(annotation=parameter.empty, default=default))
    without_types = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return str(without_types).replace("Ellipsis", "...")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
