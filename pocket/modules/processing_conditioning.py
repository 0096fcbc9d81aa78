"""What the model gets besides text and latents: a masked picture for inpainting checkpoints, else zeros."""

from typing import Any

import numpy as np
import torch

from modules import devices, errors, shared
from modules.sd_samplers_common import approximation_indexes, images_tensor_to_samples
from modules.shared import opts

INPAINTING_KEYS = frozenset({"hybrid", "concat"})


def _no_conditioning(latents: torch.Tensor) -> torch.Tensor:
    """One 1x1 picture a latent: only the number of rows is looked at."""
    return latents.new_zeros(latents.shape[0], 5, 1, 1)


def txt2img_image_conditioning(sd_model: Any, x: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Conditioning without a picture: a grey one, all of it masked, if the checkpoint is for inpainting.

    Args:
        x: latents (b, 4, h/8, w/8).

    Returns:
        (b, 5, h/8, w/8): the mask, then the encoded picture; or (b, 5, 1, 1) zeros.
    """
    if sd_model.model.conditioning_key not in INPAINTING_KEYS:
        return _no_conditioning(x)
    grey = torch.full((x.shape[0], 3, height, width), 0.5, device=x.device)
    encoded = images_tensor_to_samples(grey, approximation_indexes.get(opts.sd_vae_encode_method))
    return torch.nn.functional.pad(encoded, (0, 0, 0, 0, 1, 0), value=1.0).to(x.dtype)


def mask_tensor(image_mask: Any, source: torch.Tensor, rounded: bool) -> torch.Tensor:
    """The mask (1, 1, h, w) in 0..1, 1 where inpainted; all of the source if there is no mask."""
    if image_mask is None:
        return source.new_ones(1, 1, *source.shape[-2:])
    if torch.is_tensor(image_mask):
        return image_mask.to(source)
    mask = torch.from_numpy(np.array(image_mask.convert("L"), dtype=np.float32)[None, None] / 255.0)
    return (torch.round(mask) if rounded else mask).to(source)


class ImageConditioning:
    """The part of a run that makes the image conditioning. Needs `sd_model`, `sampler`, `width` and `height`."""

    sd_model: Any
    sampler: Any
    width: int
    height: int
    is_using_inpainting_conditioning: bool

    def txt2img_image_conditioning(
        self, x: torch.Tensor, width: int | None = None, height: int | None = None
    ) -> torch.Tensor:
        """Conditioning of latents that come from noise alone."""
        self.is_using_inpainting_conditioning = self.sd_model.model.conditioning_key in INPAINTING_KEYS
        return txt2img_image_conditioning(self.sd_model, x, width or self.width, height or self.height)

    def img2img_image_conditioning(
        self,
        source_image: torch.Tensor,
        latent_image: torch.Tensor,
        image_mask: Any = None,
        round_image_mask: bool = True,
    ) -> torch.Tensor:
        """Conditioning of latents that come from a picture (b, 3, h, w) in -1..1.

        Raises:
            NotModelledError: the checkpoint is of a kind that this host cannot condition.
        """
        if self.sd_model.cond_stage_key == "edit" or self.sampler.conditioning_key == "crossattn-adm":
            raise errors.NotModelledError("InstructPix2Pix and unCLIP checkpoints are not supported by this host.")
        if self.sampler.conditioning_key in INPAINTING_KEYS:
            source_image = devices.cond_cast_float(source_image)
            return self.inpainting_image_conditioning(source_image, latent_image, image_mask, round_image_mask)
        return _no_conditioning(latent_image)

    def inpainting_image_conditioning(
        self,
        source_image: torch.Tensor,
        latent_image: torch.Tensor,
        image_mask: Any = None,
        round_image_mask: bool = True,
    ) -> torch.Tensor:
        """The mask and the encoded picture without the masked part, (b, 5, h/8, w/8)."""
        self.is_using_inpainting_conditioning = True
        mask = mask_tensor(image_mask, source_image, round_image_mask)
        weight = getattr(self, "inpainting_mask_weight", opts.inpainting_mask_weight)
        visible = torch.lerp(source_image, source_image * (1.0 - mask), weight)
        encoded = self.sd_model.get_first_stage_encoding(self.sd_model.encode_first_stage(visible))
        small = torch.nn.functional.interpolate(mask, size=latent_image.shape[-2:])
        rows = torch.cat([small.expand(encoded.shape[0], -1, -1, -1), encoded], dim=1)
        return rows.to(device=shared.device, dtype=self.sd_model.dtype)
