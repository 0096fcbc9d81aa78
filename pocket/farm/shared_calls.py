"""Calls of the model that workers and this process make together, each the next one when it has done one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from distributed import Client, Future
from torch import Tensor

from farm.sent_model import HeldModel, compact, sent_rows
from motion_module.core.denoising.model_calls import GivenCall, Make
from motion_module.core.module.call_frames import CallFrames

PATIENT = 10.0
"""Seconds in which a result that is there must have come over, and after which a late window is made here as well."""

_AHEAD = 2  # windows that a worker has: one that it makes, and one that lies there
_AT_MOST = 8  # windows of a worker that are not taken in
_LOOK_EVERY = 0.25  # seconds after which somebody who waits looks whether there are workers
_PATIENCE = 3.0  # times the slowest window so far, if that is more than PATIENT


class SharedCalls:
    """Calls that the workers and this process share: each takes the next one when it has done one.

    A call is cut out of its step when somebody takes it, because all of them take far more memory than the step.

    Args:
        client: of Dask.
        calls: to be made, in the order of their numbers.
        numbers: theirs.
        frames: shared with the motion layers of this process.

    Attributes:
        begun: whether the workers take part.
        trouble: what a worker that could not make one has said; "" for nothing.
    """

    def __init__(self, client: Client, calls: Iterable[GivenCall], numbers: range, frames: CallFrames) -> None:
        self.begun = False
        self.trouble = ""
        self._client, self._frames = client, frames
        self._calls, self._numbers, self._taking = iter(calls), numbers, threading.Lock()
        self._left = len(numbers)
        self._again: list[GivenCall] = []  # what a worker could not make
        self._there: dict[int, tuple[GivenCall, Future]] = {}  # what workers have
        self._handing_out = threading.Lock()
        self._came: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        self._over = False
        self._slowest = 0.0

    def begin(self, model: Future, workers: int) -> None:
        """Let so many workers, who hold the model, take part."""
        self.begun, self._over, self._model, self._workers = True, False, model, workers
        self._fill()

    def take_back(self) -> None:
        """What workers have is not what is wanted: it is to be made again."""
        self._over, self.begun = True, False
        with self._handing_out:
            unfinished = [future for _, future in self._there.values() if not future.done()]
            self._again += [call for call, _ in self._there.values()]
            self._there.clear()
        if unfinished and self._client.status == "running":
            self._client.cancel(unfinished, reason="the video goes on without them")

    def outputs(self, make: Make, look: Callable[[], None]) -> Iterator[Tensor]:
        """The outputs in the order of the calls.

        Args:
            make: makes one in this process, or takes what has come from a worker.
            look: called before each; for workers who have become ready.
        """
        ready: dict[int, Tensor] = {}
        for number in self._numbers:
            since = time.monotonic()
            while number not in ready:
                look()
                mine = self._next()
                if mine is None and number in self._there and self._is_late(since):
                    mine, _ = self._there.pop(number)
                if mine is not None:
                    ready[mine.of.number] = self._timed(make, mine)
                ready.update(self._arrived(0.0 if mine is not None else _LOOK_EVERY, make))
                self._fill()
            yield ready.pop(number)

    def _next(self) -> GivenCall | None:
        with self._taking:  # Dask's thread takes them, too
            if self._again:
                return self._again.pop()
            self._left = max(0, self._left - 1)
            return next(self._calls, None)

    def _fill(self) -> None:
        """Give workers as many as they may have."""
        for _ in range(_AHEAD * self._workers if self.begun else 0):
            self._hand_out()

    def _hand_out(self) -> None:
        """Give the next one to whichever worker is free; Dask's thread comes here, too."""
        with self._handing_out:
            call = self._next() if self._may_hand_out() else None
            if call is None:
                return
            future = self._client.submit(made_there, self._model, *given_to_worker(call, self._frames), pure=False)
            self._there[call.of.number] = call, future
        future.add_done_callback(partial(self._came_back, call.of.number))

    def _may_hand_out(self) -> bool:
        """Towards the end no worker gets one that lies there while others have nothing to do; and where this process is
        much slower than they are, they wait until it has taken in what they have made."""
        ahead = _AHEAD if self._left > self._workers else 1
        there = list(self._there.values())
        in_flight = sum(not future.done() for _, future in there)
        return not self._over and in_flight < ahead * self._workers and len(there) < _AT_MOST * self._workers

    def _came_back(self, number: int, future: Future) -> None:
        self._came.put((number, future))
        self._hand_out()

    def _arrived(self, seconds: float, make: Make) -> dict[int, Tensor]:
        """What has come from workers; what they could not make waits again, for this process."""
        came: dict[int, Tensor] = {}
        while (item := self._waited(0.0 if came else seconds)) is not None:
            number, future = item
            if number not in self._there or self._there[number][1] is not future:  # it was late, or taken back
                continue
            call, _ = self._there.pop(number)
            output = self._result(future)
            if output is None:
                self._over = True
                self._again.append(call)
                break
            came[number] = make(call, lambda x, *_, output=output, **__: output.to(x.device))
        return came

    def _waited(self, seconds: float) -> tuple[int, Future] | None:
        try:
            return self._came.get(timeout=seconds) if seconds else self._came.get_nowait()
        except queue.Empty:
            return None

    def _result(self, future: Future) -> Tensor | None:
        """None where there is none; what is only lost is no trouble."""
        try:
            result: Tensor = future.result(timeout=PATIENT)
        except (CancelledError, TimeoutError, OSError):  # the scheduler or the model there is gone
            return None
        except Exception as error:  # noqa: BLE001 - whatever the worker raised comes here
            self.trouble = told(error)
            return None
        return result

    def _is_late(self, since: float) -> bool:
        """Whether nobody but this process will make what is waited for, or not soon."""
        patience = max(PATIENT, _PATIENCE * self._slowest)
        return time.monotonic() - since > patience or not worker_addresses(self._client)

    def _timed(self, make: Make, call: GivenCall) -> Tensor:
        start = time.monotonic()
        output = make(call)
        self._slowest = max(self._slowest, time.monotonic() - start)
        return output


def given_to_worker(call: GivenCall, frames: CallFrames) -> tuple[Any, ...]:
    """What a worker is given of a call, for `HeldModel`."""
    shown = call.of.shown if frames.travels else []
    return call.of.frames, shown, frames.resting, compact(call.x), compact(call.t), sent_rows(call.cond)


def made_there(model: HeldModel, *given: Any) -> Tensor:
    """Called on a worker."""
    return model(*given)


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def worker_addresses(client: Client) -> list[str]:
    """The workers there are; none where the scheduler is gone."""
    if client.status != "running":
        return []
    try:
        return list(client.nthreads())
    except (OSError, TimeoutError):
        return []
