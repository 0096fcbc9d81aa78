"""The windows of one video over several workers: an `Executor` on Dask.

In a step no window depends on another one. So while this process makes one, each worker makes one, too; outputs come
back in the order of the windows, and are blended here. Whatever happens to a worker, the video is finished: Dask gives
its windows to another one, and what nobody gives back in time is made here.
"""

from __future__ import annotations

import logging
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from distributed import Client, Future
from torch import Tensor, nn

from farm.sent_model import HeldModel, UnsentError, fingerprint, packed, sent_rows
from motion_module.core.denoising.model_calls import IN_TURN, Executor, GivenCall, Make
from motion_module.core.module.call_frames import CallFrames

_AHEAD = 2  # windows that a worker has: one that it makes, and one that lies there
_LOOK_EVERY = 0.25  # seconds after which somebody who waits looks whether there are workers
_PATIENCE = 3.0  # times the slowest window so far, after which a window is made here as well
_AT_LEAST = 10.0  # seconds of patience
_ALIKE = 1e-4  # of the largest value: rounding of another processor
_log = logging.getLogger("AnimateDiff")


@dataclass
class _Sent:
    """A model that the workers hold.

    Attributes:
        future: Dask's name for it.
        fingerprint: of the model here when it was sent.
    """

    future: Future
    fingerprint: tuple[Any, ...]


class OverWorkers:
    """An `Executor` for `windows_made_by`; what it cannot send is made here, and it says so once.

    Args:
        client: of Dask; its workers can import what this process can.
        wrapper: tells what holds the UNet that the host samples with.
    """

    def __init__(self, client: Client, wrapper: Callable[[], nn.Module]) -> None:
        self._client = client
        self._wrapper = wrapper
        self._sent: _Sent | None = None
        self._said: set[str] = set()
        self._given_up = False

    def __call__(self, calls: Iterable[GivenCall], make: Make, frames: CallFrames) -> Iterator[Tensor]:
        """As in `Executor`.

        The first call is made here: a LoRA changes weights when they are next used, and others may do so, too. If that
        has happened, what the workers hold is old, and they are sent the new ones.
        """
        first, *rest = calls
        if not rest or self._given_up:
            yield from map(make, (first, *rest))
            return
        shared = self._begin(rest, frames)
        try:
            output = make(first)
            if shared is None or not self._is_as_sent():
                _end(shared)
                shared = self._begin(rest, frames) if self._send(frames, first, output) else None
            yield output
            yield from shared.outputs(make) if shared is not None else map(make, rest)
        finally:
            _end(shared)
        if shared is not None and shared.trouble:
            self._give_up(f"a worker could not make one ({shared.trouble})")

    def kept_here(self, reason: str) -> Executor:
        """As in `Executor`."""
        self._say(f"its windows stay on this machine, because {reason}")
        return IN_TURN

    def _is_as_sent(self) -> bool:
        sent = self._sent
        is_there = sent is not None and sent.future.status == "finished"
        return is_there and sent.fingerprint == fingerprint(self._wrapper())

    def _begin(self, calls: list[GivenCall], frames: CallFrames) -> _Shared | None:
        workers = _workers(self._client)
        if not workers or self._sent is None or not self._is_as_sent():
            return None
        return _Shared(self._client, self._sent.future, calls, frames, workers)

    def _send(self, frames: CallFrames, first: GivenCall, output: Tensor) -> bool:
        """Whether the workers hold the model as it is now, and say the same of the first window."""
        wrapper = self._wrapper()
        if not _workers(self._client):
            self._say("its windows are made on this machine, because there is no worker")
            return False
        try:
            held = packed(wrapper, frames)
        except UnsentError as error:
            return self._give_up(str(error))
        _log.info("AnimateDiff: %.0f MB of the model go to the workers", held.size / 1e6)
        (future,) = self._client.scatter({held.key: held}, broadcast=True).values()
        self._sent = _Sent(future, fingerprint(wrapper))
        return self._agrees(first, output, frames, future)

    def _agrees(self, first: GivenCall, output: Tensor, frames: CallFrames, model: Future) -> bool:
        """Whether a worker says the same as this process; whatever stands in the way does, too."""
        with closing(_Shared(self._client, model, [first], frames, workers=1)) as shared:
            (there,) = shared.outputs(lambda call, model=None: model(call) if model is not None else output)
        if shared.trouble:
            return self._give_up(f"no worker could make one ({shared.trouble})")
        apart = float((there - output).abs().max())
        if not apart <= _ALIKE * max(1.0, float(output.abs().max())):
            return self._give_up(f"a worker says something else ({apart:.2g} apart)")
        return True

    def _give_up(self, reason: str) -> bool:
        self._given_up, self._sent = True, None
        self._say(f"its windows are made on this machine, because {reason}")
        return False

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning("AnimateDiff: %s.", sentence)


