"""Inpainting checkpoints: SD1.x whose UNet is also given the mask and the masked picture."""

from collections.abc import Mapping
from typing import Any

CHANNELS = 9
"""Inputs of such a UNet: 4 of the latents, 1 of the mask, 4 of the masked picture."""

FIRST_CONVOLUTION = "model.diffusion_model.input_blocks.0.0.weight"


def is_inpainting(state_dict: Mapping[str, Any]) -> bool:
    """Whether the weights are those of an inpainting checkpoint."""
    return bool(state_dict[FIRST_CONVOLUTION].shape[1] == CHANNELS)


def make_inpainting(model: Any) -> None:
    """Turns the configuration of a checkpoint (its part `model`) into that of an inpainting one of the same sizes."""
    model["target"] = "ldm.models.diffusion.ddpm.LatentInpaintDiffusion"
    model["params"].update(conditioning_key="hybrid", finetune_keys=None)
    model["params"]["unet_config"]["params"].update(in_channels=CHANNELS)
