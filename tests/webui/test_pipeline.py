"""The whole pipeline against a direct loop over the same modules, with no host and no hook in between."""

import copy
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from einops import rearrange
from runs import REQUEST, frames, make, pictures, run, video

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import load_motion_model

FRAMES, STEPS, SCALE = 16, 2, 7.0


def layers_by_hand(unet, motion):
    """The places of docs/behaviour.md 1.3, written out."""
    down = [module for level in motion.down_blocks for module in level.motion_modules]
    up = [module for level in motion.up_blocks for module in level.motion_modules]
    for block, layer in zip([1, 2, 4, 5, 7, 8, 10, 11][: len(down)], down, strict=True):
        unet.input_blocks[block].append(layer)
    for block, layer in enumerate(up):
        at = len(unet.output_blocks[block]) - (block in (2, 5, 8) and block + 1 < len(up))
        unet.output_blocks[block].insert(at, layer)
    if hasattr(motion, "mid_block"):
        unet.middle_block.insert(2, motion.mid_block.motion_modules[0])


def norms_by_hand(unet, frames_in_copy):
    for module in unet.modules():
        if type(module).__name__ == "GroupNorm32":

            def forward(x, norm=module):
                x = rearrange(x, "(b f) c h w -> b c f h w", f=frames_in_copy)
                x = torch.nn.functional.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
                return rearrange(x, "b c f h w -> (b f) c h w")

            module.forward = forward


def linear():
    return torch.linspace(0.00085, 0.012, 1000, dtype=torch.float32)


def square_root_linear():
    return torch.linspace(0.00085**0.5, 0.020**0.5, 1000, dtype=torch.float32) ** 2


def schedule_by_hand(betas):
    """Noise levels and timesteps of the steps, on the schedule of the motion modules."""
    from k_diffusion.external import DiscreteSchedule

    alphas_cumprod = torch.cumprod(1 - betas, 0)
    schedule = DiscreteSchedule(((1 - alphas_cumprod) / alphas_cumprod) ** 0.5, quantize=False)
    sigmas = schedule.get_sigmas(STEPS)
    return sigmas, schedule.sigma_to_t(sigmas[:-1])


def told_by_hand(sd_model):
    """What the UNet is told by the prompt and by the negative prompt of each frame: its arguments besides x and t."""
    from modules.prompt_parser import SdConditioning

    for key, is_negative in (("prompt", False), ("negative_prompt", True)):
        size = {"width": REQUEST["width"], "height": REQUEST["height"]}
        cond = sd_model.get_learned_conditioning(SdConditioning([REQUEST[key]], is_negative, **size))
        parts = {"context": cond["crossattn"], "y": cond["vector"]} if sd_model.is_sdxl else {"context": cond}
        yield {name: value.repeat(FRAMES, *[1] * (value.dim() - 1)) for name, value in parts.items()}


def latents_by_hand(path, sd_model, together, betas, over_frames):
    unet = copy.deepcopy(sd_model.model.diffusion_model)
    motion = load_motion_model(path, "cpu", torch.float32)
    call = CallFrames(frames=FRAMES)
    for layer in motion.layers():
        layer.call = call
    layers_by_hand(unet, motion)
    if over_frames:
        norms_by_hand(unet, FRAMES)
    cond, uncond = told_by_hand(sd_model)
    both = {name: torch.cat([cond[name], uncond[name]]) for name in cond}
    noise = [torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(REQUEST["seed"] + i)) for i in range(FRAMES)]
    sigmas, times = schedule_by_hand(betas)
    x = torch.stack(noise) * sigmas[0]
    for i in range(STEPS):
        scaled, t = x / (sigmas[i] ** 2 + 1) ** 0.5, times[i].expand(FRAMES)
        if together:
            eps = unet(scaled.repeat(2, 1, 1, 1), t.repeat(2), **both)
            eps_cond, eps_uncond = eps.chunk(2)
        else:
            eps_cond, eps_uncond = unet(scaled, t, **cond), unet(scaled, t, **uncond)
        eps = eps_uncond + SCALE * (eps_cond - eps_uncond)
        x = x + eps * (sigmas[i + 1] - sigmas[i])
    return x


