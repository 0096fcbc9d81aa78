"""The windows of one video over Dask's workers, which die, are slow, or say something else: the video is the same."""

import logging
import os
import signal
import time
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from runs import frames

from farm.cluster import workers
from farm.shared_calls import SharedCalls
from farm.window_worker import made_there
from farm.windows import OverWorkers
from motion_module.core.denoising import sliding
from motion_module.core.denoising.model_calls import GivenCall, ModelCall, windows_made_by
from motion_module.core.denoising.rows import RowLayout
from motion_module.core.module.call_frames import CallFrames

LONG = {"video_length": 64, "batch_size": 8, "overlap": 2}  # 11 windows
SHORT = {"video_length": 26, "batch_size": 8, "overlap": 2}  # 4 windows
STEPS = 4


@pytest.fixture(scope="module")
def client():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with workers(2) as client:
            yield client


@pytest.fixture
def over(pocket, client):
    from modules import shared

    client.wait_for_workers(2, timeout=120)
    return OverWorkers(client, lambda: shared.sd_model.model)


class Noted:
    """What became of each window: whether a worker made it, and how far that is from what is made here."""

    def __init__(self):
        self.there, self.here, self.apart = 0, 0, 0.0
        self.on_window = lambda noted: None

    @contextmanager
    def looking(self, monkeypatch):
        make = sliding.SlidingModel._make

        def noting(model_of_video, call, model=None):
            self.on_window(self)
            out = make(model_of_video, call, model)
            if model is None:
                self.here += 1
                return out
            self.there += 1
            own = make(model_of_video, call)
            self.apart = max(self.apart, float((own - out).abs().max() / own.abs().max()))
            return out

        with monkeypatch.context() as patch:
            patch.setattr(sliding.SlidingModel, "_make", noting)
            yield self


def video(over, monkeypatch, on_window=None, **options):
    """The frames over workers, and what became of the windows."""
    noted = Noted()
    noted.on_window = on_window or noted.on_window
    options = {"steps": STEPS, **options, "fields": options.get("fields", SHORT)}
    before = frames(**options)
    with noted.looking(monkeypatch), windows_made_by(over):
        made = frames(**options)
    assert np.abs(made.astype(int) - before.astype(int)).max() <= 1
    assert noted.apart <= 1e-5
    return noted


def until(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_until_ready(over):
    """As a video of more steps would: for workers to be warm, then for the model, then for what they say."""

    def all_there(holds):
        over._look()  # one that was killed a moment ago is still among them
        return bool(over._workers) and all(worker.trouble or holds(worker) for worker in over._workers.values())

    over._looked = 0.0
    until(lambda: all_there(lambda worker: worker.is_warm))
    sent = over._sent
    if sent is not None:
        until(lambda: sent.model is not None or sent.error is not None)
        asked = (sent.key, sent.model, sent.given, sent.expected, sent.alike)
        until(lambda: sent.lost or all_there(lambda worker: worker.takes_part(*asked)))  # lost with who held it


def kill_one(client):
    pid = client.run(os.getpid, workers=[next(iter(client.nthreads()))])
    os.kill(*pid.values(), signal.SIGKILL)


def ready_after_first_step(over):
    seen = []

    def on_window(noted):
        if over._sent is None or over._sent not in seen:
            seen.append(over._sent)
            wait_until_ready(over)

    return on_window


def test_two_workers_make_windows_and_the_frames_are_the_same(over, monkeypatch):
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over))
    assert noted.there + noted.here == 4 * STEPS and noted.there >= STEPS and noted.here >= STEPS
    sent = over._sent
    assert video(over, monkeypatch).there >= STEPS and over._sent is sent, "they hold it from before"
    assert over.made == 4 * STEPS * 2 and STEPS < over.made_there < over.made


def test_one_is_killed_in_a_step(over, monkeypatch, client):
    killed = []

    def on_window(noted):
        ready_after_first_step(over)(noted)
        if noted.there == 5 and not killed:
            killed.append(kill_one(client))

    noted = video(over, monkeypatch, on_window=on_window, fields=LONG)
    assert killed and noted.there > 20 and noted.there + noted.here == 11 * STEPS
    client.wait_for_workers(2, timeout=120)


