"""The certificates that connections are checked against, read once for the whole process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ("certificates",)


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return what ``verify=`` of an SDK's HTTP client takes, as the client itself would make it.

    Reading the certificates takes longer than everything else a client does before its first request.
    """
    import httpx2

    return httpx2.create_ssl_context()
