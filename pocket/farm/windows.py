"""The windows of one video over several workers: an `Executor` on Dask.

In a step no window depends on another one. So while this process makes one, each worker makes one, too; outputs come
back in the order of the windows, and are blended here. Whatever happens to a worker, the video is finished: what it
does not give back is made by another one, or here.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from distributed import Client, Future
from torch import Tensor, nn

from farm.sent_model import HeldModel, UnsentError, packed, signature
from farm.shared_calls import SharedCalls, given_to_worker
from farm.window_worker import PATIENT, WindowWorker, told
from motion_module.core.denoising.model_calls import IN_TURN, Executor, GivenCall, Make
from motion_module.core.module.call_frames import CallFrames

_ALIKE = {torch.float32: 1e-4}  # of the largest value: rounding of another processor
_ALIKE_IN_HALF = 2e-2
_LOOK_EVERY = 0.25  # seconds after which who is there is looked at again
_TRIES = 3  # to send a model
_log = logging.getLogger("AnimateDiff")


class _Sent:
    """A model that goes to the workers, in a thread of its own: nobody waits for that.

    Args:
        client: of Dask.
        held: what is sent.
        signature: of the model here when it was packed.
        given, expected: of the first window, and what this process has made of it.
    """

    def __init__(
        self, client: Client, held: HeldModel, signature: tuple[Any, ...], given: tuple[Any, ...], expected: Tensor
    ) -> None:
        self.key, self.signature, self.given, self.expected = held.key, signature, given, expected.cpu()
        self.model: Future | None = None
        self.error: Exception | None = None
        self._client = client
        threading.Thread(target=self._send, args=[held], name="model to workers", daemon=True).start()

    def _send(self, held: HeldModel) -> None:
        try:
            # Dask may remember a name of what was lost with its workers, so this is another one each time.
            (self.model,) = self._client.scatter({f"model-{uuid.uuid4().hex}": held}, broadcast=True).values()
        except Exception as error:  # noqa: BLE001 - of a worker or the scheduler, which may be anything
            self.error = error

    @property
    def lost(self) -> bool:
        """Whether it has to be sent again."""
        return self.error is not None or (self.model is not None and self.model.status != "finished")

    @property
    def alike(self) -> float:
        """How far a worker's output may be from that of this process."""
        return _ALIKE.get(self.expected.dtype, _ALIKE_IN_HALF)


class OverWorkers:
    """An `Executor` for `windows_made_by`; what it cannot send is made here, and it says so once.

    Args:
        client: of Dask; its workers can import what this process can.
        wrapper: tells what holds the UNet that the host samples with.

    Attributes:
        made, made_there: how many windows have been made, and how many of them by workers.
    """

    def __init__(self, client: Client, wrapper: Callable[[], nn.Module]) -> None:
        self.made = self.made_there = 0
        self._client = client
        self._wrapper = wrapper
        self._workers: dict[str, WindowWorker] = {}
        self._looked = 0.0
        self._sent: _Sent | None = None
        self._refused: tuple[Any, ...] | None = None
        self._failures = 0
        self._said: set[str] = set()
        self._look()

    def __call__(self, calls: Iterable[GivenCall], make: Make, frames: CallFrames) -> Iterator[Tensor]:
        """As in `Executor`.

        The first call is made here: a LoRA changes weights when they are next used, and others may do so, too. If that
        has happened, what the workers hold is old, and they are sent the new ones. Nobody waits for workers that are
        not ready: this process goes on alone until they are.
        """
        rest = iter(calls)
        first = next(rest)
        if first.of.calls == 1:  # nothing to share
            self.made += 1
            yield make(first)
            return
        shared = SharedCalls(rest, range(2, first.of.calls + 1), frames)
        try:
            if self._is_as_sent(frames):
                self._share(shared)
            output = make(first)
            if not self._is_as_sent(frames):
                shared.end()
                self._send(first, output, frames)
            yield output
            yield from shared.outputs(make, lambda: self._share(shared))
        finally:
            shared.end()
            self.made, self.made_there = self.made + first.of.calls, self.made_there + shared.made_there

    def kept_here(self, reason: str) -> Executor:
        """As in `Executor`."""
        self._say(f"its windows stay on this machine, because {reason}")
        return IN_TURN

    def _is_as_sent(self, frames: CallFrames) -> bool:
        sent = self._sent
        return sent is not None and not sent.lost and sent.signature == signature(self._wrapper(), frames)

    def _share(self, shared: SharedCalls) -> None:
        """Have those workers take part that are ready and say the same as this process."""
        self._look()
        sent = self._sent
        if sent is None or sent.model is None or sent.lost:
            shared.offer(None, [])
            return
        try:
            taking_part = [
                worker
                for worker in self._workers.values()
                if worker.takes_part(sent.key, sent.model, sent.given, sent.expected, sent.alike)
            ]
        except Exception as error:  # noqa: BLE001 - of Dask, whose scheduler may be gone at any moment
            _log.debug("workers are not asked: %s", told(error))
            taking_part = []
        self._say_troubles()
        shared.offer(sent.model, taking_part)

    def _send(self, first: GivenCall, output: Tensor, frames: CallFrames) -> None:
        """Send the model as it is now, with the first window of the step as a probe."""
        wrapper, before = self._wrapper(), self._sent
        now = signature(wrapper, frames)
        if before is not None and before.error is not None:
            self._failures += 1
            self._say(f"the workers could not take the model ({told(before.error)})")
        self._sent = None
        if now == self._refused or self._failures >= _TRIES or not any(w.is_warm for w in self._workers.values()):
            return
        try:
            held = packed(wrapper, frames)
        except UnsentError as error:
            self._refused = now
            self._say(f"its windows are made on this machine, because {error}")
            return
        if before is not None and before.key == held.key and before.model is not None and not before.lost:
            before.signature = now
            self._sent = before
            return
        _log.info("AnimateDiff: %.0f MB of the model go to the workers", held.size / 1e6)
        self._sent = _Sent(self._client, held, now, given_to_worker(first, frames), output)

    def _look(self) -> None:
        """Note who is there; new ones begin to import what they need."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return
        there = worker_addresses(self._client)
        if not there:
            self._say("its windows are made on this machine, because there is no worker")
        try:
            for address in there:
                if address not in self._workers:
                    self._workers[address] = WindowWorker(self._client, address)
                self._workers[address].look()
        except Exception as error:  # noqa: BLE001 - of Dask, whose scheduler may be gone at any moment
            _log.debug("workers are not looked for: %s", told(error))
        self._workers = {address: worker for address, worker in self._workers.items() if address in there}
        self._say_troubles()
        self._looked = time.monotonic()

    def _say_troubles(self) -> None:
        for worker in self._workers.values():
            if worker.trouble:
                self._say(f"the worker {worker.address} makes no windows, because it {worker.trouble}")

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning("AnimateDiff: %s.", sentence)


def worker_addresses(client: Client) -> list[str]:
    """The workers there are; none where the scheduler is gone, or does not answer."""
    if client.status != "running":
        return []
    try:
        return list(client.sync(client.scheduler.ncores, callback_timeout=PATIENT))
    except (OSError, TimeoutError):
        return []
