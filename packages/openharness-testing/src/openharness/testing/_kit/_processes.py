"""Other processes that use the same data: started with the author's `reopen`, watched, and killed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

__all__ = ("begin_together", "finish", "lines", "start")


@contextlib.asynccontextmanager
async def start(
    scenario: Callable[..., None], reopen: Callable[[], Any], *arguments: object
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start a process that calls ``scenario(reopen, *arguments)``; it is killed at the end of the block if it still runs.

    Args:
        scenario: A function of a module; what it prints, a line each, is read with `lines`.
        reopen: Makes a store on the data; pickled.
        *arguments: Further arguments, pickled.
    """
    try:
        call = pickle.dumps((scenario, reopen, arguments))
    except Exception as error:  # noqa: BLE001 - pickle raises what it likes
        pytest.fail(
            f"What the fixture `reopen` returned cannot be sent to another process ({error}). Return what pickle takes: "
            "functools.partial(MyStore, path) instead of a lambda or a nested function.",
            pytrace=False,
        )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "openharness.testing._kit._worker",
        base64.b64encode(call).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Reads what is left, so that no pipe stays open.
        await process.communicate()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """Yield the lines a process prints, until it ends."""
    assert process.stdout is not None
    async for line in process.stdout:
        yield line.decode().rstrip()


async def begin_together(processes: Sequence[asyncio.subprocess.Process], *, seconds: float) -> None:
    """Wait until each process has said that it is ready, and only then let all of them begin.

    Args:
        processes: Processes whose scenario prints a line and reads one before it begins.
        seconds: How long to wait for all of them.
    """
    try:
        async with asyncio.timeout(seconds):
            for process in processes:
                assert process.stdout is not None
                await process.stdout.readline()
    except TimeoutError:
        pytest.fail(f"The processes were not ready within {seconds:g} s.")
    for process in processes:
        assert process.stdin is not None
        # One that has failed is heard of when its end is waited for.
        with contextlib.suppress(ConnectionError):
            process.stdin.write(b"\n")


async def finish(process: asyncio.subprocess.Process, *, seconds: float, what: str) -> str:
    """Wait for the end of a process and return what it printed; fail when it fails or does not end.

    Args:
        process: The process.
        seconds: How long to wait.
        what: What the process does, as the subject of the sentence.
    """
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    except TimeoutError:
        pytest.fail(f"{what} did not end within {seconds:g} s.")
    if process.returncode:
        pytest.fail(f"{what} failed with status {process.returncode}:\n{errors.decode(errors='replace')}")
    return output.decode()
