"""The sampling scope where it depends on how the host was started and set."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from runs import frames, make, run, video

LONG_PROMPT = ", ".join(["a cat walking over the grass"] * 20)


def test_the_motion_module_goes_where_the_host_samples(pocket, monkeypatch):
    """With --use-cpu that is not the best device there is."""
    from modules import devices

    monkeypatch.setattr(devices, "get_optimal_device", lambda: torch.device("meta"))
    assert frames(steps=1).any()


def test_another_unet_in_the_place_of_the_models_own_is_refused(pocket, monkeypatch):
    """TensorRT and its like never come to the motion layers: a pile of unrelated pictures."""
    from modules import sd_unet

    monkeypatch.setattr(sd_unet, "current_unet", torch.nn.Identity())
    monkeypatch.setattr(sd_unet, "current_unet_option", SimpleNamespace(label="[TRT] tiny"))
    monkeypatch.setattr(sd_unet, "apply_unet", lambda option=None: None)
    with pytest.raises(Exception, match=r"but \[TRT\] tiny stands in for it; set .SD Unet. to None") as caught:
        frames()
    assert caught.value.status_code == 422


@pytest.mark.parametrize("batch_size", [16, 2], ids=["one window", "windows"])
def test_frames_that_wait_on_the_cpu_are_not_padded_by_the_host(pocket, monkeypatch, batch_size):
    """The host pads with the empty prompt on its own device, which does not go with conditions that wait elsewhere."""
    from modules import sd_samplers_cfg_denoiser

    request = {"prompt": LONG_PROMPT, "fields": {"batch_size": batch_size}}
    plain = frames(**request)
    padded = []
    original = sd_samplers_cfg_denoiser.CFGDenoiser.pad_cond_uncond
    monkeypatch.setattr(
        sd_samplers_cfg_denoiser.CFGDenoiser,
        "pad_cond_uncond",
        lambda self, cond, uncond: padded.append(cond) or original(self, cond, uncond),
    )
    same = frames(**request, override_settings={"pad_cond_uncond": True})
    assert np.array_equal(plain, same)
    assert bool(padded) == (batch_size == 16)


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
@pytest.mark.parametrize("long", ["0", "2"])
def test_a_prompt_of_another_length_on_the_way(pocket, field, long):
    """The frame at the key of the long prompt is that of the long prompt alone."""
    from modules import prompt_parser

    before = prompt_parser.reconstruct_cond_batch
    texts = {"0": "short", "2": "brief", long: LONG_PROMPT}
    travel = "\n".join(f"{frame}: {text}" for frame, text in texts.items())
    got, alone = (frames(**{field: prompt}, fields={"effect": 0.0}).astype(int) for prompt in (travel, LONG_PROMPT))
    distance = np.abs(got - alone).mean(axis=(1, 2, 3))
    assert distance[int(long)] < 0.5 < distance[2 - int(long)]
    assert prompt_parser.reconstruct_cond_batch is before


def test_prompts_joined_by_and_are_counted_by_the_prompts(pocket, monkeypatch):
    """InstructPix2Pix has two unconds for each frame; taken for prompts joined by AND, frames would be mixed up."""
    from modules import shared
    from motion_module.core.module.call_frames import CallFrames
    from motion_module.params import VideoParams
    from motion_module.webui.sampling.loan import Borrower, Loan
    from motion_module.windows import WindowPlan

    told, at = [], {"sampling_step": 0, "total_sampling_steps": 1}
    loan = Loan(Borrower(VideoParams(), None, 4, CallFrames(), lambda hires: (None, None), WindowPlan()))
    loan._sliding = SimpleNamespace(begin=lambda step, parts, layout_of: told.append(parts))
    text = shared.sd_model.cond_stage_model_empty_prompt
    for rows, prompts in ((8, 4), (12, 4), (12, 8)):
        cond, uncond = text.repeat(prompts, 1, 1), text.repeat(4, 1, 1)
        denoiser = SimpleNamespace(p=None, step=0, steps=1, total_steps=1)
        x = torch.zeros(rows, 4, 2, 2)
        called = SimpleNamespace(x=x, text_cond=cond, text_uncond=uncond, denoiser=denoiser, **at)
        loan.around_callbacks(lambda params: None)(called)
    assert told == [1, 1, 2]


@pytest.mark.parametrize("enable_hr", [False, True])
def test_freeinit_adds_its_passes_to_the_jobs_of_all_runs(pocket, monkeypatch, enable_hr):
    """X/Y/Z plot counts the jobs of all its cells before the first."""
    from modules import shared

    counted = []
    begin = shared.state.begin
    cells = 4
    jobs = cells * (2 if enable_hr else 1)

    def begin_with_cells(*args, **kwargs):
        begin(*args, **kwargs)
        shared.state.job_count = jobs
        shared.state.processing_has_refined_job_count = True

    monkeypatch.setattr(shared.state, "begin", begin_with_cells)
    monkeypatch.setattr(shared.state, "end", lambda: counted.append(shared.state.job_count))
    try:
        hires = {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": "Latent"} if enable_hr else {}
        run(make(animatediff=video(freeinit_enable=True, freeinit_iters=3), steps=1, **hires))
    finally:
        monkeypatch.undo()
        shared.state.end()
    assert counted == [jobs + 2 * (2 if enable_hr else 1)]
