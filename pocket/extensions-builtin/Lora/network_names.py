"""Names of layers in LoRA files, and in the ldm model.

Files made by kohya's scripts name the UNet's layers as the diffusers library does (`down_blocks_0_attentions_1_...`);
ldm counts the same layers through (`input_blocks_2_1_...`).
"""

import re
from collections.abc import Callable

RESNET_PARTS = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "norm1": "in_layers_0",
    "norm2": "out_layers_0",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}

ATTENTION = "attentions"
IN_A_DOWN_OR_UP_BLOCK = 3
"""ldm blocks that one diffusers block is: two layers and a down-sampler, or three layers."""


def _layer(kind: str, rest: str) -> str:
    """The layer's place in its ldm block and its name there; a ResBlock is at 0, attention at 1."""
    return f"1_{rest}" if kind == ATTENTION else f"0_{RESNET_PARTS.get(rest, rest)}"


def _down(block: str, kind: str, layer: str, rest: str) -> str:
    return f"input_blocks_{1 + int(block) * IN_A_DOWN_OR_UP_BLOCK + int(layer)}_{_layer(kind, rest)}"


def _middle(kind: str, layer: str, rest: str) -> str:
    if kind == ATTENTION:
        return f"middle_block_1_{rest}"
    return f"middle_block_{int(layer) * 2}_{RESNET_PARTS.get(rest, rest)}"


def _up(block: str, kind: str, layer: str, rest: str) -> str:
    return f"output_blocks_{int(block) * IN_A_DOWN_OR_UP_BLOCK + int(layer)}_{_layer(kind, rest)}"


def _upsampler(block: str) -> str:
    return f"output_blocks_{int(block) * IN_A_DOWN_OR_UP_BLOCK + 2}_{2 if int(block) > 0 else 1}_conv"


UNET: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"conv_in(.*)", lambda rest: f"input_blocks_0_0{rest}"),
    (r"conv_out(.*)", lambda rest: f"out_2{rest}"),
    (r"time_embedding_linear_(\d+)(.*)", lambda number, rest: f"time_embed_{int(number) * 2 - 2}{rest}"),
    (r"down_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)", _down),
    (r"mid_block_(attentions|resnets)_(\d+)_(.+)", _middle),
    (r"up_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)", _up),
    (r"down_blocks_(\d+)_downsamplers_0_conv", lambda block: f"input_blocks_{3 + int(block) * 3}_0_op"),
    (r"up_blocks_(\d+)_upsamplers_0_conv", _upsampler),
)

TEXT = re.compile(r"lora_(te[12]?)_text_model_encoder_layers_(\d+)_(.+)")
OPEN_CLIP_PARTS = {"mlp_fc1": "mlp_c_fc", "mlp_fc2": "mlp_c_proj"}


def _text(encoder: str, layer: str, rest: str) -> list[str]:
    """A layer of SD1.x's text encoder, `te`, or of one of SDXL's two; some files for SD1.x say `te1`, too."""
    if encoder == "te2":
        part = OPEN_CLIP_PARTS.get(rest, rest.replace("self_attn", "attn"))
        return [f"1_model_transformer_resblocks_{layer}_{part}"]
    name = f"transformer_text_model_encoder_layers_{layer}_{rest}"
    return [name, f"0_{name}"] if encoder == "te1" else [name]


def ldm_names(file_name: str) -> list[str]:
    """The names a layer may have in `network_layer_mapping`, the likeliest first.

    Args:
        file_name: the key of a weight up to its first dot, such as `lora_unet_mid_block_attentions_0_proj_in`.
    """
    text = TEXT.match(file_name)
    if text:
        return _text(*text.groups())
    if not file_name.startswith("lora_unet_"):
        return [file_name]
    rest = file_name.removeprefix("lora_unet_")
    names = [f"diffusion_model_{rest}"]
    for pattern, name_of in UNET:
        match = re.match(pattern, rest)
        if match:
            names.insert(0, f"diffusion_model_{name_of(*match.groups())}")
            break
    return names
