"""A denoising strength that travels: each frame of img2img begins where its own strength would have begun."""

import numpy as np
import pytest
import torch
from PIL import Image
from runs import array, make, run, video

from motion_module.errors import ParamError
from motion_module.wording import for_client

FRAMES = 6
RED = Image.new("RGB", (64, 64), (200, 60, 30))


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


def frames(travel="", fields=None, **request):
    asked = {"video_length": FRAMES, "format": ["Frame"], "denoise_travel": travel, **(fields or {})}
    request = {"init_images": [RED] * FRAMES, "steps": 8, **request}
    return array(run(make("img2img", video(**asked), **request)).images).astype(int)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "DPM++ 2M", "Euler a"])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_same_for_all_is_the_number(monkeypatch, sampler, fixed):
    from modules import shared

    monkeypatch.setitem(shared.opts.data, "img2img_fix_steps", fixed)
    plain = frames(denoising_strength=0.6, sampler_name=sampler)
    assert np.array_equal(frames("0: 0.6", denoising_strength=0.2, sampler_name=sampler), plain)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "DPM++ 2M", "Euler a", "Heun"])
def test_what_is_0_stays_and_the_rest_goes_farther_the_higher(sampler):
    found = frames("0: 0, 5: 0.9", sampler_name=sampler)
    kept = frames("0: 0", sampler_name=sampler)
    away = np.abs(found - kept).mean(axis=(1, 2, 3))
    assert away[0] <= 1 and away[-1] == max(away) and away[4] > away[1]


@pytest.mark.parametrize(
    "fields", [{"video_length": 20, "batch_size": 8, "overlap": 2}, {"windows_per_call": 2, "batch_size": 4}], ids=str
)
def test_in_windows(fields):
    count = fields.get("video_length", FRAMES)
    found = frames("0: 0.8, 1: 0", fields, init_images=[RED] * count)
    still = frames("0: 0", fields, init_images=[RED] * count)
    assert np.abs(found[1:] - still[1:]).max() <= 1 and np.abs(found[0] - still[0]).mean() > 3


def test_a_frame_alone_is_the_picture_of_its_own_strength(monkeypatch):
    """Where frames do not look at each other, a frame that begins later is what it is with its own strength."""
    asked = {"effect": 0}
    low = frames(fields=asked, denoising_strength=0.375)
    found = frames("0: 0.375, 5: 0.75, hold", asked)
    high = frames(fields=asked, denoising_strength=0.75)
    assert np.abs(found[5] - high[5]).max() <= 1
    assert np.abs(found[:5] - low[:5]).max() <= 1, "from the noise level of its own start"


def test_the_hosts_strength_is_the_highest_and_comes_back():
    p = make("img2img", video(denoise_travel="0: 0.2, 3: 0.7", format=["Frame"]), denoising_strength=0.5, steps=8)
    result = run(p)
    assert "Denoising strength: 0.7" in result.infotexts[0] and p.denoising_strength == 0.5
    assert 'denoise_travel: "0: 0.2, 3: 0.7"' in result.infotexts[0].replace('\\"', '"')


def test_the_plan_counts_the_steps_of_the_highest():
    from motion_module.webui.routes.planned import planned

    p = make("img2img", video(denoise_travel="0: 0.2, 3: 0.7"), denoising_strength=0.1, steps=10)
    assert planned(p)["steps"] == [8]


@pytest.mark.parametrize(
    ("travel", "said"),
    [
        ("0: 2", "a number from 0 to 1"),
        ("9: 0.5", "frame 9 is beyond the last frame, 5, of 6 frames"),
        ("much", "is no key"),
    ],
)
def test_what_is_wrong_is_a_sentence(travel, said):
    with pytest.raises(ParamError) as refused:
        frames(travel)
    sentence = for_client(refused.value.whole)
    assert "denoise_travel" in sentence and said in sentence, sentence


def test_without_it_nothing_is_computed(monkeypatch):
    from motion_module.core.denoising import frozen

    monkeypatch.setattr(frozen.FrozenFrames, "answer", lambda *_: pytest.fail("something is frozen"))
    assert frames().shape == (FRAMES, 64, 64, 3) and torch.is_grad_enabled()


def test_an_interrupt_leaves_waiting_frames_as_they_are(monkeypatch):
    """Windows of waiting frames alone are left out, and there is nothing to be seen of them."""
    from modules import script_callbacks, shared

    still = frames("0: 0", {"video_length": 20, "batch_size": 4, "overlap": 1}, init_images=[RED] * 20)
    monkeypatch.setitem(shared.opts.data, "save_incomplete_images", True)
    script_callbacks.on_cfg_denoiser(lambda params: shared.state.interrupt() if params.sampling_step == 1 else None)
    try:
        fields = {"video_length": 20, "batch_size": 4, "overlap": 1}
        found = frames("0: 0.9, 4: 0.1", fields, init_images=[RED] * 20)
    finally:
        script_callbacks.callback_map["callbacks_cfg_denoiser"].pop()
    assert np.abs(found[8:] - still[8:]).max() <= 2
