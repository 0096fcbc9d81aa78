"""Makes the weights that the reference pictures were made with: `python tests/reference/reference_weights.py FOLDER`.

A checkpoint in SD1.5's layout with the full text encoder of CLIP-L, motion modules v1, v2 and v3, and a ControlNet, all
narrow and random, from their seeds. Layers take their random numbers in a fixed order, so nothing here can be reordered.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "pocket"))

import torch

import weights

SIZES = weights.Sizes(channel_mult=(1, 2, 4, 4), heads=8, text_width=768, text_layers=12, words=1.0)
MOTION_SEEDS = {"v1": 11, "v2": 12, "v3": 13}
NOISE, LATENTS, PICTURE = 3.0842432975769043, 23.750885009765625, 1.4885385036468506
"""What brings the outputs of UNet, encoder and decoder to the size of a trained model's: measured once on these seeds."""


def make_checkpoint(path: Path) -> Path:
    """Writes the checkpoint, 270 MB, and its `.yaml`."""
    config = weights.config_of(SIZES)
    config["model"]["params"]["first_stage_config"]["params"]["ddconfig"].update(ch_mult=[1, 2, 4, 4], num_res_blocks=2)
    with weights.seeded(4321), redirect_stdout(io.StringIO()):  # ldm tells the size of every layer
        unet, vae = weights.make_unet(config, SIZES.words), weights.make_vae(config)
        text = weights.make_text_encoder(SIZES)
        _adjust_ranges(unet, vae)
    return weights.save_checkpoint(path, config, unet, vae, text, torch.float16)


def _adjust_ranges(unet: Any, vae: Any) -> None:
    weights.scale_output(unet.out[-1], NOISE)
    vae.quant_conv.weight[:4].mul_(LATENTS)
    vae.quant_conv.bias[:4].mul_(LATENTS)
    vae.quant_conv.bias[4:].fill_(weights.LATENT_LOG_VARIANCE)
    vae.decoder.conv_out.weight.mul_(PICTURE)
    vae.decoder.conv_out.bias.zero_()


def make_motion_modules(folder: Path) -> list[Path]:
    """Writes the motion modules of all three versions."""
    return [_motion_module(folder / f"mm_sd15_{version}_tiny.safetensors", version) for version in MOTION_SEEDS]


def _motion_module(path: Path, version: str) -> Path:
    kind = weights.MOTION_VERSIONS[version]
    tensors: weights.State = {}
    with weights.seeded(MOTION_SEEDS[version]):
        for place, width in weights.motion_places(SIZES.widths, kind.has_mid):
            layer = _temporal_transformer(width, kind.frames)
            tensors |= {f"{place}.temporal_transformer.{key}": value for key, value in layer.items()}
    return weights.save(tensors, path, torch.float16)


def _temporal_transformer(width: int, frames: int) -> weights.State:
    linear, norm = weights.linear, weights.norm
    tensors, block = norm(width, "norm") | linear(width, width, "proj_in"), "transformer_blocks.0"
    for number in (0, 1):
        attention = f"{block}.attention_blocks.{number}"
        for name, scale in (("to_q", 2.0), ("to_k", 2.0), ("to_v", 1.0)):
            tensors |= linear(width, width, f"{attention}.{name}", bias=False, scale=scale)
        tensors |= linear(width, width, f"{attention}.to_out.0")
        tensors[f"{attention}.pos_encoder.pe"] = weights.sinusoid(frames, width)
    for number in (0, 1):
        tensors |= norm(width, f"{block}.norms.{number}")
    tensors |= linear(width, 8 * width, f"{block}.ff.net.0.proj") | linear(4 * width, width, f"{block}.ff.net.2")
    return tensors | norm(width, f"{block}.ff_norm") | linear(width, width, "proj_out", scale=0.5)


def make_all(folder: Path) -> Path:
    """Writes everything below a folder: the checkpoint, `motion/` and `controlnet/`."""
    make_checkpoint(folder / "sd15tiny.safetensors")
    make_motion_modules(folder / "motion")
    weights.make_controlnet(folder / "controlnet" / "control_v11p_sd15_canny_tiny.safetensors", seed=77, sizes=SIZES)
    return folder


if __name__ == "__main__":
    print(make_all(Path(sys.argv[1])))
