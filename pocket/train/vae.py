"""The autoencoder between 64x64 pixels and 8x8 latents, taught the code of `latents`.

Colours have a way through from the start (see `unet` for why; here a group has three channels, and two constants fix
its mean and deviation at any picture size): in the encoder the exact mean of each cell, in the decoder the cell's
colour all over the cell. What is left to learn is the distance channel and the outlines.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import latents, world
from train.through import hold, hold_rows

CONFIG: dict[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 64,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 96,
    "ch_mult": [1, 1, 1, 1],
    "num_res_blocks": 0,
    "attn_resolutions": [],
    "dropout": 0.0,
}
EMBED_DIM = 4
_EDGE_WEIGHT = 4.0  # pixels at an outline count so much more
_LATENT_NOISE = 0.12  # the decoder meets latents that a denoiser made, which are a little off
CALM_NOISE = 0.3  # and at last learns to see through more of it, so that flat places stay flat
_LOG_VARIANCE = -9.0  # of the encoder's distribution, the same everywhere

_COLOURS = torch.arange(3) * 3 + 2  # groups 0, 1, 2: +constant, -constant, colour
_HELD = slice(9)
_CONSTANT, _GAIN, _LIFT = 8.0, 8.0 * (2 / 3) ** 0.5, 20.0


def build() -> nn.Module:
    """ldm's AutoencoderKL in the pocket's sizes, initialised from torch's global generator."""
    from ldm.models.autoencoder import AutoencoderKL

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its sizes
        vae = AutoencoderKL(CONFIG, {"target": "torch.nn.Identity"}, EMBED_DIM)
    vae.loss = nn.Identity()
    mean, std = latents.COLOUR_MEAN, latents.COLOUR_STD
    _hold_ends(vae.encoder, 0.5 / std, (0.5 - mean) / std)
    _hold_ends(vae.decoder, 2 * std, 2 * mean - 1)
    for level in range(3):
        _hold_resampling(vae.encoder.down[level].downsample.conv, slice(0, 2), 0.25)
        _hold_resampling(vae.decoder.up[level + 1].upsample.conv, slice(1, 2), 1.0)
    _hold_plain(vae.quant_conv)
    _hold_plain(vae.post_quant_conv)
    _hold_variance(vae.encoder.conv_out)
    return vae.to(memory_format=torch.channels_last)


class Examples:
    """Single frames with their latents, drawn from a generator."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        seed = int(torch.randint(2**31, (), generator=generator))
        scenes = world.scenes_of(seed, count, frames=1)
        self.pixels = torch.cat([world.draw(scene) for scene in scenes])
        self.latents = torch.cat([latents.latents_of(scene) for scene in scenes])


def loss_of(vae: nn.Module, examples: Examples, generator: torch.Generator, half: bool) -> Tensor:
    """Decoder: L1 + L2 with outlines weighted. Encoder: squared error of the code."""
    device = next(vae.parameters()).device
    pixels, code = examples.pixels.to(device), examples.latents.to(device)
    with torch.autocast(
        device.type, torch.bfloat16, enabled=half and device.type != "cpu"
    ):  # most CPUs are slower at it
        decoder_error = decoder_loss(vae, pixels, code, _LATENT_NOISE, generator)
    return decoder_error + (_moments(vae, pixels)[:, :EMBED_DIM] - code).square().mean()


def decoder_loss(vae: nn.Module, pixels: Tensor, code: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """L1 + L2 with outlines weighted, of pictures decoded from a code that is off by up to `noise` (deviation)."""
    off = torch.randn(code.shape, generator=generator) * torch.rand(len(code), 1, 1, 1, generator=generator)
    error = _decoded(vae, code + noise * off.to(code)).float() - (pixels * 2 - 1)
    weight = 1 + _EDGE_WEIGHT * outlines(pixels)
    return (weight * (error.abs() + error.square())).mean() / weight.mean()


def outlines(pixels: Tensor) -> Tensor:
    """1 near where a pixel differs from its neighbours, 0 in flat places: `b 1 h w`."""
    high = functional.max_pool2d(pixels, 5, 1, 2)
    low = -functional.max_pool2d(-pixels, 5, 1, 2)
    return ((high - low).amax(1, keepdim=True) > 0.05).to(pixels.dtype)


@torch.no_grad()
def encode(vae: nn.Module, pixels: Tensor) -> Tensor:
    """Means of the latents: `b 3 h w`, 0..1 -> `b 4 h/8 w/8`."""
    return _moments(vae, pixels)[:, :EMBED_DIM].contiguous()


@torch.no_grad()
def decode(vae: nn.Module, code: Tensor) -> Tensor:
    """`b 4 h w` -> pixels `b 3 8h 8w`, 0..1."""
    return ((_decoded(vae, code) + 1) / 2).clamp(0, 1)


def quality(vae: nn.Module, seed: int = 99, count: int = 48) -> str:
    """One line on frames that training has not drawn: decibels of decoding, of both ways, and the code's error."""
    examples = Examples(count, torch.Generator().manual_seed(seed))
    code = encode(vae, examples.pixels)
    away = [(decode(vae, z) - examples.pixels).square().mean().log10() * -10 for z in (examples.latents, code)]
    error = (code - examples.latents).square().mean((0, 2, 3))
    return f"decoding {away[0]:.1f} dB, both ways {away[1]:.1f} dB, code off by {[round(float(e), 4) for e in error]}"


