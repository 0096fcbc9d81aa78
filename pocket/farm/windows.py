"""The windows of one video over several workers: an `Executor` on Dask.

In a step no window depends on another one. So while this process makes one, each worker makes one, too; outputs come
back in the order of the windows, and are blended here. Whatever happens to a worker, the video is finished: Dask gives
its windows to another one, and what nobody gives back in time is made here.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from distributed import Client, Future
from torch import Tensor, nn

from farm.sent_model import HeldModel, UnsentError, fingerprint, import_libraries, packed
from farm.shared_calls import PATIENT, SharedCalls, given_to_worker, made_there, told, worker_addresses
from motion_module.core.denoising.model_calls import IN_TURN, Executor, GivenCall, Make
from motion_module.core.module.call_frames import CallFrames

_ALIKE = 1e-4  # of the largest value: rounding of another processor
_log = logging.getLogger("AnimateDiff")


@dataclass
class _Sent:
    """A model that the workers hold.

    Attributes:
        key: of the `HeldModel`.
        model: Dask's name for it.
        fingerprint: of the model here when it was sent.
        ready: what has each worker make it ready.
        probe: the first window, made by a worker.
        expected: what it is here.
        agreed: whether they are the same; None as long as nobody knows.
    """

    key: str
    model: Future
    fingerprint: tuple[Any, ...]
    ready: list[Future]
    probe: Future
    expected: Tensor
    agreed: bool | None = None


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
        self._warming: dict[str, Future] = {}
        self._warm()

    def __call__(self, calls: Iterable[GivenCall], make: Make, frames: CallFrames) -> Iterator[Tensor]:
        """As in `Executor`.

        The first call is made here: a LoRA changes weights when they are next used, and others may do so, too. If that
        has happened, what the workers hold is old, and they are sent the new ones. Nobody waits for workers that are
        not ready: this process goes on alone until they are.
        """
        if self._given_up:
            yield from map(make, calls)
            return
        rest = iter(calls)
        first = next(rest)
        shared = SharedCalls(self._client, rest, range(2, first.of.calls + 1), frames)
        try:
            if self._is_as_sent():
                self._begin(shared)
            output = make(first)
            if first.of.calls > 1 and not self._is_as_sent():
                shared.take_back()
                self._send(first, output, frames)
            yield output
            yield from shared.outputs(make, lambda: self._begin(shared))
        finally:
            shared.take_back()
        if shared.trouble:
            self._give_up(f"a worker could not make one ({shared.trouble})")

    def kept_here(self, reason: str) -> Executor:
        """As in `Executor`."""
        self._say(f"its windows stay on this machine, because {reason}")
        return IN_TURN

    def _is_as_sent(self) -> bool:
        sent = self._sent
        is_there = sent is not None and sent.model.status == "finished"
        return is_there and sent.fingerprint == fingerprint(self._wrapper())

    def _begin(self, shared: SharedCalls) -> None:
        """Have the workers take part, if they are ready and say the same as this process."""
        sent, workers = self._sent, len(worker_addresses(self._client))
        if sent is not None and workers and not shared.begun and self._agrees(sent):
            shared.begin(sent.model, workers)

    def _send(self, first: GivenCall, output: Tensor, frames: CallFrames) -> None:
        """Send the model as it is now, and have a worker make the first window of the step as a probe."""
        before, self._sent, wrapper = self._sent, None, self._wrapper()
        workers = self._warm()
        if not workers:
            return
        try:
            held = packed(wrapper, frames)
        except UnsentError as error:
            self._give_up(str(error))
            return
        if before is not None and before.key == held.key and before.model.status == "finished":
            self._sent = replace(before, fingerprint=fingerprint(wrapper))
            return
        _log.info("AnimateDiff: %.0f MB of the model go to the workers", held.size / 1e6)
        try:
            # Dask may remember a name of what was lost with its workers, so this is another one each time.
            (model,) = self._client.scatter({f"model-{uuid.uuid4().hex}": held}, workers, broadcast=True).values()
        except Exception as error:  # noqa: BLE001 - of a worker, which may be anything
            self._give_up(f"the workers could not take the model ({told(error)})")
            return
        submit = partial(self._client.submit, pure=False)
        ready = [submit(HeldModel.make_ready, model, workers=[worker], allow_other_workers=True) for worker in workers]
        probe = submit(made_there, model, *given_to_worker(first, frames))
        self._sent = _Sent(held.key, model, fingerprint(wrapper), ready, probe, output)

    def _warm(self) -> list[str]:
        """The workers that have imported what they need; the others begin to, and nobody waits for them."""
        there = worker_addresses(self._client)
        if not there:
            self._say("its windows are made on this machine, because there is no worker")
        begun = {worker: future for worker, future in self._warming.items() if worker in there}
        for worker in there:
            if worker not in begun:
                begun[worker] = self._client.submit(import_libraries, workers=[worker], pure=False)
        self._warming = begun
        return [worker for worker in there if self._warming[worker].status == "finished"]

    def _agrees(self, sent: _Sent) -> bool:
        """Whether a worker has said the same as this process; None of them is asked before one has."""
        if sent.agreed is None and sent.probe.done():
            sent.agreed = self._judged(sent)
        return bool(sent.agreed)

    def _judged(self, sent: _Sent) -> bool:
        try:
            there = sent.probe.result(timeout=PATIENT)
        except (CancelledError, TimeoutError, OSError):  # the workers are gone; others may come
            self._sent = None
            return False
        except Exception as error:  # noqa: BLE001 - whatever the worker raised comes here
            self._give_up(f"no worker could make one ({told(error)})")
            return False
        here = sent.expected.cpu()
        apart = float((there - here).abs().max())
        if not apart <= _ALIKE * max(1.0, float(here.abs().max())):
            self._give_up(f"a worker says something else ({apart:.2g} apart)")
            return False
        return True

    def _give_up(self, reason: str) -> None:
        self._given_up, self._sent = True, None
        self._say(f"its windows are made on this machine, because {reason}")

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning("AnimateDiff: %s.", sentence)