@pytest.mark.slow
def test_all_are_killed_in_a_step(over, monkeypatch, client, caplog):
    """It goes on here, at once; the new workers are sent the model when they are there."""
    killed = []

    def on_window(noted):
        ready_after_first_step(over)(noted)
        if noted.there == 5 and not killed:
            pids = client.run(os.getpid).values()
            killed.extend(os.kill(pid, signal.SIGKILL) or pid for pid in pids)

    noted = video(over, monkeypatch, on_window=on_window)
    assert len(killed) == 2 and noted.here + noted.there == 4 * STEPS
    client.wait_for_workers(2, timeout=120)
    assert video(over, monkeypatch, on_window=ready_after_first_step(over)).there > 0


def test_what_a_worker_says_is_looked_at_before_it_counts(over, monkeypatch, caplog):
    import farm.windows

    monkeypatch.setattr(farm.windows, "given_to_worker", lambda call, frames: (*_moved(call, frames),))
    with caplog.at_level(logging.WARNING):
        noted = video(over, monkeypatch, on_window=ready_after_first_step(over))
    assert noted.there == 0 and caplog.text.count("makes no windows, because it says something else (") == 2


def _moved(call, frames):
    from farm.shared_calls import given_to_worker

    number, shown, resting, x, *rest = given_to_worker(call, frames)
    return number, shown, resting, x + 0.1, *rest


def test_a_worker_that_fails_is_told_of_and_the_video_goes_on(over, monkeypatch, caplog):
    import farm.shared_calls

    monkeypatch.setattr(farm.shared_calls, "given_to_worker", lambda call, frames: (call.of.frames, [], False, None))
    with caplog.at_level(logging.WARNING):
        noted = video(over, monkeypatch, on_window=ready_after_first_step(over))
    assert noted.there == 0 and noted.here == 4 * STEPS
    told_of = " makes no windows, because it could not make one (TypeError: HeldModel.__call__() missing 2 "
    assert 1 <= caplog.text.count(told_of) <= 2


def test_a_late_window_is_made_here(over, monkeypatch, client):
    import farm.shared_calls

    monkeypatch.setattr(farm.shared_calls, "PATIENT", 0.5)
    monkeypatch.setattr(farm.shared_calls, "_PATIENCE", 0.5)
    monkeypatch.setattr(farm.shared_calls, "made_there", _asleep)
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=3)
    assert noted.here == 12 and noted.there == 0
    assert all(worker.owes is not None for worker in over._workers.values()), "they get nothing until they answer"
    client.restart()


def _asleep(model, *given):
    time.sleep(600)


@pytest.mark.slow
def test_another_lora_is_sent(over, monkeypatch, tiny, pocket):
    from loras import lora_host, spatial

    with lora_host(pocket, tiny) as host:
        spatial(host)
        host["networks"].list_available_networks()
        first = video(over, monkeypatch, on_window=ready_after_first_step(over))
        before, ready = over._sent, ready_after_first_step(over)
        second = video(over, monkeypatch, on_window=ready, prompt="a cat <lora:spatial:1>")
        assert first.there and second.there and over._sent.key != before.key


def test_what_stands_in_the_unet_keeps_it_here_with_one_sentence(over, monkeypatch, caplog):
    from modules import shared

    layer = next(part for part in shared.sd_model.model.modules() if type(part).__name__ == "CrossAttention")
    handle = layer.register_forward_hook(lambda module, args, out: None)
    try:
        with caplog.at_level(logging.WARNING):
            noted = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=2)
    finally:
        handle.remove()
    assert noted.there == 0
    assert caplog.text.count("windows are made on this machine, because there is a hook in the UNet") == 1


def test_controlnet_keeps_it_here_with_one_sentence(over, pocket, caplog):
    from motion_module.core.denoising.model_calls import IN_TURN
    from motion_module.webui.sampling.loan import Loan

    loan = Loan.__new__(Loan)
    loan._given_out = lambda call: None
    with windows_made_by(over), caplog.at_level(logging.WARNING):
        assert loan._executor() is IN_TURN and loan._executor() is IN_TURN
    assert caplog.text.count("AnimateDiff: its windows stay on this machine, because ControlNet takes part in it.") == 1


