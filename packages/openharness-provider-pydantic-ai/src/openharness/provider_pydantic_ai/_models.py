"""Models as they are opened in an event loop and closed with it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from openharness.core import ProviderError
from openharness.provider_pydantic_ai._errors import model_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_ai.models import Model

__all__ = ("OpenedModel", "named")


class OpenedModel:
    """A model whose connections are opened and closed with an event loop.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._entered = 0

    async def enter(self) -> Model:
        """Open its connections, the first time."""
        if not self._entered:
            # Counted when it is done: a request may be cancelled meanwhile, and another one may do the same.
            await self.model.__aenter__()
            self._entered += 1
        return self.model

    async def close(self) -> None:
        """Close the connections that the model made itself; those of a client that it was given are the caller's."""
        while self._entered:
            self._entered -= 1
            await self.model.__aexit__(None, None, None)


def named(given: str | Callable[[], Model]) -> OpenedModel:
    """Import Pydantic AI and make a model. Called in a thread.

    Args:
        given: Its name, as ``infer_model`` knows it, or what makes it.

    Raises:
        ProviderError: It cannot be made.
    """
    from pydantic_ai.models import infer_model

    # What only a request needs is imported here, too, where it blocks nobody.
    importlib.import_module("pydantic_ai.direct")
    try:
        return OpenedModel(infer_model(given) if isinstance(given, str) else given())
    except ProviderError:
        raise
    except Exception as error:
        raise model_error(error, repr(given)) from error
