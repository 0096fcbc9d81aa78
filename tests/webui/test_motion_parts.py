"""Stretched positions, the effect in each level and the steps with motion, through whole runs."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from runs import HIRES, array, frames, make, pictures, run, video
from snapshot import differences, of_host

from motion_module.errors import ParamError, UserError
from motion_module.settings import KEEP
from motion_module.step_range import StepRange

V1, V2, V3 = (f"mm_tiny_{kind}.safetensors" for kind in ("v1", "v2", "v3"))
WINDOWS = {"batch_size": 3, "overlap": 1}
PASSES = {
    "one window": ("txt2img", {}, {}),
    "windows": ("txt2img", {**WINDOWS, "windows_per_call": 2}, {}),
    "hires": ("txt2img", WINDOWS, HIRES),
    "img2img": ("img2img", {}, {"steps": 3}),
    "FreeInit": ("txt2img", {"freeinit_enable": True, "freeinit_iters": 2}, {}),
}
passes = pytest.mark.parametrize("asked", PASSES.values(), ids=list(PASSES))
LAYERS = {V1: 20, V2: 21, V3: 20}


def said(**fields):
    return run(make(animatediff=video(**fields))).comments


# PE stretch


@passes
def test_a_stretch_that_is_not_needed_changes_no_bit(pocket, asked):
    tab, fields, request = asked
    assert np.array_equal(frames(tab, {**fields, "pe_stretch": 4}, **request), frames(tab, fields, **request))


@passes
def test_a_stretch_of_fewer_positions_is_another_motion(pocket, asked):
    tab, fields, request = asked
    assert not np.array_equal(frames(tab, {**fields, "pe_stretch": 2}, **request), frames(tab, fields, **request))


@pytest.mark.parametrize(("model", "learnt"), [(V1, 24), (V2, 32), (V3, 32)])
def test_a_context_beyond_what_is_learnt(pocket, model, learnt):
    fields = {"model": model, "video_length": learnt + 2, "batch_size": learnt + 2}
    with pytest.raises(
        ParamError, match=f"batch_size is {learnt + 2}; {model} sees {learnt} frames at most: set it to"
    ):
        run(make(animatediff=video(**fields), steps=1))
    result = run(make(animatediff=video(**fields, pe_stretch=learnt, format=["Frame"]), steps=1))
    assert len(result.images) == learnt + 2
    in_windows = frames(fields={**fields, "batch_size": learnt}, steps=1)
    assert not np.array_equal(array(result.images), in_windows)


def test_what_is_not_stretched_is_said(pocket):
    assert "pe_stretch has no effect: the motion module sees 4 frames at once, which are not more." in said(
        pe_stretch=16
    )
    line = f"pe_stretch is 25, but {V1} has learnt 24 positions; all are spread."
    longer = {"model": V1, "video_length": 26, "batch_size": 26}
    comments = run(make(animatediff=video(**longer, pe_stretch=25), steps=1)).comments
    assert line in comments and "has no effect" not in comments


# Effect by level


@passes
def test_the_same_number_in_each_level_is_the_effect(pocket, asked):
    tab, fields, request = asked
    by_level = frames(tab, {**fields, "effect_blocks": "0.5, 0.5, 0.5, 0.5"}, **request)
    assert np.array_equal(by_level, frames(tab, {**fields, "effect": 0.5}, **request))


@pytest.mark.parametrize(("levels", "effect"), [("0 0 0 0", 0.0), ([1] * 9, 1.0)])
def test_none_of_it_and_all_of_it(pocket, levels, effect):
    assert np.array_equal(frames(fields={"effect_blocks": levels}), frames(fields={"effect": effect}))


def test_it_multiplies_the_effect_and_its_travel(pocket):
    halves = "0.5, 0.5, 0.5, 0.5"
    wanted = frames(fields={"effect": 0.6})
    assert np.array_equal(frames(fields={"effect": 1.2, "effect_blocks": halves}), wanted)
    travelling = frames(fields={**WINDOWS, "effect_travel": "0: 0, 3: 1, hold", "effect_blocks": halves})
    assert np.array_equal(travelling, frames(fields={**WINDOWS, "effect_travel": "0: 0, 3: 0.5, hold"}))


def test_four_numbers_are_nine(pocket):
    four = frames(fields={"effect_blocks": "1, 0.5, 0.2, 0"})
    assert np.array_equal(four, frames(fields={"effect_blocks": [1, 0.5, 0.2, 0, 0, 0, 0.2, 0.5, 1]}))
    assert not np.array_equal(four, frames(fields={"effect_blocks": [1, 0.5, 0.2, 0, 0.5, 0, 0.2, 0.5, 1]}))
    assert not np.array_equal(four, frames(fields={"effect_blocks": "0, 0.2, 0.5, 1"}))


def test_sdxl_has_three_levels(pocket_xl):
    sdxl = {"model": "mm_tiny_sdxl.safetensors"}
    wanted = frames(fields={**sdxl, "effect": 0.5})
    assert np.array_equal(frames(fields={**sdxl, "effect_blocks": "0.5 0.5 0.5"}), wanted)
    assert np.array_equal(frames(fields={**sdxl, "effect_blocks": [0.5] * 7}), wanted)
    with pytest.raises(ParamError, match="effect_blocks is '1, 1, 1, 1'; for a UNet of 3 levels allowed is nothing, 3"):
        run(make(animatediff=video(**sdxl, effect_blocks="1 1 1 1")))


# Steps with motion


@pytest.fixture
def seen(pocket, monkeypatch):
    """What the host has said of its steps: for each call of the denoiser, and for each call of a motion layer."""
    from modules import script_callbacks
    from motion_module.core.module.layers import TemporalTransformer

    told = SimpleNamespace(now=None, denoiser=[], layers=[])

    def note(params):
        told.now = (params.denoiser.p.is_hr_pass, params.sampling_step, params.total_sampling_steps)
        told.denoiser.append(told.now)

    forward = TemporalTransformer.forward
    monkeypatch.setattr(TemporalTransformer, "forward", lambda *args: told.layers.append(told.now) or forward(*args))
    script_callbacks.on_cfg_denoiser(note)
    yield told
    script_callbacks.remove_callbacks_for_function(note)


def expected(told, start, end, layers, calls=1):
    """Every layer once in each call of the UNet of those denoiser calls that are in the range."""
    acting = [step for step in told.denoiser if StepRange(start, end).holds(*step[1:])]
    return Counter({step: times * layers * calls for step, times in Counter(acting).items()})


SAMPLERS = ["DPM++ 2M", "DPM++ SDE", "Heun", "Restart", "UniPC", "DDIM", "PLMS", "DPM adaptive"]
RANGES = [(0.0, 1.0), (0.2, 0.4), (0.0, 0.0), (0.4, 1.0)]


@pytest.mark.parametrize(
    ("sampler", "start", "end"), [*(("Euler", *of) for of in RANGES), *((name, 0.2, 0.4) for name in SAMPLERS)]
)
def test_layers_are_called_in_the_range_alone(seen, sampler, start, end):
    run(make(animatediff=video(motion_start=start, motion_end=end), steps=5, sampler_name=sampler))
    assert Counter(seen.layers) == expected(seen, start, end, LAYERS[V2])
    everywhere = (start, end) == (0, 1)
    assert (len(seen.layers) == len(seen.denoiser) * LAYERS[V2]) == everywhere and seen.layers


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.4), (0.25, 0.75), (0.5, 0.5), (0.9, 1.0)])
def test_a_control_unit_with_the_same_numbers_acts_in_the_same_steps(seen, start, end):
    from modules import script_callbacks
    from scripts.hook import UnetHook

    unit = SimpleNamespace(start_guidance_percent=start, stop_guidance_percent=end, guidance_stopped=False)
    hook, acting = UnetHook(), set()
    hook.control_params = [unit]

    def as_controlnet(params):
        hook.guidance_schedule_handler(params)
        if not unit.guidance_stopped:
            acting.add(params.sampling_step)

    script_callbacks.on_cfg_denoiser(as_controlnet)
    try:
        run(make(animatediff=video(motion_start=start, motion_end=end), steps=9))
    finally:
        script_callbacks.remove_callbacks_for_function(as_controlnet)
    assert {step for _, step, _ in seen.layers} == acting


def test_each_pass_counts_its_own_steps(seen):
    run(make(animatediff=video(**WINDOWS, motion_end=0.4), steps=5, **{**HIRES, "hr_second_pass_steps": 4}))
    windows = 2
    assert Counter(seen.layers) == expected(seen, 0, 0.4, LAYERS[V2], windows)
    assert {hires for hires, *_ in seen.layers} == {False, True}
    assert {(hires, steps) for hires, _, steps in seen.denoiser} == {(False, 5), (True, 4)}


def test_img2img_counts_the_steps_that_it_does(seen):
    run(make("img2img", video(motion_start=0.5), steps=10, denoising_strength=0.4))
    assert {steps for *_, steps in seen.denoiser} == {5}
    assert {step for _, step, _ in seen.layers} == {3}, "the last of five, of which the host says 3"
    assert Counter(seen.layers) == expected(seen, 0.5, 1, LAYERS[V2])


def test_freeinit_counts_anew_each_time(seen):
    run(make(animatediff=video(freeinit_enable=True, freeinit_iters=2, motion_start=0.5), steps=4))
    assert Counter(seen.layers) == expected(seen, 0.5, 1, LAYERS[V2]) == Counter({(False, 2, 4): 2 * LAYERS[V2]})


@pytest.mark.parametrize("settings", [{}, {"batch_cond_uncond": False}], ids=["together", "apart"])
def test_both_sides_of_the_guidance_rest_together(seen, settings):
    calls = 1 if not settings else 2
    request = {"steps": 5, "override_settings": settings}
    run(make(animatediff=video(motion_start=0.2, motion_end=0.4), **request))
    assert Counter(seen.layers) == expected(seen, 0.2, 0.4, LAYERS[V2], calls)


@passes
def test_without_any_step_it_is_a_video_without_effect(pocket, asked):
    tab, fields, request = asked
    fields = {**fields, "model": V3}
    resting = frames(tab, {**fields, "motion_start": 1.0}, **request)
    assert np.array_equal(resting, frames(tab, {**fields, "effect": 0.0}, **request))
    assert not np.array_equal(resting, frames(tab, fields, **request))


@pytest.mark.parametrize("model", [V1, V2, V3])
@pytest.mark.parametrize(
    "fields", [{}, {"effect_travel": "0: 0.5, 3: 1", "pe_stretch": 2}], ids=["plain", "travelling"]
)
def test_at_rest_the_frames_are_plain_pictures(pocket, model, fields):
    """Also with v1, whose norms over frames are the UNet's own then; the noise schedule is that of the run."""
    request = {"steps": 3, "override_settings": {"animatediff_alpha_schedule": KEEP}}
    resting = frames(fields={**fields, "model": model, "motion_start": 1.0}, **request)
    assert np.array_equal(resting, pictures(batch_size=4, steps=3))


