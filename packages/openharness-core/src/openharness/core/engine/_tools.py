"""Tools at work: each runs as a task or in a thread, and its result arrives."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

from openharness.core.engine._arrivals import Arrival
from openharness.core.engine._pumps import Pumps
from openharness.core.engine._redacting import log_failure
from openharness.core.engine._requests import described
from openharness.core.engine._sizes import MEBIBYTES, json_that_fits
from openharness.core.errors import SerializationError
from openharness.core.log import _names as names
from openharness.core.threads import Worker
from openharness.core.values import check_room, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core.engine._arrivals import ArrivalQueue
    from openharness.core.engine._effects import StartTool
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("ToolRuns",)


class ToolRuns:
    """The tools of one run that were started and have not ended.

    Args:
        queue: Where their results arrive.
        clock: The present time in milliseconds since the epoch.
        redactor: Knows the secrets that arguments have placeholders for.
    """

    def __init__(self, queue: ArrivalQueue, clock: Callable[[], int], redactor: Redactor) -> None:
        self._queue = queue
        self._clock = clock
        self._redactor = redactor
        self._pumps = Pumps(redactor)

    def start(self, effect: StartTool) -> None:
        """Run a tool; its result arrives later."""
        call = effect.context.tool_call

        def lost(why: str) -> None:
            told: JSONObject = {"kind": "exception", "type": "CancelledError", "message": f"CancelledError: {why}"}
            self._arrive(call, {"error": told})

        self._pumps.start(self._run(effect), call, lost=lost)

    def cancel(self) -> None:
        """Cancel everything, without waiting for it. Threads cannot be cancelled; nobody waits for them any more."""
        self._pumps.cancel()

    @property
    def busy(self) -> bool:
        """Whether something is still to be waited for."""
        return self._pumps.busy

    async def stop(self, timeout: float) -> None:
        """Cancel everything and wait for it, at most ``timeout`` seconds."""
        self._pumps.cancel()
        await self._pumps.stop(timeout)

    async def _run(self, effect: StartTool) -> None:
        tool, call = effect.tool, effect.context.tool_call
        limit = asyncio.timeout(tool.timeout)
        try:
            async with limit:
                result = await self._result(effect)
            self._arrive(call, {"result": result})
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._pumps.is_cancelled():
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                self._arrive(call, {"error": {"kind": "timeout", "message": f"it took longer than {tool.timeout:g} s"}})
                return
            # The log tells what went wrong; where, only the logger does.
            log_failure(self._redactor, "The tool %r failed in %s", tool.name, call, error=error)
            kind = "result" if isinstance(error, _UnfitResultError) else "exception"
            cause = error.__cause__ if isinstance(error, _UnfitResultError) else error
            message = described(cause or error)
            if not _fits(message):
                message = (
                    f"{type(cause).__name__}, with a message of {len(message)} characters, too long to be recorded"
                )
            told: JSONObject = {"kind": kind, "type": type(cause).__name__, "message": message}
            self._arrive(call, {"error": told})
            if isinstance(error, KeyboardInterrupt) and tool.is_async:
                # Somebody has pressed the key while the tool was at work: it is meant for the whole program.
                raise

    async def _result(self, effect: StartTool) -> Any:
        tool = effect.tool
        arguments = tool.bind(self._redactor.restore(effect.arguments), effect.context)
        if tool.is_async:
            result = await tool.function(**arguments)
        else:
            result = await _in_thread(tool.function, arguments, f"openharness {effect.context.tool_call}")
            if inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                raise TypeError("it returned something to be awaited; a tool that waits is an async def")
        try:
            return _recordable(result, f"the result of {tool.name}")
        except SerializationError as error:
            raise _UnfitResultError from error

    def _arrive(self, call: str, outcome: JSONObject) -> None:
        payload: JSONObject = {"tool_call": call, **outcome}
        self._queue.put(Arrival(name=names.TOOL_RESULT, payload=payload, timestamp=self._clock(), call=call))


def _recordable(result: Any, path: str) -> JSONValue:
    plain = to_json(result, path=path)
    check_room(plain, path=path)
    if not _fits(plain):
        reason = f"its JSON may take at most about {MEBIBYTES} MiB, also as a text in a request"
        raise SerializationError(path, value=cast("object", type(result)), reason=reason)
    return plain


def _fits(result: JSONValue) -> bool:
    """Tell whether a result can be written, as it is and as the text that the model is told."""
    written = json_that_fits(result)
    return written is not None and (isinstance(result, str) or json_that_fits(written.decode()) is not None)


class _UnfitResultError(Exception):
    """What a tool returned cannot be recorded; the cause says why."""


async def _in_thread(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> Any:
    worker = Worker(name)
    try:
        return await worker.call(lambda: function(**arguments))
    finally:
        worker.end()
