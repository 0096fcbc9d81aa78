"""UNet, noise schedule and the model that is made of the two."""

import torch
from torch import nn

from motion_module.core.denoising.schedule import alphas_cumprod
from tests.core import builders


class GroupNorm(nn.GroupNorm):
    """The one class of all norms: those of ResBlocks, of spatial transformers, and before the last layer."""


def forge_unet(levels=4):
    """The pocket's UNet, with the same weights each time, called as Forge's is; it has no `dtype`."""
    unet = builders.unet(levels)
    for part in unet.modules():
        if isinstance(part, nn.GroupNorm):
            part.__class__ = GroupNorm
    del unet.dtype
    unet.__class__ = type("IntegratedUNet2DConditionModel", (type(unet),), {"forward": _forward})
    unet.calls = []
    return unet


def _forward(self, x, timesteps=None, context=None, y=None, control=None, transformer_options=None, **kwargs):
    """Notes each call in `calls`: its input, what was told to the layers, what ControlNets have added."""
    if transformer_options is None:
        transformer_options = {}
    options = transformer_options
    self.calls.append({"x": x, "context": context, "control": control, "options": options, "told": dict(options)})
    options.update(original_shape=list(x.shape), transformer_index=0)
    sinusoids = builders.of_the_pocket("ldm.modules.diffusionmodules.util").timestep_embedding
    emb = self.time_embed(sinusoids(timesteps, self.model_channels).to(x.dtype))
    h, skipped = x, []
    for number, block in enumerate(self.input_blocks):
        options["block"] = ("input", number)
        h = _plus(block(h, emb, context), control, "input")
        skipped.append(h)
    options["block"] = ("middle", 0)
    h = _plus(self.middle_block(h, emb, context), control, "middle")
    for number, block in enumerate(self.output_blocks):
        options["block"] = ("output", number)
        h = block(torch.cat([h, _plus(skipped.pop(), control, "output")], dim=1), emb, context)
    options["block"] = ("last", 0)
    return self.out(h).type(x.dtype)


def _plus(h, control, place):
    """Takes what is added off the end of the list, so that one answer of a ControlNet serves one call."""
    added = control[place].pop() if control is not None and control.get(place) else None
    return h if added is None else h + added


class Prediction(nn.Module):
    """The noise schedule; `alphas_cumprod` stays as it was, and nobody reads it."""

    def __init__(self, prediction_type="epsilon"):
        super().__init__()
        self.prediction_type, self.sigma_data = prediction_type, 1.0
        alphas = alphas_cumprod("sqrt-linear", 1000)
        self.register_buffer("alphas_cumprod", alphas)
        self.set_sigmas(((1 - alphas) / alphas).sqrt())

    def set_sigmas(self, sigmas):
        self.register_buffer("sigmas", sigmas.float())
        self.register_buffer("log_sigmas", sigmas.log().float())

    def timestep(self, sigma):
        """The nearest one of each."""
        return (sigma.log()[:, None] - self.log_sigmas[None]).abs().argmin(dim=1)

    def percent_to_sigma(self, percent):
        if percent in (0.0, 1.0):
            return 999999999.9 if percent == 0 else 0.0
        return float(self.sigmas[round((1 - percent) * 999)])

    def calculate_input(self, sigma, x):
        return x / (sigma.view(-1, 1, 1, 1) ** 2 + 1).sqrt()

    def calculate_denoised(self, sigma, out, x):
        sigma = sigma.view(-1, 1, 1, 1)
        if self.prediction_type == "v_prediction":
            return x / (sigma**2 + 1) - out * sigma / (sigma**2 + 1).sqrt()
        return x - out * sigma


class KModel(nn.Module):
    """What a step calls: takes sigmas, gives latents without noise."""

    def __init__(self, unet, prediction_type="epsilon"):
        super().__init__()
        self.diffusion_model, self.predictor = unet, Prediction(prediction_type)
        self.storage_dtype = self.computation_dtype = torch.float32

    def apply_model(self, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        if transformer_options is None:
            transformer_options = {}
        scaled = self.predictor.calculate_input(t, x)
        if c_concat is not None:
            scaled = torch.cat([scaled, c_concat], dim=1)
        steps = self.predictor.timestep(t).float()
        told = {"context": c_crossattn, "control": control, "transformer_options": transformer_options, **kwargs}
        return self.predictor.calculate_denoised(t, self.diffusion_model(scaled, steps, **told), x)

    def memory_required(self, input_shape):
        """Bytes of a call; here one for each row."""
        return input_shape[0]
