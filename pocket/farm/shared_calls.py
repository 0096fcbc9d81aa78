"""Calls of the model that workers and this process make together, each the next one when it has done one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, NamedTuple

from distributed import Future
from torch import Tensor

from farm.sent_model import compact, sent_rows
from farm.window_worker import PATIENT, WindowWorker, made_there, told
from motion_module.core.denoising.model_calls import GivenCall, Make
from motion_module.core.module.call_frames import CallFrames

_AHEAD = 2  # windows that a worker has: one that it makes, and one that lies there
_AT_MOST = 8  # windows of a worker that are not taken in
_LOOK_EVERY = 0.25  # seconds after which somebody who waits looks who is there
_PATIENCE = 3.0  # times as long as the slowest window so far, and at least PATIENT: after that one is late


class _HandedOut(NamedTuple):
    """A call that a worker has."""

    call: GivenCall
    future: Future
    worker: WindowWorker
    since: float


class SharedCalls:
    """Calls that workers and this process share.

    A call is cut out of its step when somebody takes it, because all of them take far more memory than the step. What a
    worker does not give back, for whatever reason, is made here or by another one.

    Args:
        calls: to be made, in the order of their numbers.
        numbers: theirs.
        frames: shared with the motion layers of this process.

    Attributes:
        made_there: how many workers have made.
    """

    def __init__(self, calls: Iterable[GivenCall], numbers: range, frames: CallFrames) -> None:
        self.made_there = 0
        self._frames = frames
        self._calls, self._numbers, self._left = iter(calls), numbers, len(numbers)
        self._again: dict[int, GivenCall] = {}  # what a worker has not made
        self._there: dict[int, _HandedOut] = {}
        self._came: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        self._lock = threading.RLock()  # Dask's thread hands out, too
        self._error: Exception | None = None  # of cutting a call
        self._model: Future | None = None
        self._workers: list[WindowWorker] = []
        self._slowest = 0.0

    def offer(self, model: Future | None, workers: list[WindowWorker]) -> None:
        """From now on these workers, who hold the model, take part, and no others."""
        with self._lock:
            self._model, self._workers = model, workers
            for number, out in list(self._there.items()):
                if out.worker not in workers and not out.future.done():
                    self._take_back(number)
        self._fill()

    def end(self) -> None:
        """Nobody wants what workers have, made or not: it is of a model that has changed, or of a step that is over."""
        with self._lock:
            self._model, self._workers = None, []
            for number in list(self._there):
                self._take_back(number)

    def outputs(self, make: Make, look: Callable[[], None]) -> Iterator[Tensor]:
        """The outputs in the order of the calls.

        Args:
            make: makes one in this process, or takes what has come from a worker.
            look: called again and again: who takes part may change.

        Raises:
            Exception: a call cannot be cut out of its step, in whichever thread that has been tried.
        """
        ready: dict[int, Tensor] = {}
        for number in self._numbers:
            while number not in ready:
                look()
                mine = self._next()
                if self._error is not None:
                    raise self._error
                if mine is not None:
                    ready[mine.of.number] = self._timed(make, mine)
                ready.update(self._arrived(0.0 if mine is not None else _LOOK_EVERY, make))
                self._give_up_late_ones()
                self._fill()
            yield ready.pop(number)

    def _next(self) -> GivenCall | None:
        with self._lock:
            if self._again:
                return self._again.pop(min(self._again))
            try:
                call = next(self._calls, None)
            except Exception as error:  # noqa: BLE001 - for the video's thread: in Dask's nobody would hear of it
                self._error = error
                return None
            self._left -= call is not None
            return call

    def _fill(self) -> None:
        """Give workers as many as they may have, each one before any gets a second one."""
        for has in range(_AHEAD):
            for worker in list(self._workers):
                self._hand_out(worker, has)

    def _hand_out(self, worker: WindowWorker, has: int) -> None:
        with self._lock:
            call = self._next() if self._may_have_one(worker, has) else None
            if call is None:
                return
            try:
                future = worker.submit(made_there, self._model, *given_to_worker(call, self._frames))
            except Exception as error:  # noqa: BLE001 - the scheduler is gone, or it cannot be packed: made here
                self._again[call.of.number] = call
                worker.trouble = f"could not be given one ({told(error)})"
                return
            self._there[call.of.number] = _HandedOut(call, future, worker, time.monotonic())
        future.add_done_callback(partial(self._came_back, call.of.number))

    def _may_have_one(self, worker: WindowWorker, has: int) -> bool:
        """Towards the end no worker gets one that lies there while others have nothing to do; and where this process is
        much slower than they are, they wait until it has taken in what they have made."""
        if not worker.is_free or worker not in self._workers:
            return False
        if has and self._left <= len(self._workers):
            return False
        of_worker = sum(out.worker is worker and not out.future.done() for out in self._there.values())
        return of_worker <= has and len(self._there) < _AT_MOST * len(self._workers)

    def _came_back(self, number: int, future: Future) -> None:
        self._came.put((number, future))
        self._fill()

    def _take_back(self, number: int) -> None:
        """It is to be made again, by whoever comes to it; Dask drops what nobody refers to."""
        self._again[number] = self._there.pop(number).call

    def _arrived(self, seconds: float, make: Make) -> dict[int, Tensor]:
        """What has come from workers; what they could not make waits again."""
        came: dict[int, Tensor] = {}
        while (item := self._waited(0.0 if came else seconds)) is not None:
            number, future = item
            out = self._there.get(number)
            if out is None or out.future is not future:  # it was taken back
                continue
            output = self._result(out)
            with self._lock:
                if output is None:
                    self._take_back(number)
                    return came
                del self._there[number]
            self._slowest = max(self._slowest, time.monotonic() - out.since)
            self.made_there += 1
            came[number] = make(out.call, lambda x, *_, output=output, **__: output.to(x.device))
        return came

    def _waited(self, seconds: float) -> tuple[int, Future] | None:
        try:
            return self._came.get(timeout=seconds) if seconds else self._came.get_nowait()
        except queue.Empty:
            return None

    def _result(self, out: _HandedOut) -> Tensor | None:
        """None where there is none; what is only lost is nobody's trouble."""
        try:
            result: Tensor = out.future.result(timeout=PATIENT)
        except (CancelledError, TimeoutError, OSError):  # the scheduler or what the worker holds is gone
            return None
        except Exception as error:  # noqa: BLE001 - whatever the worker raised comes here
            out.worker.trouble = f"could not make one ({told(error)})"
            return None
        return result

    def _give_up_late_ones(self) -> None:
        """A worker that is late gets nothing more until it answers; what it has is made by others."""
        patience, now = max(PATIENT, _PATIENCE * self._slowest), time.monotonic()
        with self._lock:
            for out in list(self._there.values()):
                if now - out.since > patience and not out.future.done() and out.worker.owes is None:
                    out.worker.owes = out.future
                    for number, other in list(self._there.items()):
                        if other.worker is out.worker and not other.future.done():
                            self._take_back(number)

    def _timed(self, make: Make, call: GivenCall) -> Tensor:
        start = time.monotonic()
        output = make(call)
        self._slowest = max(self._slowest, time.monotonic() - start)
        return output


def given_to_worker(call: GivenCall, frames: CallFrames) -> tuple[Any, ...]:
    """What a worker is given of a call, for `HeldModel`."""
    shown = call.of.shown if frames.travels else []
    return call.of.frames, shown, frames.resting, compact(call.x), compact(call.t), sent_rows(call.cond)
