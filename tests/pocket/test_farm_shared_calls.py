"""Calls that workers and this process share, with stand-ins for Dask: what fails, and what changes, in the middle."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch

from farm.shared_calls import SharedCalls
from farm.window_worker import WindowWorker
from farm.windows import OverWorkers
from motion_module.core.denoising.model_calls import GivenCall, ModelCall

FRAMES = SimpleNamespace(travels=False, resting=False)
OLD, NEW = torch.tensor([-1.0]), torch.tensor([1.0])


class MadeSoon:
    """A future of Dask; what its callbacks raise is logged, and nobody hears of it."""

    def __init__(self, output):
        self._output, self._callbacks, self._done = output, [], threading.Event()
        threading.Timer(0.02, self._finish).start()

    def done(self):
        return self._done.is_set()

    def add_done_callback(self, callback):
        self._callbacks.append(callback)

    def result(self, timeout=None):
        return self._output

    def _finish(self):
        self._done.set()
        for callback in self._callbacks:
            try:
                callback(self)
            except Exception as error:
                print(error)


class Worker:
    trouble, owes, is_free = "", None, True

    def submit(self, function, *args):
        return MadeSoon(OLD)


def call(number, of):
    layout = SimpleNamespace(frame_of=lambda row: (0, 0))
    return GivenCall(ModelCall(layout, [0], 1, number, of), torch.zeros(1, 1, 1, 1), torch.zeros(1), {})


def test_what_cannot_be_cut_out_in_dasks_thread_ends_the_video():
    """Out of memory, say: in that thread nobody would hear of it, and the rest would be waited for for ever."""

    def calls():
        for number in range(2, 13):
            if number > 4 and threading.current_thread() is not threading.main_thread():
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield call(number, 12)

    def make(given, model=None):
        time.sleep(0.05)
        return NEW

    shared = SharedCalls(calls(), range(2, 13), FRAMES)
    shared.offer(object(), [Worker()])
    looked = []

    def look():
        looked.append(1)
        assert len(looked) < 500

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        list(shared.outputs(make, look))


class ChangedByFirstCall(OverWorkers):
    """Its worker holds the model as it was before this process called it for the first time, and is fast."""

    def __init__(self):
        self.made = self.made_there = 0
        self.changed = False

    def _is_as_sent(self, frames):
        return not self.changed

    def _share(self, shared):
        shared.offer(*((None, []) if self.changed else (object(), [Worker()])))

    def _send(self, first, output, frames):
        pass


def test_what_workers_have_made_of_old_weights_is_made_again():
    over = ChangedByFirstCall()

    def make(given, model=None):
        if model is not None:
            return model(given.x)
        time.sleep(0.2)  # the worker makes others meanwhile
        over.changed = True
        return NEW

    outputs = list(over([call(number, 6) for number in range(1, 7)], make, FRAMES))
    assert outputs == [NEW] * 6
    assert (over.made, over.made_there) == (6, 0)


def test_a_worker_that_cannot_import_what_it_needs_has_trouble():
    error = ModuleNotFoundError("No module named 'farm'")
    failed = SimpleNamespace(status="error", exception=lambda timeout: error)
    worker = WindowWorker(SimpleNamespace(submit=lambda *args, **how: failed), "tcp://1.2.3.4:5")
    assert not worker.trouble
    worker.look()
    assert worker.trouble == "cannot import what it needs (ModuleNotFoundError: No module named 'farm')"
    assert not worker.is_warm and not worker.is_free
