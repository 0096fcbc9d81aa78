"""Values that travel, through whole runs: each frame is made as by a run in which the number is its own."""

import contextlib
import functools

import numpy as np
import pytest
from runs import HIRES, array, frames, make, run, video
from snapshot import differences, of_host

from motion_module.errors import UserError

STILL = {"model": "mm_tiny_v3.safetensors", "effect": 0.0}  # each frame by itself
WINDOWS = {"batch_size": 3, "overlap": 1, "windows_per_call": 2}


def same(one, other):
    """To rounding: a level of 255."""
    return one.shape == other.shape and np.abs(one.astype(int) - other.astype(int)).max() <= 1


@contextlib.contextmanager
def options(**values):
    from modules import shared

    before = {name: shared.opts.data.get(name) for name in values}
    shared.opts.data.update(values)
    try:
        yield
    finally:
        shared.opts.data.update(before)


@pytest.mark.parametrize("number", [{"effect": 0.5}, {"motion_scale": 1.7}, {"effect": 1.2, "motion_scale": 0.4}])
@pytest.mark.parametrize("others", [{}, {**WINDOWS, "closed_loop": "A", "stride": 2}], ids=["one window", "windows"])
def test_a_constant_makes_the_very_frames_of_the_number(pocket, number, others):
    travel = {f"{name}_travel": f"0: {value}, 3: {value}" for name, value in number.items()}
    wanted = frames(fields={**others, **number})
    assert np.array_equal(frames(fields={**others, **travel}), wanted)
    assert not np.array_equal(frames(fields=others), wanted)


@pytest.mark.parametrize("others", [{}, WINDOWS], ids=["one window", "windows"])
def test_frames_without_effect_are_still_and_the_others_move(pocket, others):
    travelling = frames(fields={**others, "video_length": 6, "effect_travel": "0: 0, 3: 1, hold"})
    still = frames(fields={**others, "video_length": 6, "effect": 0})
    assert np.array_equal(travelling[:3], still[:3])
    assert all(not np.array_equal(one, other) for one, other in zip(travelling[3:], still[3:], strict=True))


@pytest.mark.parametrize("others", [{}, WINDOWS], ids=["one window", "windows"])
@pytest.mark.parametrize("prompt", ["a red ball", "a red ball :0.7 AND a blue sky :1.3"], ids=["plain", "AND"])
def test_each_frame_has_its_own_cfg(pocket, others, prompt):
    fields = {**STILL, **others}
    travelling = frames(fields={**fields, "cfg_travel": "0: 2, 3: 8"}, prompt=prompt)
    for frame, scale in enumerate([2, 4, 6, 8]):
        assert same(travelling[frame], frames(fields=fields, prompt=prompt, cfg_scale=float(scale))[frame]), scale
    assert not same(travelling[3], frames(fields=fields, prompt=prompt, cfg_scale=7.0)[3])


@pytest.mark.parametrize("sampler", ["Euler a", "DDIM", "DDIM CFG++", "DPM++ 2M"])
def test_a_constant_cfg_is_the_number(pocket, sampler):
    asked = {"sampler_name": sampler, "cfg_scale": 3.5}
    wanted = frames(**asked)
    assert same(frames(fields={"cfg_travel": "0: 3.5"}, **{**asked, "cfg_scale": 7.0}), wanted)
    assert same(frames(fields={"cfg_travel": "0: 3.5"}, **{**asked, "cfg_scale": 1.0}), wanted)


@pytest.mark.parametrize(("tab", "more"), [("txt2img", HIRES), ("img2img", {}), ("txt2img", {})], ids=["hires", "img2img", "freeinit"])  # fmt: skip
def test_every_pass_has_it(pocket, tab, more):
    passes = {"freeinit_enable": True, "freeinit_iters": 2} if (tab, more) == ("txt2img", {}) else {}
    fields = {**STILL, **passes}
    travelling = frames(tab, {**fields, "cfg_travel": "0: 2, 2: 9, hold"}, **more)
    low, high = (frames(tab, fields, **more, cfg_scale=scale) for scale in (2.0, 9.0))
    if not passes:
        assert same(travelling, np.concatenate([low[:2], high[2:]]))
    constant = frames(tab, {**fields, "cfg_travel": "1: 2"}, **more)
    assert same(constant, low) and not same(travelling, low)


@pytest.mark.parametrize("scale", [7.0, 1.0])
@pytest.mark.parametrize("prompt", ["a red ball", "a red ball AND a blue sky :0.5"])
def test_steps_without_negative_prompt_stay_as_they_are(pocket, scale, prompt):
    asked = {"prompt": prompt, "cfg_scale": scale, "steps": 3}
    travels = {"cfg_travel": "0: 2, 3: 30"}
    with options(skip_early_cond=1.0):
        assert np.array_equal(frames(fields=travels, **asked), frames(**asked))
    with options(s_min_uncond_all=True):
        assert np.array_equal(
            frames(fields=travels, **asked, s_min_uncond=1000.0), frames(**asked, s_min_uncond=1000.0)
        )
    assert not same(frames(fields=travels, **asked), frames(**asked))


def of_an_extension(code, **names):
    """What a file of another extension defines."""
    exec(compile(code, "/webui/extensions/sd-webui-other-guidance/scripts/it.py", "exec"), names)
    return names


OTHER = of_an_extension("def weigh(self, x, *args, **kwargs):\n    return x[:4]\nclass Owner:\n    weigh = weigh\n")


