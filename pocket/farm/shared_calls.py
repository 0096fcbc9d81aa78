"""Calls of the model that workers and this process make together, each the next one when it has done one."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import torch
from distributed import Client, Future
from torch import Tensor

from farm.sent_model import HeldModel, compact, sent_rows
from motion_module.core.denoising.model_calls import GivenCall, Make
from motion_module.core.module.call_frames import CallFrames

PATIENT = 10.0
"""Seconds in which a result that is there must have come over, and after which a late window is made here as well."""

_AHEAD = 2  # windows that a worker has: one that it makes, and one that lies there
_LOOK_EVERY = 0.25  # seconds after which somebody who waits looks whether there are workers
_PATIENCE = 3.0  # times the slowest window so far, if that is more than PATIENT


class SharedCalls:
    """Calls that the workers and this process share: each takes the next one when it has done one.

    Args:
        client: of Dask.
        calls: to be made.
        frames: shared with the motion layers of this process.

    Attributes:
        begun: whether the workers take part.
        trouble: what a worker that could not make one has said; "" for nothing.
    """

    def __init__(self, client: Client, calls: list[GivenCall], frames: CallFrames) -> None:
        self.begun = False
        self.trouble = ""
        self._client, self._calls, self._frames = client, calls, frames
        self._waiting = deque(range(len(calls)))
        self._made: set[int] = set()
        self._futures: list[Future] = []
        self._done: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        self._over = False
        self._slowest = 0.0

    def begin(self, model: Future, workers: int) -> None:
        """Let so many workers, who hold the model, take part."""
        self.begun, self._model, self._workers = True, model, workers
        for _ in range(workers * _AHEAD):
            self._hand_out()

    def close(self) -> None:
        """Nobody wants the others any more."""
        self._over = True
        self._waiting.clear()
        unfinished = [future for future in self._futures if not future.done()]
        if unfinished and self._client.status == "running":
            self._client.cancel(unfinished, reason="the video goes on without them")
        self._futures.clear()

    def outputs(self, make: Make, look: Callable[[], None]) -> Iterator[Tensor]:
        """The outputs in the order of the calls.

        Args:
            make: makes one in this process, or takes what has come from a worker.
            look: called before each; for workers who have become ready.
        """
        ready: dict[int, Tensor] = {}
        for place in range(len(self._calls)):
            since = time.monotonic()
            while place not in ready:
                look()
                mine = self._next()
                if mine is None and self._is_late(since):
                    mine = place
                if mine is not None:
                    self._made.add(mine)
                    ready[mine] = self._timed(make, self._calls[mine])
                ready.update(self._arrived(0.0 if mine is not None else _LOOK_EVERY, make))
            yield ready.pop(place)

    def _next(self) -> int | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _hand_out(self) -> None:
        """Give the next one to whichever worker is free; Dask's thread comes here, too."""
        place = self._next() if self._may_hand_out() else None
        if place is None:
            return
        given = given_to_worker(self._calls[place], self._frames)
        future = self._client.submit(made_there, self._model, *given, pure=False)
        self._futures.append(future)
        future.add_done_callback(lambda future: self._came_back(place, future))

    def _may_hand_out(self) -> bool:
        """Towards the end no worker gets one that lies there while others have nothing to do."""
        ahead = _AHEAD if len(self._waiting) > self._workers else 1
        in_flight = sum(not future.done() for future in list(self._futures))
        return not self._over and in_flight < ahead * self._workers

    def _came_back(self, place: int, future: Future) -> None:
        self._done.put((place, future))
        self._hand_out()

    def _arrived(self, seconds: float, make: Make) -> dict[int, Tensor]:
        """What has come from workers; what they could not make waits again, for this process."""
        came: dict[int, Tensor] = {}
        while (item := self._waited(0.0 if came else seconds)) is not None:
            place, future = item
            if place in self._made:
                continue
            output = self._result(future)
            if output is None:
                self._over = True
                self._waiting.appendleft(place)
                break
            call = self._calls[place]
            self._made.add(place)
            came[place] = make(call, lambda *_, output=output, x=call.x, **__: output.to(x.device))
        return came

    def _waited(self, seconds: float) -> tuple[int, Future] | None:
        try:
            return self._done.get(timeout=seconds) if seconds else self._done.get_nowait()
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
    half = _half(call.x.device)
    return call.of.frames, shown, frames.resting, compact(call.x), compact(call.t), sent_rows(call.cond), half


def made_there(model: HeldModel, *given: Any) -> Tensor:
    """Called on a worker."""
    return model(*given)


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _half(device: torch.device) -> torch.dtype | None:
    """The dtype of autocast here, if it is on."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def worker_addresses(client: Client) -> list[str]:
    """The workers there are; none where the scheduler is gone."""
    if client.status != "running":
        return []
    try:
        return list(client.nthreads())
    except (OSError, TimeoutError):
        return []
