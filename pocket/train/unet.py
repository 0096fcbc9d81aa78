"""The denoiser: ldm's UNet in the block layout of SD1.5, 64 channels wide, and how it starts.

A denoiser of noise must first of all hand its input through: at t = 999 the target is all but the input, and the
picture's share in it is 4 %. Behind the last GroupNorm (two channels in a group here) that takes thousands of steps to
learn, and meanwhile its error drowns what the caption could explain. So it starts with an exact way through: the
input's channels skip to the last block, where each gets a twin channel; both carry the same strong pattern (zero
padding makes one at the border), which fixes mean and deviation of their group, and the last convolution takes the
difference. These entries are held; everything else learns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from train.text import WIDTH
from train.through import hold, hold_rows

CONFIG: dict[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "attention_resolutions": [4, 2, 1],
    "num_res_blocks": 2,
    "channel_mult": [1, 1, 1, 1],
    "num_heads": 4,
    "use_spatial_transformer": True,
    "transformer_depth": 1,
    "context_dim": WIDTH,
    "use_checkpoint": False,
    "legacy": False,
}
WIDTHS = (64, 64, 64, 64)

_CHANNELS = 4  # of the latents
_HELD = 2 * _CHANNELS  # channels 2i and 2i + 1 of the last block: the twin, and the twin with latent channel i added
_PLUS = torch.arange(1, _HELD, 2)
_SOURCE = 63  # the channel that is constant before padding makes a pattern of it
_SOURCE_BIAS, _SOURCE_WEIGHT = 4.0, 2.40625  # a pattern of deviation 16 on 8x8 latents
_GAIN, _LIFT = 16.015625, 48.0  # back to the input's size; so far up that SiLU is a straight line


def build() -> nn.Module:
    """The UNet with its way through, otherwise initialised from torch's global generator."""
    from ldm.modules.diffusionmodules.openaimodel import UNetModel

    unet = UNetModel(**CONFIG)
    _hold_entry(unet.input_blocks[0][0])
    block, transformer = unet.output_blocks[11]
    _hold_twins(block)
    hold_rows(transformer.proj_out, slice(_HELD))
    _hold_exit(unet.out[0], unet.out[2])
    return unet


def hold_out_rows(layer: nn.Module) -> None:
    """Keeps a zero-initialised layer that is added behind the last block from touching the held channels."""
    hold_rows(layer, slice(_HELD))


def _hold_entry(conv: Any) -> None:
    """The first convolution: latent channel i goes to channel 2i + 1 as it is."""
    weight = torch.zeros_like(conv.weight)
    weight[_PLUS, torch.arange(_CHANNELS), 1, 1] = 1.0
    hold_rows(conv, _PLUS, weight)


def _hold_twins(block: Any) -> None:
    """The last block: its skip adds the latent channels, its last convolution makes the pattern for both twins."""
    skip, norm, pattern = block.skip_connection, block.out_layers[0], block.out_layers[3]
    weight = torch.zeros_like(skip.weight)
    weight[_PLUS, skip.weight.shape[0] + _PLUS] = 1.0  # the second half of its input is the first convolution's output
    hold_rows(skip, slice(_HELD), weight)
    hold_rows(norm, _SOURCE, 0.0, _SOURCE_BIAS)
    weight = torch.zeros_like(pattern.weight)
    weight[:_HELD, _SOURCE] = _SOURCE_WEIGHT
    hold_rows(pattern, slice(_HELD), weight)


def _hold_exit(norm: Any, conv: Any) -> None:
    """The last norm and convolution: the difference of the twins is the input again."""
    hold_rows(norm, slice(_HELD), _GAIN, _LIFT)
    weight, held = torch.zeros_like(conv.weight), torch.zeros_like(conv.weight, dtype=torch.bool)
    weight[torch.arange(_CHANNELS), _PLUS, 1, 1] = 1.0
    weight[torch.arange(_CHANNELS), _PLUS - 1, 1, 1] = -1.0
    held[:, :_HELD] = True
    hold(conv.weight, held, weight)