class _Shared:
    """Calls that the workers and this process share: each takes the next one when it has done one.

    Args:
        client: of Dask.
        model: its name for what the workers hold.
        calls: to be made.
        frames: shared with the motion layers of this process.
        workers: how many there are.

    Attributes:
        trouble: what a worker that could not make one has said; "" for nothing.
    """

    def __init__(self, client: Client, model: Future, calls: list[GivenCall], frames: CallFrames, workers: int) -> None:
        self.trouble = ""
        self._client, self._model, self._calls, self._frames = client, model, calls, frames
        self._waiting = deque(range(len(calls)))
        self._futures: list[Future] = []
        self._done: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        self._over = False
        self._made: set[int] = set()
        self._slowest = 0.0
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

    def outputs(self, make: Make) -> Iterator[Tensor]:
        """The outputs in the order of the calls.

        Args:
            make: makes one in this process, or takes what has come from a worker.
        """
        ready: dict[int, Tensor] = {}
        for place in range(len(self._calls)):
            since = time.monotonic()
            while place not in ready:
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
        place = None if self._over else self._next()
        if place is None:
            return
        call, frames = self._calls[place], self._frames
        shown = call.of.shown if frames.travels else []
        future = self._client.submit(
            _made_there, self._model, call.of.frames, shown, frames.resting, call.x.cpu(), call.t.cpu(),
            sent_rows(call.cond), _half(call.x.device), pure=False, key=f"window-{uuid.uuid4().hex}",
        )  # fmt: skip
        self._futures.append(future)
        future.add_done_callback(lambda future: self._came_back(place, future))

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
            result: Tensor = future.result(timeout=_AT_LEAST)
        except (CancelledError, TimeoutError, OSError):  # the scheduler or the model there is gone
            return None
        except Exception as error:  # noqa: BLE001 - whatever the worker raised comes here
            self.trouble = f"{type(error).__name__}: {error}".partition("\n")[0]
            return None
        return result

    def _is_late(self, since: float) -> bool:
        """Whether nobody but this process will make what is waited for, or not soon."""
        patience = max(_AT_LEAST, _PATIENCE * self._slowest)
        return time.monotonic() - since > patience or not _workers(self._client)

    def _timed(self, make: Make, call: GivenCall) -> Tensor:
        start = time.monotonic()
        output = make(call)
        self._slowest = max(self._slowest, time.monotonic() - start)
        return output


def _end(shared: _Shared | None) -> None:
    if shared is not None:
        shared.close()


def _made_there(model: HeldModel, *given: Any) -> Tensor:
    """Called on a worker."""
    return model(*given)


def _half(device: torch.device) -> torch.dtype | None:
    """The dtype of autocast here, if it is on."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def _workers(client: Client) -> int:
    """How many there are; none where the scheduler is gone."""
    if client.status != "running":
        return 0
    try:
        return len(client.nthreads())
    except (OSError, TimeoutError):
        return 0