def test_a_range_in_the_middle_is_neither_one_nor_the_other(pocket):
    all_, none, some = (
        frames(fields={"model": V1, **fields}, steps=5)
        for fields in ({}, {"motion_start": 1.0}, {"motion_start": 0.2, "motion_end": 0.4})
    )
    assert not np.array_equal(some, all_) and not np.array_equal(some, none)


def test_frozen_frames_stay_while_it_rests(pocket):
    from motion_module.webui.plan import infotext

    fields = {"hold_pictures": True, "motion_end": 0.0}
    result = run(make("img2img", video(**fields, format=["Frame"]), steps=4))
    still = run(make("img2img", video(hold_pictures=True, effect=0.0, format=["Frame"]), steps=4))
    assert np.array_equal(array(result.images)[0], array(still.images)[0])
    assert infotext.read(result.extra_generation_params["AnimateDiff"])["motion_end"] == 0


def test_none_of_the_steps_is_said(pocket):
    line = "None of the 2 steps lies between motion_start and motion_end: each frame is made by itself."
    assert line in said(motion_start=1.0)
    assert "None of the" not in said(motion_start=0.0) and "None of the" not in said(motion_end=0.0)


def test_afterwards_nothing_of_it_is_left(pocket):
    fields = {"model": V1, "pe_stretch": 2, "effect_blocks": "1, 0.5, 0, 0", "motion_start": 0.3, "motion_end": 0.6}
    wanted, before = frames(fields={"model": V1}), of_host()
    frames(fields=fields)
    with pytest.raises(UserError, match="cfg_travel does not work with InstructPix2Pix"):
        broken_off(fields)
    assert differences(before, of_host()) == []
    assert np.array_equal(frames(fields={"model": V1}), wanted)


def broken_off(fields):
    """A run that ends in the middle of its loan."""
    from modules import shared

    shared.sd_model.cond_stage_key, key = "edit", getattr(shared.sd_model, "cond_stage_key", "")
    try:
        run(make(animatediff=video(**fields, cfg_travel="0: 7")))
    finally:
        shared.sd_model.cond_stage_key = key


def test_the_infotext_makes_the_same_video_again(pocket):
    from motion_module.webui.plan import infotext

    asked = {"pe_stretch": 2, "effect_blocks": [1, 0.5, 0.25, 0], "motion_start": 0.2, "motion_end": 0.6}
    result = run(make(animatediff=video(**asked, format=["Frame"]), steps=4))
    read = infotext.read(result.extra_generation_params["AnimateDiff"])
    assert {name: read[name] for name in asked} == {**asked, "effect_blocks": "1, 0.5, 0.25, 0"}
    assert np.array_equal(frames(fields=read, steps=4), array(result.images))
