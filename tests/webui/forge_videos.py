"""One denoiser call of a video in the stand-in for Forge, and the same one as A1111 makes it."""

from contextlib import contextmanager
from types import SimpleNamespace

import torch

from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.windows import WindowPlan
from tests.core import builders

FRAMES, CONTEXT = 6, 4
STEP = 500


def noise(frames=FRAMES, size=16, seed=3):
    return 2 * torch.randn(frames, 4, size, size, generator=torch.Generator().manual_seed(seed))


def texts(rows=FRAMES, tokens=5, seed=4):
    return torch.randn(rows, tokens, 64, generator=torch.Generator().manual_seed(seed))


def each_frame(weights=(1.0,), frames=FRAMES):
    """For each frame which rows of the prompts are its own, and how much each weighs."""
    parts = len(weights)
    return [[(frame * parts + part, weight) for part, weight in enumerate(weights)] for frame in range(frames)]


def plan(context=CONTEXT, overlap=2, **how):
    return WindowPlan(context=context, overlap=overlap, **how)


@contextmanager
def video(forge, model, windows=None, parts=1, together=True, frames=FRAMES, step=0):
    """The motion module in the stand-in, as a run puts it there; yields the `CallFrames` of its layers."""
    call, windows = CallFrames(), windows or plan(context=frames)

    def told(model_call):
        return forge.host.telling_rows(model_call.rows, model_call.layout.rows)

    def sliding(call_model):
        made = SlidingModel(call_model, call, frames, windows, together, told)
        made.begin(step, parts, forge.host.row_layout(frames, parts, None, ()))
        return made

    with (
        forge.host.rows_at_once(forge.sd_model, frames, windows.context),
        forge.host.motion_layers(forge.sd_model, model, call),
        forge.host.model_calls(forge.sd_model, sliding),
    ):
        yield call


def denoiser_of(forge, cfg_scale=2.0):
    p = SimpleNamespace(seeds=[1], cfg_scale=cfg_scale)
    return SimpleNamespace(inner_model=SimpleNamespace(inner_model=forge.sd_model), p=p)


def denoised(forge, x=None, cond=None, uncond=None, scale=2.0, composition=None, sigma=None):
    """What a step of Forge makes of latents."""
    x = noise() if x is None else x
    cond = texts(len(x)) if cond is None else cond
    uncond = texts(len(x), seed=9) if uncond is None else uncond
    sigma = sigma_of(forge, len(x)) if sigma is None else sigma
    params = SimpleNamespace(x=x, sigma=sigma, text_cond=cond, text_uncond=uncond)
    composition = composition or each_frame(frames=len(x))
    with torch.no_grad():
        return forge.sampling.sampling_function(denoiser_of(forge, scale), params, scale, composition)[0]


def sigma_of(forge, frames=FRAMES):
    return forge.kmodel.predictor.sigmas[STEP].expand(frames)


def denoised_on_a1111(model, sigma, windows=None, weights=(1.0,), scale=2.0):
    """The same with the UNet of ldm itself: all rows at once, parts of a frame beside each other, noise as an answer."""
    from motion_module.webui.hosts.a1111 import HOST

    net, call, x, parts = builders.unet(), CallFrames(), noise(), len(weights)
    sliding = SlidingModel(
        lambda x, t, cond: net(x, t, context=cond), call, len(x), windows or plan(context=len(x)), together=True
    )
    sliding.begin(0, parts)
    rows = torch.cat([x.repeat_interleave(parts, dim=0), x])
    text = torch.cat([texts(len(x) * parts), texts(len(x), seed=9)])
    steps = torch.full((len(rows),), STEP)
    checkpoint = SimpleNamespace(model=SimpleNamespace(diffusion_model=net))
    with torch.no_grad(), HOST.motion_layers(checkpoint, model, call):
        made = rows - sigma * sliding(rows / (sigma**2 + 1).sqrt(), steps, text)
    cond, uncond = made[: len(x) * parts].view(len(x), parts, *x.shape[1:]), made[len(x) * parts :]
    weighed = (cond - uncond[:, None]) * torch.tensor(weights).view(1, parts, 1, 1, 1)
    return uncond + scale * weighed.sum(dim=1)


def tiles_stacked(apply_model, args):
    """As MultiDiffusion does: the left and the right half of the picture behind each other in one call."""
    x, conds = args["input"], args["c"]
    half = x.shape[3] // 2
    told = {
        **conds,
        "c_crossattn": conds["c_crossattn"].repeat(2, 1, 1),
    }
    tile, sigmas = torch.cat([x[..., :half], x[..., half:]]), args["timestep"].repeat(2)
    if "control" in conds:
        told["control"] = _of_tiles(conds["control_model"], tile, sigmas, told, args["cond_or_uncond"], len(x))
    left, right = apply_model(tile, sigmas, **told).split(len(x))
    return torch.cat([left, right], dim=3)


def _of_tiles(control, tile, sigmas, told, sides, rows):
    """Their pictures are cut like the latents, before they are asked."""
    at = control
    while at is not None:
        hint = at.cond_hint_original
        hint = hint.repeat(rows // len(hint), 1, 1, 1)
        half = hint.shape[3] // 2
        at.cond_hint, at = torch.cat([hint[..., :half], hint[..., half:]]), at.previous_controlnet
    return control.get_control(tile, sigmas, told, len(sides))
