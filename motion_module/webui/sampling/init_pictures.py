"""Image to video: the pictures that the frames of an img2img video start from, and the masks of what may change."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from modules import images, sd_samplers_common, shared
from motion_module.core.denoising.latents import fade_into_noise
from motion_module.errors import ParamError
from motion_module.media.errors import DAMAGE, ReaderError, reason_of
from motion_module.media.reading.folders import open_small
from motion_module.media.reading.pixels import as_rgb
from motion_module.params import VideoParams
from motion_module.patching import assign, replaced
from motion_module.webui.host_types import Img2Img, OverlayOfFrame, Processing, init_images, is_img2img
from motion_module.webui.request.picture_files import img2img_background
from motion_module.webui.sampling.encode_once import encoding_once
from motion_module.webui.sampling.frame_masks import Overlay, init_each
from motion_module.wording import either, mention

_LATENT_RESIZE = 3  # the host's resize mode that resizes latents, not pixels
_RESIZE_AND_FILL = 2  # the host's resize mode for cropped parts
_PIXELS_PER_LATENT = 8
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Pictures:
    """The init pictures of one run, the last frame if there is one, and the masks.

    Args:
        p: the host's processing object.
        params: what was asked for.
        masks: white where frame i may change; none where `p` has one for all frames, or none at all.

    Raises:
        ParamError: the last frame is no picture.
    """

    def __init__(self, p: Processing, params: VideoParams, masks: Sequence[Image.Image] = ()) -> None:
        self._p, self._params = p, params
        self._masks = masks
        self._overlays: list[Overlay] = []
        self._picture = read_picture(params.last_frame, img2img_background(p))
        self._last: Tensor | None = None
        self._fades = len(init_images(p)) == 1

    def init(
        self, original: Callable[..., None], prompts: Sequence[str], seeds: Sequence[int], subseeds: Sequence[int]
    ) -> None:
        """In the place of `p.init`: each different picture goes through the VAE once, each frame gets its own mask."""
        with encoding_once():
            if self._masks and is_img2img(self._p):
                self._overlays = init_each(self._p, self._masks, original, prompts, seeds, subseeds)
            else:
                original(prompts, seeds, subseeds)
        if self._picture is not None and self._fades and is_img2img(self._p):
            self._last = _encoded(self._p, self._picture, self._overlays)

    def fading(self) -> AbstractContextManager[Any]:
        """Around `p.sample`: frames start from the less of a picture the farther they are from it."""
        p = self._p
        if not is_img2img(p) or p.init_latent is None or not self._fades:  # a picture for each frame stays as it is
            return nullcontext()
        first = self._params.latent_power, self._params.latent_scale
        last = self._params.latent_power_last, self._params.latent_scale_last
        changes = p.nmask if p.mask is not None else None
        mixed = fade_into_noise(p.init_latent, p.rng.next(), first, self._last, last, changes)
        return replaced(p, "init_latent", mixed)

    def before_overlay(self, args: OverlayOfFrame) -> None:
        """The host is about to lay the original over frame `args.index`: with that frame's own mask and place."""
        if self._overlays:
            overlay = self._overlays[args.index]
            assign(self._p, paste_to=overlay.paste_to)
            assign(args, mask_for_overlay=overlay.mask)


def read_picture(value: Any, background: str = "white") -> Image.Image | None:
    """The last frame of a request as 8-bit RGB: a picture, or one in base64 as the host takes its init pictures.

    Args:
        value: the picture or the text, which may have line ends in it, and a head `data:image/png;base64,`.
        background: the colour behind what is transparent.

    Raises:
        ParamError: the text is no picture, or what the picture's numbers mean cannot be told.
    """
    if value is None:
        return None
    try:
        return as_rgb(value if isinstance(value, Image.Image) else _decoded(value), background)
    except (ReaderError, *DAMAGE) as error:
        shown = repr(value[:40] if isinstance(value, str) else value)
        allowed = either("a picture in base64", "a picture")
        raise ParamError(f"{mention('last_frame')} is {shown} ({_why(error)}); allowed is {allowed}") from error


def _decoded(text: str) -> Image.Image:
    """Raises: ReaderError, or one of DAMAGE: it is not a picture."""
    text = text.strip()
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    elif _URL.match(text):
        raise ReaderError("it is a URL, and nothing is downloaded")
    return open_small(io.BytesIO(base64.b64decode(text)))  # what is no base64 in it does not count


def _why(error: Exception) -> str:
    return "it is not base64" if isinstance(error, binascii.Error) else reason_of(error)


def _encoded(p: Img2Img, picture: Image.Image, overlays: Sequence[Overlay]) -> Tensor:
    """1 c h/8 w/8: resized, or cut out, as the host does it with its init pictures."""
    paste_to = overlays[-1].paste_to if overlays else p.paste_to
    if paste_to is not None:
        left, top, width, height = paste_to
        whole = picture.resize(p.init_images[0].size, Image.Resampling.LANCZOS)
        part = whole.crop((left, top, left + width, top + height))
        picture = images.resize_image(_RESIZE_AND_FILL, part, p.width, p.height)
    elif p.resize_mode != _LATENT_RESIZE:
        picture = images.resize_image(p.resize_mode, picture, p.width, p.height)
    pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)[None]
    method = sd_samplers_common.approximation_indexes.get(shared.opts.sd_vae_encode_method)
    latent = sd_samplers_common.images_tensor_to_samples(pixels.to(shared.device), method, shared.sd_model)
    if p.resize_mode == _LATENT_RESIZE:
        size = (p.height // _PIXELS_PER_LATENT, p.width // _PIXELS_PER_LATENT)
        latent = torch.nn.functional.interpolate(latent, size=size, mode="bilinear")
    return latent
