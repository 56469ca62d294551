"""One thread that owns the model and answers one request after the other."""

from __future__ import annotations

import atexit
import concurrent.futures
import queue
import threading
import weakref
from typing import TYPE_CHECKING, TypeAlias

import attrs

from openharness.core import ProviderError
from openharness.provider_llamacpp._forks import check_process, is_forked, remember_process
from openharness.provider_llamacpp._server import start_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.provider_llamacpp._server import ModelSettings, Server

__all__ = ("Ended", "Engine", "Job")

# Seconds the interpreter waits, at its end, for a model that is at work. A token takes milliseconds; only a model that
# is being loaded takes longer.
_EXIT_PATIENCE = 5.0


@attrs.frozen
class Ended:
    """The last thing a job delivers.

    Attributes:
        error: Why it failed, or None.
    """

    error: Exception | None = None


Part: TypeAlias = "bytes | Ended"


class Job:
    """One request on its way through the engine.

    Args:
        body: The request as JSON; None only loads the model.
        deliver: Takes each part of the answer, in the engine's thread; returns whether anybody still listens.
        with_tools: Whether the request offers tools, which the model's chat template must know.
    """

    __slots__ = ("body", "cancelled", "deliver", "with_tools")

    def __init__(self, body: bytes | None, deliver: Callable[[Part], bool], *, with_tools: bool = False) -> None:
        self.body = body
        self.deliver = deliver
        self.with_tools = with_tools
        self.cancelled = False

    def cancel(self) -> None:
        """Stop the job at the next token, or before it began. Returns at once, from any thread."""
        self.cancelled = True


class Engine:
    """Owns the thread, which is started by the first job and loads the model.

    The thread is a daemon, so it never keeps the interpreter alive; and it is stopped before the interpreter ends,
    because a thread of llama.cpp must not call into an interpreter that is gone.

    Args:
        settings: The model.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Reentrant, because a provider may be collected, and so stop its engine, while this thread holds the lock.
        self._lock = threading.RLock()
        self._started = False
        self._closed = False
        self._current: Job | None = None
        self._stopped: concurrent.futures.Future[None] = concurrent.futures.Future()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Raises:
            ProviderError: The engine was stopped, or a model was loaded before this process was forked.
        """
        check_process()
        with self._lock:
            if self._closed:
                raise _closed()
            if not self._started:
                remember_process()
                threading.Thread(target=self._work, name="openharness-llamacpp", daemon=True).start()
                self._started = True
                _running.add(self)
            self._jobs.put(job)

    def stop(self) -> concurrent.futures.Future[None]:
        """Cancel every job and end the thread. Returns at once, with what is done when the thread has ended."""
        if is_forked():
            # The thread stayed in the other process, and nothing of the model can be given back in this one.
            return _done()
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._current is not None:
                    self._current.cancel()
                if not self._started:
                    self._stopped.set_result(None)
                self._jobs.put(None)
        return self._stopped

    def _work(self) -> None:
        # The server lives in this frame alone, so that it ends with the thread, and never in a forked process.
        server: Server | None = None
        while (job := self._jobs.get()) is not None:
            # Under the lock, or a stop at this very moment would miss the job.
            with self._lock:
                self._current = job
                stopping = self._closed
            try:
                if stopping:
                    job.deliver(Ended(_closed()))
                elif not job.cancelled:
                    server = server or start_server(self._settings)
                    self._answer(server, job)
            except Exception as error:  # noqa: BLE001 - whatever it is, the one who waits must hear of it
                job.deliver(Ended(error))
            finally:
                with self._lock:
                    self._current = None
            # A variable that still names the last job would keep its event loop alive while the thread waits.
            del job
        del server
        self._stopped.set_result(None)

    def _answer(self, server: Server, job: Job) -> None:
        if job.body is None:
            job.deliver(Ended())
            return
        try:
            if job.with_tools and not server.offers_tools:
                raise ProviderError(
                    "This model's chat template has no place for tools, so the model would not hear of them. Use a model "
                    'that was trained for tools, or give it a template: parameters={"chat_template": "..."}.',
                    kind="unsupported",
                )
            # What returns True makes llama.cpp stop.
            server.handle_chat_completions(job.body, lambda part: job.cancelled or not job.deliver(part))
        except (RuntimeError, ValueError) as error:
            raise ProviderError(f"llama.cpp refuses the request: {error}", kind="invalid_request") from error
        finally:
            # The error's traceback keeps this frame, and the frame would keep the model in memory.
            del server
        if job.cancelled and self._closed:
            raise _closed()
        job.deliver(Ended())


def _closed() -> ProviderError:
    return ProviderError("The provider was closed; make a new one.", kind="closed")


def _done() -> concurrent.futures.Future[None]:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.set_result(None)
    return future


_running: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for stopped in [engine.stop() for engine in _running]:
        concurrent.futures.wait([stopped], timeout=_EXIT_PATIENCE)
