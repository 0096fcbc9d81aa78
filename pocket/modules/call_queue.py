"""One generation at a time, in the order they were asked for; and the page's way of running and reporting them."""

import ctypes
import html
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from fastapi.exceptions import HTTPException

from modules import devices, errors, progress, shared


class ServerStopped(HTTPException):
    """The server ends before a job is done; the client gets status 503."""

    def __init__(self) -> None:
        super().__init__(503, "The server was stopped before this was done.")


class _JobStopped(BaseException):
    """Raised in the thread of a running job. Not an Exception, so that no handler of a script catches it."""


class FIFOLock:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._closed = False
        self._holder: int | None = None
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, blocking: bool = True) -> bool:
        """Takes the lock, waiting for one's turn if `blocking`.

        Raises:
            ServerStopped: the lock is closed, before or while one waits.
        """
        with self._guard:
            self._check_open()
            if not self._held:
                self._held, self._holder = True, threading.get_ident()
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()
        with self._guard:
            self._check_open()
            self._holder = threading.get_ident()
        return True

    def release(self) -> None:
        """Hands the lock to the first that waits."""
        with self._guard:
            if not self._held:
                raise RuntimeError("release of a lock that nobody holds")
            self._holder = None
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def close(self) -> None:
        """The server ends: those that wait are sent away, and the job that runs is ended where it is.

        Its thread goes on to the end of the operation it is in; then everything that it began is undone.
        """
        with self._guard:
            self._closed = True
            for turn in self._waiting:
                turn.set()
            self._waiting.clear()
            if self._holder is not None:
                raised = ctypes.py_object(_JobStopped)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._holder), raised)

    def _check_open(self) -> None:
        if self._closed:
            raise ServerStopped

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
        if kind is _JobStopped:
            raise ServerStopped from None


queue_lock = FIFOLock()


def wrap_queued_call(func: Callable[..., Any]) -> Callable[..., Any]:
    """`func` with the queue's lock held."""

    @wraps(func)
    def queued(*args: Any, **kwargs: Any) -> Any:
        with queue_lock:
            return func(*args, **kwargs)

    return queued


def _task_of(args: tuple[Any, ...]) -> str | None:
    """The page sends the task's name as the first value, written `task(...)`."""
    first = args[0] if args else None
    return first if isinstance(first, str) and first.startswith("task(") and first.endswith(")") else None


def wrap_gradio_gpu_call(func: Callable[..., Any], extra_outputs: list[Any] | None = None) -> Callable[..., Any]:
    """A generation started from the page: queued, followed by the progress API, errors shown in the page."""

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        id_task = _task_of(args)
        if id_task is not None:
            progress.add_task_to_queue(id_task)
        with queue_lock:
            shared.state.begin(job=id_task)
            progress.start_task(id_task)
            try:
                result = func(*args, **kwargs)
                progress.record_results(id_task, result)
            finally:
                progress.finish_task(id_task)
                shared.state.end()
        return result

    return wrap_gradio_call(run, extra_outputs=extra_outputs, add_stats=True)


def wrap_gradio_call(
    func: Callable[..., Any], extra_outputs: list[Any] | None = None, add_stats: bool = False
) -> Callable[..., Any]:
    """`func` with the job's state cleared when it is over and errors shown in the page."""

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return func(*args, **kwargs)
        finally:
            state = shared.state
            state.skipped = state.interrupted = state.stopping_generation = False
            state.job_count, state.job = 0, ""

    return wrap_gradio_call_no_job(run, extra_outputs, add_stats)


def _seconds(elapsed: float) -> str:
    minutes, seconds = divmod(elapsed, 60)
    return (f"{int(minutes)} min. " if minutes else "") + f"{seconds:.1f} sec."


def wrap_gradio_call_no_job(
    func: Callable[..., Any], extra_outputs: list[Any] | None = None, add_stats: bool = False
) -> Callable[..., tuple[Any, ...]]:
    """`func` whose errors become the page's error box; its last output is HTML, to which the time taken is added."""

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        started = time.perf_counter()
        try:
            result = list(func(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the page must say so and go on
            if not isinstance(error, ServerStopped):
                errors.report("Error completing request", exc_info=True)
            message = html.escape(f"{type(error).__name__}: {error}")
            result = [*([None, ""] if extra_outputs is None else extra_outputs), f"<div class='error'>{message}</div>"]
        devices.torch_gc()
        if add_stats:
            taken = _seconds(time.perf_counter() - started)
            result[-1] += (
                "<div class='performance'><p class='time'>Time taken: "
                f"<wbr><span class='measurement'>{taken}</span></p></div>"
            )
        return tuple(result)

    return run
