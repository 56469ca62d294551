"""The program of `openharness.testing._kit._processes`: calls the function that it was handed."""

from __future__ import annotations

import base64
import pickle
import sys

__all__: tuple[str, ...] = ()

if __name__ == "__main__":
    # Written a moment ago by the test that started this process, from its own objects.
    scenario, reopen, arguments = pickle.loads(base64.b64decode(sys.argv[1]))  # noqa: S301
    scenario(reopen, *arguments)