def put_on_each_sampler(monkeypatch):
    """As a sampler is made (Neutral Prompt)."""
    from modules import sd_samplers

    create = sd_samplers.create_sampler

    def created(*args):
        sampler = create(*args)
        denoiser = sampler.model_wrap_cfg
        denoiser.combine_denoised = functools.partial(OTHER["weigh"], denoiser)
        return sampler

    monkeypatch.setattr(sd_samplers, "create_sampler", created)


def put_on_the_class(monkeypatch):
    """A method of the extension's script (CFG rescale)."""
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    monkeypatch.setattr(CFGDenoiser, "combine_denoised", OTHER["Owner"]().weigh)


def derive_a_class(monkeypatch):
    """(Dynamic Thresholding)"""
    from modules import sd_samplers

    create = sd_samplers.create_sampler

    def created(*args):
        sampler = create(*args)
        denoiser = sampler.model_wrap_cfg
        denoiser.__class__ = type("Custom", (type(denoiser),), {"combine_denoised": OTHER["weigh"]})
        return sampler

    monkeypatch.setattr(sd_samplers, "create_sampler", created)


@pytest.mark.parametrize("put", [put_on_each_sampler, put_on_the_class, derive_a_class])
def test_guidance_of_another_extension_is_named(pocket, monkeypatch, put):
    before = of_host()
    with monkeypatch.context() as patches:
        put(patches)
        with pytest.raises(
            UserError, match="^AnimateDiff: cfg_travel does not work beside sd-webui-other-guidance, which"
        ):
            run(make(animatediff=video(cfg_travel="0: 7, 3: 4")))
        assert len(run(make(animatediff=video(format=["Frame"]))).images) == 4, "without the field it is left alone"
    assert differences(before, of_host()) == []


def test_a_checkpoint_with_two_scales_is_refused(pocket, monkeypatch):
    from modules import shared

    monkeypatch.setattr(shared.sd_model, "cond_stage_key", "edit", raising=False)
    with pytest.raises(UserError, match="cfg_travel does not work with InstructPix2Pix"):
        run(make(animatediff=video(cfg_travel="0: 7")))


def test_afterwards_nothing_of_it_is_left(pocket, monkeypatch):
    from modules import sd_samplers

    made, create = [], sd_samplers.create_sampler
    monkeypatch.setattr(sd_samplers, "create_sampler", lambda *args: made.append(create(*args)) or made[-1])
    before = of_host()
    run(
        make(animatediff=video(cfg_travel="0: 7, 3: 4", motion_scale_travel="0: 1, 3: 2", effect_travel="0: 1, 3: 0.5"))
    )
    with pytest.raises(RuntimeError, match="in the middle"):
        run(make(animatediff=video(cfg_travel="0: 7, 3: 4"), cfg_scale=Breaks(7.0)))
    assert len(made) == 2
    for sampler in made:
        assert not {"combine_denoised", "forward"} & set(vars(sampler.model_wrap_cfg)) and "sample" not in vars(sampler)
    assert differences(before, of_host()) == []


class Breaks(float):
    """A CFG scale with which the host cannot count."""

    def __mul__(self, other):
        raise RuntimeError("in the middle")


def test_without_a_travel_nobody_is_in_the_way(pocket, monkeypatch):
    from motion_module.webui.sampling import frame_guidance

    monkeypatch.setattr(frame_guidance, "host", None)
    assert len(run(make(animatediff=video(format=["Frame"]))).images) == 4


def test_the_infotext_makes_the_same_video_again(pocket):
    from motion_module.webui.plan import infotext

    asked = {"cfg_travel": "0: 3; 3: 9", "motion_scale_travel": "0: 1\n2: 2\nhold", "effect_travel": [[0, 1], [3, 0.5]]}
    result = run(make(animatediff=video(**asked, format=["Frame"])))
    read = infotext.read(result.extra_generation_params["AnimateDiff"])
    assert {name: read[name] for name in asked} == {
        "cfg_travel": "0: 3, 3: 9",
        "motion_scale_travel": "0: 1, 2: 2, hold",
        "effect_travel": "0: 1, 3: 0.5",
    }
    assert np.array_equal(frames(fields=read), array(result.images))


@pytest.mark.parametrize("side", ["prompt", "negative_prompt"])
def test_a_prompt_that_holds_counts_until_the_next(pocket, side):
    fields = {**STILL, "travel": "hold"}
    held = frames(fields=fields, **{side: "1: a red ball\n3: a blue sky, tall, very long and with many words"})
    first = frames(fields=STILL, **{side: "a red ball"})
    last = frames(fields=STILL, **{side: "a blue sky, tall, very long and with many words"})
    assert same(held, np.concatenate([first[:3], last[3:]]))
    assert not same(
        held, frames(fields=STILL, **{side: "1: a red ball\n3: a blue sky, tall, very long and with many words"})
    )


def test_a_prompt_that_holds_in_a_closed_loop_holds_over_its_end(pocket):
    held = frames(fields={**STILL, "travel": "hold", "closed_loop": "R+P"}, prompt="1: a red ball\n3: a blue sky")
    first, last = (frames(fields=STILL, prompt=prompt) for prompt in ("a red ball", "a blue sky"))
    assert same(held, np.stack([last[0], first[1], first[2], last[3]]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"travel": "hold"}, "travel has no effect: no prompt travels."),
        ({"denoise_travel": "0: 0.5"}, "denoise_travel has no effect: txt2img starts from noise alone."),
        ({"effect_travel": "0: 1", "effect": 0.5}, "effect has no effect: effect_travel says it for each frame."),
    ],
)
def test_what_has_no_effect_is_said(pocket, fields, said):
    assert said in run(make(animatediff=video(**fields))).comments
