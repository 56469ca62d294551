"""What the package offers, and how its modules are named."""

from __future__ import annotations

import pathlib

import openharness.testing
from openharness.testing import corpus, postgres, strategies

PUBLIC_MODULES = {"__init__", "corpus", "postgres", "strategies"}


def test_every_public_name_is_there() -> None:
    """What ``__all__`` names can be had, and is listed in order."""
    for module in (openharness.testing, corpus, postgres, strategies):
        assert list(module.__all__) == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_all_other_modules_are_private() -> None:
    """Machinery lives in modules and packages with an underscore."""
    folder = pathlib.Path(str(openharness.testing.__file__)).parent
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in names if not name.startswith("_") or name == "__init__"} == PUBLIC_MODULES
