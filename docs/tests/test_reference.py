"""The reference names everything there is: a name that is added to the code and not to the pages fails here."""

from __future__ import annotations

import importlib
import pathlib
import re
import tomllib

import pytest

import openharness.core
from openharness.core.log import RESERVED_PREFIXES, _names

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference").glob("*.md")}


@pytest.mark.parametrize("name", [name for name in openharness.core.__all__ if not name.startswith("__")])
def test_names_of_core(name: str) -> None:
    """Every public name of core has its entry."""
    assert re.search(rf"^\.\. (auto|py:)\w+:: ([\w.]+\.)?{name}(\(\))?$", "\n".join(REFERENCE.values()), re.MULTILINE)


@pytest.mark.parametrize(
    "package",
    [
        "opentelemetry",
        "postgres",
        "provider_claude",
        "provider_http",
        "provider_llamacpp",
        "provider_openai",
        "provider_pydantic_ai",
        "run_store_postgres",
        "run_store_sqlite",
        "signal_store_postgres",
        "signal_store_sqlite",
        "signals",
        "sqlite",
        "testing",
    ],
)
def test_other_packages(package: str) -> None:
    """Every other package is documented as a whole, and says by ``__all__`` what it is."""
    module = importlib.import_module(f"openharness.{package}")
    assert module.__all__
    assert f".. automodule:: {module.__name__}\n   :members:" in REFERENCE[f"{package.replace('_', '-')}.md"]


@pytest.mark.parametrize(
    "name", [value for key, value in sorted(vars(_names).items()) if key.isupper() and isinstance(value, str)]
)
def test_names_of_signals(name: str) -> None:
    """Every signal that the harness makes is in the table of signals."""
    assert f"`{name}`" in REFERENCE["signal-names.md"]


@pytest.mark.parametrize("prefix", sorted(RESERVED_PREFIXES))
def test_reserved_prefixes(prefix: str) -> None:
    """Every first segment that belongs to the harness is listed."""
    assert f"`{prefix}`" in REFERENCE["patterns-and-templates.md"].split("## Patterns")[0]


def test_environment_variables() -> None:
    """The page of environment variables has those that the packages read, and no others."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("packages/*/src/**/*.py"))
    read = set(re.findall(r"[\"'](OPENHARNESS_[A-Z_]+)[\"']", sources))
    assert read <= set(re.findall(r"`(OPENHARNESS_[A-Z_]+)`", REFERENCE["environment.md"]))


def test_layers() -> None:
    """The picture of the layers shows every package and every part of core, in the order that the imports must keep."""
    picture = (
        (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8").split("## Layers")[1].split("```")[1]
    )
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    leaves, parts = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    # A name that stands for several: `openharness.a_b, _c` are a_b and a_c.
    shown = re.findall(r"^    (\w+) ", picture, re.MULTILINE)
    assert shown == [name for layer in parts for name in sorted(layer.split(" | "))]
    lines = [line for line in picture.splitlines() if line.startswith("openharness.")]
    packages: list[str] = []
    for first, others in re.findall(r"(openharness\.\w+)((?:, _\w+)*)", "\n".join(lines)):
        stem = re.match(r"openharness\.(?:provider|run_store|signal_store)(?=_)", first) if others else None
        packages += [first, *(f"{stem[0]}{other}" for other in re.findall(r"_\w+", others) if stem)]
    assert sorted(packages) == sorted(name for layer in leaves for name in layer.split(" | "))
