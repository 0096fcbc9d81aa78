"""Makes the weights that the SDXL pictures were made with: `python tests/reference/reference_weights_xl.py FOLDER`.

A checkpoint in SDXL's layout with the full text encoder of CLIP-L, motion modules of AnimateDiff-SDXL and HotShot-XL,
and a LoRA; all narrow and random, from their seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path += [str(Path(__file__).parents[2] / "pocket"), str(Path(__file__).parents[2])]

import torch

import weights
import weights_xl
from motion_module.core.module.arch import HOTSHOT, SDXL, ModuleSpec
from motion_module.core.module.model import MotionModel

SIZES = weights_xl.SizesXL(
    channel_mult=(1, 2, 4),
    depths=(1, 1, 1),
    text_width=768,
    text_layers=12,
    open_width=256,
    open_layers=10,
    vae_mult=(1, 2, 4, 4),
    vae_blocks=2,
    open_arch="ViT-S-32-alt",
)
SEED, ANIMATEDIFF_SEED, HOTSHOT_SEED, LORA_SEED = 4321, 21, 22, 31
RANGES = weights_xl.Ranges(noise=2.9158, latents=32.92, picture=1.195)  # measured once on these seeds
HOTSHOT_NAMES = {
    ".motion_modules.": ".temporal_attentions.",
    ".temporal_transformer.": ".",
    ".pos_encoder.pe": ".pos_encoder.positional_encoding",
}
"""What HotShot-XL's own files say where AnimateDiff's say the first."""
RANK, UP = 4, 0.6  # of the LoRA
IN_LORA = {"input_blocks_4": 1, "input_blocks_8": 2, "middle_block": 2, "output_blocks_1": 2, "output_blocks_5": 1}
"""The UNet's transformers that the LoRA changes, and their level."""


def motion_tensors(seed: int, spec: ModuleSpec) -> weights.State:
    """The weights of a motion module, under AnimateDiff's names."""
    with torch.device("meta"):
        model = MotionModel(spec)
    drawn = weights_xl.Drawn(seed)
    drawn.add(model)
    positions = {name: value for name, value in model.state_dict().items() if name.endswith(".pe")}
    return drawn.tensors | {name: weights.sinusoid(*value.shape[1:]) for name, value in positions.items()}


def make_motion_modules(folder: Path) -> list[Path]:
    """Writes AnimateDiff-SDXL, and HotShot-XL in both layouts."""
    animatediff = motion_tensors(ANIMATEDIFF_SEED, ModuleSpec(SDXL, SIZES.widths, 32))
    hotshot = motion_tensors(HOTSHOT_SEED, ModuleSpec(HOTSHOT, SIZES.widths, 24))
    files = {
        "mm_sdxl_beta_tiny": animatediff,
        "hsxl_tiny": under_own_names(hotshot),
        "hsxl_tiny_renamed": hotshot,
    }
    return [weights.save(tensors, folder / f"{name}.safetensors", torch.float16) for name, tensors in files.items()]


def under_own_names(hotshot: weights.State) -> weights.State:
    """The weights of HotShot-XL as its own files have them."""

    def own(name: str) -> str:
        for ours, theirs in HOTSHOT_NAMES.items():
            name = name.replace(ours, theirs)
        return name

    return {own(name): value for name, value in hotshot.items()}


def _text_layers(encoder: str, layers: int, width: int) -> Iterator[tuple[str, int, int]]:
    for layer in range(layers):
        before = f"lora_{encoder}_text_model_encoder_layers_{layer}_"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{before}self_attn_{part}", width, width
        yield f"{before}mlp_fc1", width, 4 * width
        yield f"{before}mlp_fc2", 4 * width, width


def _unet_layers(sizes: weights_xl.SizesXL) -> Iterator[tuple[str, int, int]]:
    for place, level in IN_LORA.items():
        width, block = sizes.widths[level], f"lora_unet_{place}_1_transformer_blocks_0"
        for part in ("proj_in", "proj_out"):
            yield f"lora_unet_{place}_1_{part}", width, width
        for attention, text in (("attn1", width), ("attn2", sizes.text_width + sizes.open_width)):
            for part, inputs in (("to_q", width), ("to_k", text), ("to_v", text), ("to_out_0", width)):
                yield f"{block}_{attention}_{part}", inputs, width
        yield f"{block}_ff_net_0_proj", width, 8 * width
        yield f"{block}_ff_net_2", 4 * width, width


def make_lora(path: Path, sizes: weights_xl.SizesXL = SIZES) -> Path:
    """Writes a LoRA for both text encoders and the UNet, under kohya's names."""
    drawn = weights_xl.Drawn(LORA_SEED)
    texts = [("te1", sizes.text_layers, sizes.text_width), ("te2", sizes.open_layers, sizes.open_width)]
    layers = [layer for text in texts for layer in _text_layers(*text)]
    for name, inputs, outputs in [*layers, *_unet_layers(sizes)]:
        drawn.uniform(f"{name}.lora_down.weight", (RANK, inputs), inputs**-0.5)
        drawn.uniform(f"{name}.lora_up.weight", (outputs, RANK), UP)
        drawn.tensors[f"{name}.alpha"] = torch.tensor(float(RANK))
    return weights.save(drawn.tensors, path, torch.float16)


def make_all(folder: Path) -> Path:
    """Writes everything below a folder: the checkpoint, `motion/` and `lora/`."""
    weights_xl.make_checkpoint(folder / "sdxltiny.safetensors", seed=SEED, sizes=SIZES, ranges=RANGES)
    make_motion_modules(folder / "motion")
    make_lora(folder / "lora" / "sdxltiny_lora.safetensors")
    return folder


if __name__ == "__main__":
    print(make_all(Path(sys.argv[1])))
