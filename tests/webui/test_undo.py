"""The host is the same before and after a run, whichever way the run ends, in both tabs."""

import numpy as np
import pytest
import torch
from neighbours import on_every_change
from runs import frames, make, pictures, run, runner_of, video
from snapshot import differences, of_host, of_p

TABS = ["txt2img", "img2img"]


class Stopped(BaseException):
    """Like KeyboardInterrupt, without stopping pytest should it escape."""


@pytest.fixture(params=TABS)
def tab(request, pocket):
    return request.param


@pytest.fixture
def unchanged(tab):
    """The host's snapshot and a plain picture must be the same after the test."""
    before, plain = of_host(), pictures(tab)
    yield
    assert differences(before, of_host()) == []
    assert np.array_equal(plain, pictures(tab))


def test_a_finished_run(tab, unchanged):
    p = make(tab, video())
    before = of_p(p)
    run(p)
    assert differences(before, of_p(p)) == []


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_off_before_and_after_is_bit_identical(pocket, version):
    before = pictures(batch_size=2)
    frames(fields={"model": f"mm_tiny_{version}.safetensors", "freeinit_enable": True, "freeinit_iters": 2})
    assert np.array_equal(before, pictures(batch_size=2))


def test_a_failure_at_every_change_undoes_those_before_it(tab, unchanged, monkeypatch):
    """Every other change on one tab, those between on the other; some errors are of the usual kind, some end the run."""
    errors = [RuntimeError("this is broken"), Stopped()]
    fields = video(model="mm_tiny_v1.safetensors", freeinit_enable=True, freeinit_iters=2)
    request = {"override_settings": {"batch_cond_uncond": False}, "steps": 1, "negative_prompt": "0: bad\n2: worse"}
    changes = 0

    def count():
        nonlocal changes
        changes += 1

    with monkeypatch.context() as patch:
        on_every_change(patch, count)
        run(make(tab, fields, **request))
    assert changes > 60  # 20 layers, their 20 call objects, the norms, p's attributes, alphas, model, options
    snapshot = of_host(values=False)  # the weights are compared once, at the end
    for failing in range(1 + TABS.index(tab), changes + 1, 2):
        left, error = failing, errors[failing // 2 % 2]

        def fail(error=error):
            nonlocal left
            left -= 1
            if left == 0:
                raise error

        p = make(tab, fields, **request)
        own = of_p(p)
        with monkeypatch.context() as patch:
            on_every_change(patch, fail)
            with pytest.raises((Exception, Stopped)) as caught:
                run(p)
        assert left <= 0
        assert caught.value is error or "this is broken" in str(caught.value)
        assert differences(own, of_p(p)) == [], f"change {failing}"
        assert differences(snapshot, of_host(values=False)) == [], f"change {failing}"
        error.with_traceback(None)  # it would hold the model


@pytest.mark.parametrize(
    "step",
    [
        "beginning.read_params",
        "beginning.FramePrompts",
        "beginning.changes_of_request",
        "beginning.module_choice.choose",
        "session.changes_of_plan",
    ],
)
def test_a_failure_in_a_step_that_prepares(tab, unchanged, monkeypatch, step):
    def fail(*args, **kwargs):
        raise OverflowError("this is broken")

    monkeypatch.setattr(f"motion_module.webui.run.{step}", fail)
    p = make(tab, video())
    own = of_p(p)
    with pytest.raises(Exception, match="this is broken") as caught:
        run(p)
    assert caught.value.status_code == 500
    assert differences(own, of_p(p)) == []


@pytest.mark.parametrize("error", [ArithmeticError("y"), ValueError("x"), KeyboardInterrupt(), Stopped()])
@pytest.mark.parametrize("call", [1, 2])
def test_a_failure_while_sampling(tab, unchanged, monkeypatch, error, call):
    from motion_module.core.module.layers import MotionModule

    forward, calls = MotionModule.forward, 0

    def failing(self, x):
        nonlocal calls
        calls += 1
        if calls == 22 * call:
            raise error
        return forward(self, x)

    monkeypatch.setattr(MotionModule, "forward", failing)
    p = make(tab, video(), steps=4)
    own = of_p(p)
    with pytest.raises(type(error)):
        run(p)
    assert differences(own, of_p(p)) == []
    error.with_traceback(None)  # it lives as long as all tests, and would hold the model


def test_not_a_number(tab, unchanged, monkeypatch):
    from motion_module.core.module.layers import MotionModule

    monkeypatch.setattr(MotionModule, "forward", lambda self, x: x * float("nan"))
    with pytest.raises(Exception, match="NaN"):
        run(make(tab, video()))


def test_an_interrupt(tab, unchanged, monkeypatch):
    from modules import shared
    from motion_module.core.module.layers import MotionModule

    forward, calls = MotionModule.forward, 0

    def interrupting(self, x):
        nonlocal calls
        calls += 1
        if calls == 22:
            shared.state.interrupt()
        return forward(self, x)

    monkeypatch.setattr(MotionModule, "forward", interrupting)
    result = run(make(tab, video(format=["GIF", "Frame"]), steps=5))
    shared.state.interrupted = False
    assert len(result.images) == 1 + 4


def test_a_failure_while_saving(tab, unchanged, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr("motion_module.webui.output.videos.save_videos", fail)
    p = make(tab, video())
    own = of_p(p)
    with pytest.raises(Exception, match="the disk is full") as caught:
        run(p)
    assert caught.value.status_code == 500
    assert differences(own, of_p(p)) == []


def test_a_failure_of_the_host_between_sampling_and_saving(tab, unchanged, monkeypatch):
    from modules import processing

    def fail(*args, **kwargs):
        raise RuntimeError("the VAE broke")

    monkeypatch.setattr(processing, "decode_latent_batch", fail)
    p = make(tab, video())
    own = of_p(p)
    with pytest.raises(RuntimeError, match="the VAE broke"):
        run(p)
    assert differences(own, of_p(p)) == []


def test_the_video_is_the_same_after_a_failure(tab, unchanged, monkeypatch):
    before = frames(tab)
    with monkeypatch.context() as patch:
        patch.setattr("motion_module.core.module.placement.inserted", None)
        with pytest.raises(TypeError):
            run(make(tab, video()))
    assert np.array_equal(before, frames(tab))


def test_nothing_is_held_after_a_run(pocket):
    import gc
    import weakref

    p = make("txt2img", video())
    run(p)
    seen = weakref.ref(p)
    del p
    gc.collect()
    assert seen() is None
    assert runner_of("txt2img").scripts


def test_memory_does_not_grow_from_run_to_run(pocket):
    import gc

    def tensors():
        gc.collect()
        return sum(t.numel() for t in gc.get_objects() if torch.is_tensor(t))

    frames()
    first = tensors()
    for _ in range(3):
        frames()
    assert tensors() <= first
