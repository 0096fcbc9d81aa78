"""Windows that remember, and FreeNoise's order in what samplers add: through the host, with what else a run may have."""

import sys

import numpy as np
import pytest
from runs import array, make, run, video
from snapshot import differences, of_host

from motion_module.errors import UserError
from motion_module.webui.sampling import loan, noise_order

APART = {"video_length": 9, "batch_size": 3, "overlap": 0, "schedule": "static"}
ALIKE = 2  # levels of 255


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


def frames(fields, tab="txt2img", **request):
    made = run(make(tab, video(**{"format": ["Frame"], **APART, **fields}), **{"steps": 1, **request}))
    return array(made.images).astype(int)


def far(one, other):
    return np.abs(one - other).max()


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({}, {}),
        ({"windows_per_call": 2, "model": "mm_tiny_v1.safetensors"}, {}),
        ({"schedule": "uniform"}, {"negative_prompt": "rain"}),
        ({}, {"prompt": "a cat AND a dog :0.7", "cfg_scale": 4}),
        ({}, {"override_settings": {"batch_cond_uncond": False}}),
        ({"freenoise_enable": True}, {"sampler_name": "DPM++ 2M"}),
        ({}, {"cfg_scale": 1}),
    ],
    ids=str,
)
def test_where_all_is_noise_the_later_windows_are_the_first_one(fields, request_):
    """One step from pure noise at full weight: whatever the noise, each window shows what the first one shows."""
    request_ = {"sampler_name": "Euler", **request_}
    plain = frames(fields, **request_)
    found = frames({**fields, "remember": 1.0}, **request_)
    assert far(plain[3:6], plain[:3]) > 20
    assert far(found[:3], plain[:3]) <= ALIKE and max(far(found[3:6], found[:3]), far(found[6:], found[:3])) <= ALIKE


@pytest.mark.parametrize(
    "request_",
    [
        {"sampler_name": "DDIM"},
        {"sampler_name": "Heun"},
        {"sampler_name": "LCM"},
        {"sampler_name": "Euler a", "enable_hr": True, "denoising_strength": 0.5, "hr_second_pass_steps": 2},
    ],
    ids=lambda request_: request_["sampler_name"],
)
def test_later_windows_come_nearer_to_the_first_one(request_):
    plain, found = (frames({"remember": weight}, steps=3, **request_) for weight in (0.0, 0.9))
    assert far(found[:3], plain[:3]) <= ALIKE
    assert np.abs(found[3:6] - found[:3]).mean() < 0.9 * np.abs(plain[3:6] - plain[:3]).mean()


def test_freeinit_and_img2img_with_it():
    found = frames({"remember": 1.0, "freeinit_enable": True, "freeinit_iters": 2}, sampler_name="Euler")
    assert max(far(found[3:6], found[:3]), far(found[6:], found[:3])) <= ALIKE
    weights = [frames({"remember": weight}, "img2img", denoising_strength=0.5, steps=4) for weight in (0.0, 1.0)]
    assert np.isfinite(weights[1]).all() and far(weights[1][4:], weights[0][4:]) > ALIKE


def test_it_costs_no_call_of_the_model(monkeypatch):
    from motion_module.core.denoising.sliding import SlidingModel

    calls = []
    call = SlidingModel._make
    monkeypatch.setattr(SlidingModel, "_make", lambda self, given: calls.append(1) or call(self, given))
    counts = []
    for weight in (0.0, 0.5):
        frames({"remember": weight, "overlap": 2}, steps=2)
        counts.append(len(calls))
        calls.clear()
    assert counts[0] == counts[1] > 2


def test_without_it_nothing_is_computed(monkeypatch):
    def used(*_):
        pytest.fail("something was computed")

    monkeypatch.setattr(loan, "Memory", used)
    monkeypatch.setattr(noise_order, "free_noise", used)
    monkeypatch.setattr(type(noise_order.host), "noise_of_steps", used)
    assert len(frames({})) == 9


def test_one_window_is_unchanged_to_the_bit():
    alone = {"video_length": 3}
    assert far(frames({**alone, "remember": 1.0}), frames(alone)) == 0


def test_a_video_that_goes_on_remembers_the_window_in_which_it_does(tmp_path):
    from PIL import Image

    for number in range(5):
        Image.new("RGB", (64, 64), (30 * number, 40, 200)).save(tmp_path / f"{number}.png")
    fields = {"continue_from": str(tmp_path), "video_length": 11, "batch_size": 4, "overlap": 1}
    plain, found = (frames({**fields, "remember": weight}, steps=2) for weight in (0.0, 1.0))
    assert far(found[:6], plain[:6]) <= ALIKE and far(found[7:], plain[7:]) > ALIKE


def trees():
    return sys.modules["k_diffusion.sampling"].BrownianTreeNoiseSampler


@pytest.mark.parametrize("fails", [False, True])
def test_what_samplers_draw_from_is_given_back(monkeypatch, fails):
    from motion_module.core.denoising import noise

    before, tree = of_host(values=False), trees()
    seen = []
    p = make("txt2img", video(**APART, freenoise_enable=True), steps=2, sampler_name="DPM++ 2M SDE")
    order = noise.free_noise

    def watched(values, *args):
        seen.append(trees() is not tree)
        if fails and any(seen):
            raise UserError("out of noise")
        order(values, *args)

    monkeypatch.setattr(noise_order, "free_noise", watched)
    if fails:
        with pytest.raises(UserError, match="out of noise"):
            run(p)
    else:
        run(p)
    assert seen[0] is False and any(seen), "the noise that sampling begins with, then that of its steps"
    assert trees() is tree and "next" not in vars(p.rng)
    assert differences(before, of_host(values=False)) == []


def test_the_infotext_asks_for_the_same_again():
    from modules import infotext_utils
    from motion_module.webui.plan import infotext

    made = run(make("txt2img", video(**APART, remember=0.25, format=["Frame"]), steps=1))
    read = infotext.read(infotext_utils.parse_generation_parameters(made.infotexts[0])["AnimateDiff"])
    assert read["remember"] == 0.25
