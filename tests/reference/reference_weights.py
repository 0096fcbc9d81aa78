"""Makes the weights that the reference pictures were made with: `python tests/reference/reference_weights.py FOLDER`.

A checkpoint in SD1.5's layout with the full text encoder of CLIP-L, motion modules v1, v2 and v3, a ControlNet, and modules
of few steps: AnimateLCM with its LoRA, and AnimateDiff-Lightning in both of its layouts; all narrow and random, from their
seeds. Layers take their random numbers in a fixed order, so nothing here can be reordered.
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
LCM_SEED, LIGHTNING_SEED, LORA_SEED = 14, 15, 16
LORA_RANK = 4
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
    return weights.save(_motion_tensors(version, MOTION_SEEDS[version]), path, torch.float16)


def _motion_tensors(version: str, seed: int) -> weights.State:
    kind = weights.MOTION_VERSIONS[version]
    tensors: weights.State = {}
    with weights.seeded(seed):
        for place, width in weights.motion_places(SIZES.widths, kind.has_mid):
            layer = _temporal_transformer(width, kind.frames)
            tensors |= {f"{place}.temporal_transformer.{key}": value for key, value in layer.items()}
    return tensors


def make_few_step_modules(folder: Path) -> list[Path]:
    """Writes AnimateLCM, whose file has no positions, and AnimateDiff-Lightning as it is published: under the paper's
    names for ComfyUI, and as the state of diffusers' `MotionAdapter`. All have the layers of v2."""
    lcm = {key: value for key, value in _motion_tensors("v2", LCM_SEED).items() if not key.endswith("pos_encoder.pe")}
    lightning = _motion_tensors("v2", LIGHTNING_SEED)
    as_adapter = {diffusers_key(key): value for key, value in lightning.items() if "attention_blocks.1.pos_" not in key}
    files = {
        "AnimateLCM_sd15_t2v_tiny": lcm,
        "animatediff_lightning_4step_comfyui": lightning,
        "animatediff_lightning_4step_diffusers": as_adapter,
    }
    return [weights.save(each, folder / f"{name}.safetensors", torch.float16) for name, each in files.items()]


def diffusers_key(key: str) -> str:
    """What `MotionAdapter` calls a part of a motion module; both attentions share one table of positions there."""
    key = key.replace(".temporal_transformer", "").replace("attention_blocks.0.pos_encoder.pe", "pos_embed.pe")
    for old, new in (("attention_blocks.0", "attn1"), ("attention_blocks.1", "attn2"), ("ff_norm", "norm3")):
        key = key.replace(old, new)
    return key.replace("norms.0", "norm1").replace("norms.1", "norm2")


def make_lora(path: Path) -> Path:
    """Writes a LoRA with parts of all kinds that an LCM LoRA changes, among them the convolutions of Down- and Upsample,
    beside which motion layers stand."""
    inner, outer = SIZES.widths[0], SIZES.widths[-1]
    attention, up = "down_blocks_0_attentions_0_transformer_blocks_0", "up_blocks_0"
    layers = {  # name: channels in, channels out, size of the kernel
        f"{attention}_attn1_to_q": (inner, inner, 0),
        f"{attention}_attn2_to_k": (SIZES.text_width, inner, 0),
        f"{attention}_ff_net_0_proj": (inner, 8 * inner, 0),
        "down_blocks_0_attentions_0_proj_in": (inner, inner, 1),
        "down_blocks_0_resnets_1_conv1": (inner, inner, 3),
        "down_blocks_0_downsamplers_0_conv": (inner, inner, 3),
        "mid_block_resnets_0_conv2": (outer, outer, 3),
        f"{up}_resnets_0_time_emb_proj": (4 * SIZES.model_channels, outer, 0),
        f"{up}_upsamplers_0_conv": (outer, outer, 3),
        "up_blocks_1_upsamplers_0_conv": (outer, outer, 3),
    }
    tensors: weights.State = {}
    with weights.seeded(LORA_SEED):
        for name, (channels_in, channels_out, size) in layers.items():
            kernel, point = ([size, size], [1, 1]) if size else ([], [])
            down = torch.randn(LORA_RANK, channels_in, *kernel) / (channels_in * max(size, 1) ** 2) ** 0.5
            tensors[f"lora_unet_{name}.lora_down.weight"] = down
            tensors[f"lora_unet_{name}.lora_up.weight"] = torch.randn(channels_out, LORA_RANK, *point)
            tensors[f"lora_unet_{name}.alpha"] = torch.tensor(LORA_RANK / 4)
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
    """Writes everything below a folder: the checkpoint, `motion/`, `lora/` and `controlnet/`."""
    make_checkpoint(folder / "sd15tiny.safetensors")
    make_motion_modules(folder / "motion")
    make_few_step_modules(folder / "motion")
    make_lora(folder / "lora" / "lcm_tiny.safetensors")
    weights.make_controlnet(folder / "controlnet" / "control_v11p_sd15_canny_tiny.safetensors", seed=77, sizes=SIZES)
    return folder


if __name__ == "__main__":
    print(make_all(Path(sys.argv[1])))