def _moments(vae: nn.Module, pixels: Tensor) -> Tensor:
    return vae.quant_conv(vae.encoder((pixels * 2 - 1).contiguous(memory_format=torch.channels_last)))


def _decoded(vae: nn.Module, code: Tensor) -> Tensor:
    return vae.decoder(vae.post_quant_conv(code.contiguous(memory_format=torch.channels_last)))


def _hold_ends(half: Any, scale: float, shift: float) -> None:
    """First and last convolution, middle and norm of an encoder or decoder: `colour * scale + shift` goes through."""
    _hold_resampling(half.conv_in, slice(1, 2), 1.0, first=True)
    blocks = [half.mid.block_1, half.mid.block_2]
    for level in getattr(half, "up", []):
        blocks += list(level.block)
    for block in blocks:
        hold_rows(block.conv2, _HELD)
    hold_rows(half.mid.attn_1.proj_out, _HELD)
    hold_rows(half.norm_out, _HELD, _GAIN, _LIFT)
    conv = half.conv_out
    weight, held = torch.zeros_like(conv.weight), torch.zeros_like(conv.weight, dtype=torch.bool)
    for colour, channel in enumerate(_COLOURS.tolist()):
        weight[colour, channel, 1, 1] = scale
        weight[colour, channel - 2 : channel, 1, 1] = -scale / 2
    held[:, _HELD] = True
    nn.init.zeros_(conv.weight)
    hold(conv.weight, held, weight)
    bias = torch.zeros_like(conv.bias)
    bias[:3] = shift
    hold(conv.bias, torch.arange(len(bias)) < 3, bias)


def _hold_resampling(conv: Any, taps: slice, value: float, first: bool = False) -> None:
    """A convolution that hands the colours on (as they are, or the mean of 2x2) and makes the constants."""
    weight, bias = torch.zeros_like(conv.weight), torch.zeros_like(conv.bias)
    for colour, channel in enumerate(_COLOURS.tolist()):
        weight[channel, colour if first else channel, taps, taps] = value
        bias[channel - 2], bias[channel - 1] = _CONSTANT, -_CONSTANT
    hold_rows(conv, _HELD, weight, bias)


def _hold_plain(conv: Any) -> None:
    """A 1x1 convolution that changes nothing."""
    weight = torch.eye(conv.weight.shape[0])[:, :, None, None].to(conv.weight)
    everything = torch.ones_like(conv.weight, dtype=torch.bool)
    hold(conv.weight, everything, weight)
    hold(conv.bias, torch.ones_like(conv.bias, dtype=torch.bool), 0.0)


def _hold_variance(conv: Any) -> None:
    """The encoder's last convolution: channels 4..7 are the logarithm of the variance, a constant."""
    hold_rows(conv, slice(EMBED_DIM, 2 * EMBED_DIM), 0.0, _LOG_VARIANCE)