def test_an_interrupt_ends_it_at_once(over, monkeypatch):
    from modules import shared

    def on_window(noted):
        ready_after_first_step(over)(noted)
        if noted.there == 3:
            shared.state.interrupt()

    noted = Noted()
    noted.on_window = on_window
    with noted.looking(monkeypatch), windows_made_by(over):
        frames(steps=STEPS, fields=SHORT)
    assert noted.there <= 4 and noted.here < 3 * STEPS


def test_nothing_is_left_with_the_workers_of_what_nobody_wants(over, monkeypatch):
    ended = []
    end = SharedCalls.end
    monkeypatch.setattr(SharedCalls, "end", lambda self: ended.append(self) or end(self))
    video(over, monkeypatch, on_window=ready_after_first_step(over), steps=3)
    assert ended and not any(shared._there for shared in ended)


@pytest.mark.slow
def test_of_a_long_video_a_few_windows_are_there_at_a_time(over, monkeypatch):
    """A window's rows with its prompts are megabytes, and a step may have a thousand."""
    import farm.shared_calls

    monkeypatch.setattr(farm.shared_calls, "_AT_MOST", 2)
    cut, most, cut_out = [], [], sliding._cut

    def counted(whole, call):
        cut.append(weakref.ref(given := cut_out(whole, call)))
        most.append(sum(one() is not None for one in cut))
        return given

    monkeypatch.setattr(sliding, "_cut", counted)
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=2, fields={**LONG, "batch_size": 4})
    assert noted.there > 10 and max(most) <= 2 * 2 + 4


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"fields": {**SHORT, "motion_scale": 3.0}}, id="scale"),
        pytest.param({"tiling": True}, id="tiling", marks=pytest.mark.slow),
    ],
)
def test_a_later_video_with_other_settings_is_another_one_there_too(over, monkeypatch, change):
    first = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=2)
    before = over._sent
    second = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=3, **change)
    assert first.there and second.there and over._sent.key != before.key


def test_what_somebody_puts_into_the_unet_in_the_middle_is_seen(over, monkeypatch, caplog):
    from modules import shared

    layer = next(part for part in shared.sd_model.model.modules() if type(part).__name__ == "CrossAttention")
    handles, there = [], []

    def on_window(noted):
        ready_after(noted)
        if noted.there >= 3 and not handles:
            handles.append(layer.register_forward_hook(lambda module, args, out: out * 1.0))
        there.append((bool(handles), noted.there))

    ready_after = ready_after_first_step(over)
    try:
        with caplog.at_level(logging.WARNING):
            noted = video(over, monkeypatch, on_window=on_window)
    finally:
        [handle.remove() for handle in handles]
    assert handles and noted.there <= 3 + 4 and "because there is a hook in the UNet" in caplog.text


def test_one_of_two_that_says_something_else_drops_out_alone(over, monkeypatch, client, caplog):
    import farm.window_worker

    bad = sorted(client.nthreads())[0]
    submit = farm.window_worker.WindowWorker.submit

    def moved(self, function, *args):
        if function is made_there and self.address == bad:
            args = (*args[:4], args[4] + 0.3, *args[5:])
        return submit(self, function, *args)

    monkeypatch.setattr(farm.window_worker.WindowWorker, "submit", moved)
    with caplog.at_level(logging.WARNING):
        noted = video(over, monkeypatch, on_window=ready_after_first_step(over))
    assert noted.there >= STEPS - 1
    assert caplog.text.count(f"the worker {bad} makes no windows, because it says something else (") == 1


def test_a_scheduler_that_is_gone_in_the_middle_of_handing_out(over, monkeypatch):
    import farm.window_worker

    submit, asked = farm.window_worker.WindowWorker.submit, []

    def failing(self, function, *args):
        asked.append(function)
        if function is made_there and asked.count(made_there) > 6:
            raise OSError("the scheduler is gone")
        return submit(self, function, *args)

    monkeypatch.setattr(farm.window_worker.WindowWorker, "submit", failing)
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over))
    assert noted.there + noted.here == 4 * STEPS and asked.count(made_there) > 6


def test_a_step_of_one_window_is_made_here_and_nothing_is_sent(over):
    call = GivenCall(ModelCall(RowLayout(4, 1, True), list(range(8)), 4), *[torch.zeros(8)] * 3)
    wait_until_ready(over)
    assert list(over([call], lambda call, model=None: call.x, CallFrames())) == [call.x]
    assert over._sent is None and (over.made, over.made_there) == (1, 0)
