"""Image to video: the pictures that the first and the last frame of an img2img video are to show."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from modules import images, sd_samplers_common, shared
from motion_module.core.latents import fade_into_noise
from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.patching import replaced

_LATENT_RESIZE = 3  # the host's resize mode that resizes latents, not pixels
_PIXELS_PER_LATENT = 8


class Pictures:
    """The init pictures of one run, and the last frame if there is one.

    Args:
        p: the host's processing object.
        params: what was asked for.

    Raises:
        ParamError: the last frame is no picture, or there is no img2img for it to end.
    """

    def __init__(self, p: Any, params: VideoParams) -> None:
        self._p, self._params = p, params
        self._picture = read_picture(params.last_frame)
        self._last: Tensor | None = None
        if self._picture is not None and not getattr(p, "init_images", None):
            raise ParamError("AnimateDiff: last_frame needs a first one; use it with img2img.")

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Around `p.init`: the host encodes the init picture for each frame; the same one goes through the VAE once."""
        with replaced(shared.sd_model, "encode_first_stage", _remembering(shared.sd_model.encode_first_stage)):
            yield
        if self._picture is not None:
            self._last = _encoded(self._p, self._picture)

    def fading(self) -> AbstractContextManager[Any]:
        """Around `p.sample`: frames start from the less of a picture the farther they are from it."""
        init = getattr(self._p, "init_latent", None)
        if init is None or len(self._p.init_images) > 1:  # a picture for each frame stays as it is
            return nullcontext()
        first = self._params.latent_power, self._params.latent_scale
        last = self._params.latent_power_last, self._params.latent_scale_last
        mixed = fade_into_noise(init, self._p.rng.next(), first, self._last, last)
        return replaced(self._p, "init_latent", mixed)


def read_picture(value: Any) -> Image.Image | None:
    """The last frame of a request: a picture, or one in base64 (with or without `data:` prefix).

    Raises:
        ParamError: the text is no picture.
    """
    if value is None or isinstance(value, Image.Image):
        return value
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(value.partition("base64,")[2] or value, validate=True)))
        return picture.convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ParamError(f"AnimateDiff: last_frame is {value!r:.40}; allowed is a picture in base64.") from error


def _remembering(encode: Any) -> Any:
    kept: list[tuple[Tensor, Any]] = []

    def once(x: Tensor) -> Any:
        if not kept or not torch.equal(kept[0][0], x):
            kept[:] = [(x, encode(x))]
        return kept[0][1]

    return once


def _encoded(p: Any, picture: Image.Image) -> Tensor:
    """1 c h/8 w/8: resized as the host resizes its init pictures."""
    if p.resize_mode != _LATENT_RESIZE:
        picture = images.resize_image(p.resize_mode, picture.convert("RGB"), p.width, p.height)
    pixels = torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)[None]
    method = sd_samplers_common.approximation_indexes.get(shared.opts.sd_vae_encode_method)
    latent = sd_samplers_common.images_tensor_to_samples(pixels.to(shared.device), method, shared.sd_model)
    if p.resize_mode == _LATENT_RESIZE:
        size = (p.height // _PIXELS_PER_LATENT, p.width // _PIXELS_PER_LATENT)
        latent = torch.nn.functional.interpolate(latent, size=size, mode="bilinear")
    return latent
