"""The windows of one video over Dask's workers, which die, are slow, or say something else: the video is the same."""

import logging
import os
import signal
import time
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from runs import frames

from farm.cluster import workers
from farm.shared_calls import SharedCalls
from farm.windows import OverWorkers
from motion_module.core.denoising import sliding
from motion_module.core.denoising.model_calls import windows_made_by

LONG = {"video_length": 64, "batch_size": 8, "overlap": 2}  # 11 windows
SHORT = {"video_length": 26, "batch_size": 8, "overlap": 2}  # 4 windows
STEPS = 5


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


def wait_until_ready(over):
    """As a video of more steps would."""
    over._warm()
    for future in over._warming.values():
        future.result(timeout=300)
    if over._sent is not None and over._sent.agreed is None:
        for future in over._sent.ready:
            future.result(timeout=300)
        over._sent.probe.result(timeout=300)


def kill_one(client):
    pid = client.run(os.getpid, workers=[next(iter(client.nthreads()))])
    os.kill(*pid.values(), signal.SIGKILL)


def ready_after_first_step(over):
    def on_window(noted):
        if over._sent is None or over._sent.agreed is None:
            wait_until_ready(over)

    return on_window


def test_two_workers_make_windows_and_the_frames_are_the_same(over, monkeypatch):
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over))
    assert noted.there + noted.here == 4 * STEPS and noted.there >= STEPS and noted.here >= STEPS
    sent = over._sent
    assert video(over, monkeypatch).there >= STEPS and over._sent.model is sent.model, "they hold it from before"


def test_one_is_killed_in_a_step(over, monkeypatch, client):
    killed = []

    def on_window(noted):
        ready_after_first_step(over)(noted)
        if noted.there == 5 and not killed:
            killed.append(kill_one(client))

    noted = video(over, monkeypatch, on_window=on_window, fields=LONG)
    assert killed and noted.there > 20 and noted.there + noted.here == 11 * STEPS
    client.wait_for_workers(2, timeout=120)


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
    assert noted.there == 0 and "because a worker says something else (" in caplog.text


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
    assert (
        caplog.text.count("its windows are made on this machine, because a worker could not make one (TypeError") == 1
    )


def test_a_late_window_is_made_here(over, monkeypatch, client):
    import farm.shared_calls

    monkeypatch.setattr(farm.shared_calls, "PATIENT", 0.5)
    monkeypatch.setattr(farm.shared_calls, "made_there", _asleep)
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=2)
    assert noted.here == 8 and noted.there == 0
    client.restart()


def _asleep(model, *given):
    time.sleep(600)


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
            noted = video(over, monkeypatch, steps=2)
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
    take_back = SharedCalls.take_back
    monkeypatch.setattr(SharedCalls, "take_back", lambda self: ended.append(self) or take_back(self))
    video(over, monkeypatch, on_window=ready_after_first_step(over), steps=3)
    assert ended and not any(shared._there for shared in ended)


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
    noted = video(over, monkeypatch, on_window=ready_after_first_step(over), steps=3, fields={**LONG, "batch_size": 4})
    assert noted.there > 20 and max(most) <= 2 * 2 + 4
