"""Which family a checkpoint is of, and its configuration: the `.yaml` beside it, or the one for SD1.x or SDXL."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from modules import sd_inpainting, shared

XL_KEY = "conditioner.embedders.1.model.ln_final.weight"
XL_CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "configs", "sd_xl_base.yaml")
FOREIGN_FAMILIES = {
    "conditioner.embedders.0.model.ln_final.weight": "an SDXL refiner checkpoint",
    "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": "an SD2 checkpoint",
    "model.diffusion_model.x_embedder.proj.weight": "an SD3 checkpoint",
}
FIRST_CONVOLUTION = sd_inpainting.FIRST_CONVOLUTION


class UnsupportedCheckpointError(ValueError):
    """The file is no checkpoint that this host can load; the message says what it seems to be."""


def is_xl(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether the weights are laid out as SDXL's: a second text encoder is among them."""
    return XL_KEY in state_dict


def require_supported(state_dict: Mapping[str, torch.Tensor], filename: str) -> None:
    """Raises UnsupportedCheckpointError, saying what the file seems to be, unless it is an SD1.x or SDXL checkpoint."""
    name = os.path.basename(filename)
    for key, family in FOREIGN_FAMILIES.items():
        if key in state_dict:
            raise UnsupportedCheckpointError(
                f"{name} is {family}; the pocket WebUI loads SD1.x and SDXL checkpoints only."
            )
    if FIRST_CONVOLUTION not in state_dict:
        raise UnsupportedCheckpointError(f"{name} is not a Stable Diffusion checkpoint: it has no {FIRST_CONVOLUTION}.")
    channels = state_dict[FIRST_CONVOLUTION].shape[1]
    if channels not in ((4,) if is_xl(state_dict) else (4, sd_inpainting.CHANNELS)):
        raise UnsupportedCheckpointError(
            f"{name} takes {channels} input channels (editing, perhaps, or inpainting with SDXL); supported are 4, and "
            "9 of SD1.x for inpainting."
        )


def find_checkpoint_config_near_filename(info: Any) -> str | None:
    """Path of the `.yaml` of the same name, if there is one."""
    if info is None:
        return None
    path = os.path.splitext(info.filename)[0] + ".yaml"
    return path if os.path.exists(path) else None


def find_checkpoint_config(state_dict: Mapping[str, torch.Tensor], info: Any) -> str:
    """Path of the configuration for a checkpoint: its own, else SDXL's or the one of `--config` (SD1.x by default)."""
    standard = XL_CONFIG if is_xl(state_dict) else shared.cmd_opts.config
    return find_checkpoint_config_near_filename(info) or standard
