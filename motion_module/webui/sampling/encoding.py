"""Pictures of a request that the host's VAE encodes as it encodes its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from modules import images, sd_samplers_common, shared
from motion_module.webui.host_types import Img2Img
from motion_module.webui.request.continued import PIXELS_PER_LATENT
from motion_module.webui.sampling.host_init import Overlay

_CROP_AND_RESIZE, _RESIZE_AND_FILL, _LATENT_RESIZE = 1, 2, 3  # the host's resize modes; the last one resizes latents


def encoded_as_init(p: Img2Img, picture: Image.Image, overlays: Sequence[Overlay]) -> Tensor:
    """1 c h/8 w/8: resized, or cut out, as the host does it with its init pictures.

    Args:
        p: the host's processing object, after its `init`.
        picture: 8-bit RGB.
        overlays: what lies over each frame, where each has a mask of its own; the last one counts.
    """
    paste_to = overlays[-1].paste_to if overlays else p.paste_to
    if paste_to is not None:
        left, top, width, height = paste_to
        whole = picture.resize(p.init_images[0].size, Image.Resampling.LANCZOS)
        part = whole.crop((left, top, left + width, top + height))
        return _encode(images.resize_image(_RESIZE_AND_FILL, part, p.width, p.height))
    if p.resize_mode != _LATENT_RESIZE:
        return _encode(images.resize_image(p.resize_mode, picture, p.width, p.height))
    size = (p.height // PIXELS_PER_LATENT, p.width // PIXELS_PER_LATENT)
    return torch.nn.functional.interpolate(_encode(picture), size=size, mode="bilinear")


def encoded_in_size(picture: Image.Image, width: int, height: int) -> Tensor:
    """1 c h/8 w/8: cut to the form of a frame, and resized.

    Args:
        picture: 8-bit RGB.
        width, height: of the frames, in pixels.
    """
    return _encode(images.resize_image(_CROP_AND_RESIZE, picture, width, height))


def _encode(picture: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)[None]
    method = sd_samplers_common.approximation_indexes.get(shared.opts.sd_vae_encode_method)
    return sd_samplers_common.images_tensor_to_samples(pixels.to(shared.device), method, shared.sd_model)
