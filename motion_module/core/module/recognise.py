"""Tells what a file of weights is when it is not a motion module, from its keys."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

EXPECTED = (
    "but a motion module was expected (AnimateDiff v1, v2 or v3, AnimateLCM, AnimateDiff-SDXL, HotShot-XL or "
    "LongAnimateDiff)"
)


class _Look(NamedTuple):
    """What a kind of file looks like: all patterns occur in its keys."""

    patterns: tuple[str, ...]
    phrase: str


_MOTION = r"motion_modules|temporal_attentions"
_LORA = r"lora_(down|up|A|B|unet)|_lora\.|lora\.(down|up)|hada_w|lokr_w"
_LOOKS = (  # the first that fits
    _Look((_LORA, _MOTION), "seems to be a motion LoRA, which goes into the prompt as <lora:name:1>"),
    _Look((_LORA,), "seems to be a LoRA, which goes into the prompt as <lora:name:1>"),
    _Look((r"controlnet_cond_embedding|input_hint_block", _MOTION), "seems to be a SparseCtrl model for ControlNet"),
    _Look((r"control_model\.|controlnet_|input_hint_block|zero_convs",), "seems to be a ControlNet model"),
    _Look((r"ip_adapter|image_proj",), "seems to be an IP-Adapter"),
    _Look((r"string_to_param|^emb_params$|^clip_[lg]$",), "seems to be a textual inversion embedding"),
)
_WITHOUT_MOTION = (
    _Look((r"conditioner\.embedders", r"model\.diffusion_model\."), "seems to be an SDXL checkpoint"),
    _Look((r"cond_stage_model\.model\.", r"model\.diffusion_model\."), "seems to be a Stable Diffusion 2 checkpoint"),
    _Look((r"model\.diffusion_model\.",), "seems to be a Stable Diffusion checkpoint"),
    _Look((r"down_blocks\.\d+\.resnets", r"^conv_in"), "seems to be the UNet of a diffusers model"),
    _Look((r"^(first_stage_model\.)?(encoder|decoder)\.",), "seems to be a VAE"),
    _Look((r"text_model\.",), "seems to be a text encoder"),
)


def seems_to_be(state: Collection[str]) -> str | None:
    """A phrase ("seems to be a VAE") for a file that is no motion module; None for one that has motion layers.

    Args:
        state: the names of the tensors in the file.
    """
    has_motion = any(re.search(_MOTION, key) for key in state)
    for look in _LOOKS if has_motion else _LOOKS + _WITHOUT_MOTION:
        if all(any(re.search(pattern, key) for key in state) for pattern in look.patterns):
            return look.phrase
    if has_motion:
        return None
    return f"seems to be something else (it holds {min(state, key=len)!r:.100})"
