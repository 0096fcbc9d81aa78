"""One generation at a time, in the order they were asked for; and the page's way of running and reporting them."""

import html
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from modules import devices, errors, progress, shared


class FIFOLock:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, blocking: bool = True) -> bool:
        """Takes the lock, waiting for one's turn if `blocking`."""
        with self._guard:
            if not self._held:
                self._held = True
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()
        return True

    def release(self) -> None:
        """Hands the lock to the first that waits."""
        with self._guard:
            if not self._held:
                raise RuntimeError("release of a lock that nobody holds")
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


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