def latents_of_run(monkeypatch, path, **options):
    from modules import processing

    seen, decode = [], processing.decode_latent_batch

    def recording(model, batch, *args, **kwargs):
        seen.append(batch.clone())
        return decode(model, batch, *args, **kwargs)

    monkeypatch.setattr(processing, "decode_latent_batch", recording)
    run(make(animatediff=video(model=path.name, video_length=FRAMES), steps=STEPS, override_settings=options))
    return seen[0]


@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_sixteen_frames_agree_with_a_direct_loop(pocket, tiny, monkeypatch, version, together):
    agree_with_a_direct_loop(monkeypatch, tiny[version], together, linear(), version == "v1")


@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
@pytest.mark.parametrize("kind", ["sdxl", "hotshot", "hotshot_own"])
def test_sixteen_frames_of_sdxl_agree_with_a_direct_loop(pocket_xl, monkeypatch, kind, together):
    over_frames = kind != "sdxl"
    schedule = {"animatediff_alpha_schedule": "linear"} if over_frames else {}
    betas = linear() if over_frames else square_root_linear()
    agree_with_a_direct_loop(monkeypatch, pocket_xl[kind], together, betas, over_frames, **schedule)


def agree_with_a_direct_loop(monkeypatch, path, together, betas, over_frames, **options):
    from modules import shared

    with torch.no_grad():
        want = latents_by_hand(path, shared.sd_model, together, betas, over_frames)
    got = latents_of_run(monkeypatch, path, batch_cond_uncond=together, **options)
    size = want.std()  # random weights do not keep latents at 1; rounding grows with them
    assert size > 0.1
    torch.testing.assert_close(got / size, want / size, atol=3e-4, rtol=1e-4)


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_together_and_apart_give_the_same_frames(pocket, tiny, monkeypatch, version):
    together = latents_of_run(monkeypatch, tiny[version], batch_cond_uncond=True)
    apart = latents_of_run(monkeypatch, tiny[version], batch_cond_uncond=False)
    size = together.std()
    torch.testing.assert_close(together / size, apart / size, atol=3e-4, rtol=1e-4)


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M", "DPM++ SDE", "Heun", "DDIM", "UniPC", "PLMS", "LMS"])
def test_without_effect_every_sampler_makes_the_plain_pictures(pocket, sampler):
    """With effect 0 and SD's own schedule all that remains of us is how the rows are passed on."""
    with own_schedule():
        fields = {"effect": 0.0, "video_length": 3}
        ours = frames(fields=fields, sampler_name=sampler, steps=4)
    assert np.array_equal(ours, pictures(sampler_name=sampler, batch_size=3, steps=4))


@contextmanager
def own_schedule():
    """The host keeps its own noise schedule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "motion_module.webui.hosts.a1111.A1111.noise_schedule", lambda self, sd_model, schedule: nullcontext()
        )
        yield


@pytest.mark.parametrize("settings", [{}, {"batch_cond_uncond": False}], ids=["together", "apart"])
@pytest.mark.parametrize(
    "request_fields",
    [
        {"prompt": "a cat AND a dog :0.7"},
        {"negative_prompt": "bad, " * 60},
        {"prompt": "a cat, " * 60},
        {"prompt": "[a cat:a dog:0.5] AND a bird", "negative_prompt": "bad, " * 60},
    ],
    ids=["AND", "long negative", "long prompt", "editing, AND, long negative"],
)
def test_one_video_for_every_layout_of_rows(pocket, settings, request_fields):
    """With effect 0 the frames must be the plain pictures of the same padding, row by row."""
    with own_schedule():
        fields = {"effect": 0.0, "video_length": 3}
        ours = frames(fields=fields, override_settings=dict(settings), steps=3, **request_fields)
    padded = {**settings, "pad_cond_uncond": True}
    plain = pictures(batch_size=3, override_settings=padded, steps=3, **request_fields)
    assert np.abs(ours.astype(int) - plain).max() <= 1


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_skipped_uncond_gives_one_video(pocket, version):
    """NGMS leaves the negative prompt out of some calls; the cond rows alone are still one video."""
    model = {"model": f"mm_tiny_{version}.safetensors"}
    skipped = frames(fields=model, steps=4, s_min_uncond=100.0)
    usual = frames(fields=model, steps=4)
    assert skipped.shape == usual.shape
    assert not np.array_equal(skipped, usual)
