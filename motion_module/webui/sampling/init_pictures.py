"""Image to video: the pictures that the frames of an img2img video start from, and the masks of what may change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from modules import sd_samplers_common
from motion_module.core.denoising.frozen import FOR_EVER, Edge, FrozenFrames, steps_frozen
from motion_module.core.denoising.latents import fade_into_noise
from motion_module.media.reading.pixels import as_rgb
from motion_module.params import VideoParams
from motion_module.patching import assign, replaced
from motion_module.webui.host_types import Img2Img, OverlayOfFrame, Processing, init_images, is_img2img
from motion_module.webui.request.continued import PIXELS_PER_LATENT
from motion_module.webui.request.given_pictures import held_pictures, read_picture
from motion_module.webui.request.picture_files import img2img_background
from motion_module.webui.sampling.clip_frames import ClipFrames
from motion_module.webui.sampling.encode_once import encoding_once
from motion_module.webui.sampling.encoding import encoded_as_init, encoded_in_size
from motion_module.webui.sampling.frame_masks import init_each
from motion_module.webui.sampling.host_init import BLOCK, Frames, Overlay, init_in_blocks


class Pictures:
    """The init pictures of one run, the last frame if there is one, and the masks.

    Args:
        p: the host's processing object.
        params: what was asked for.
        masks: white where frame i may change; none where `p` has one for all frames, or none at all.
        of_video: those of a video that frames start from; none where they start from `p.init_images`.
        clip: the frames of a video that is continued.

    Raises:
        ParamError: the last frame, or a picture that a frame is held at, is none.
    """

    def __init__(
        self,
        p: Processing,
        params: VideoParams,
        masks: Sequence[Image.Image] = (),
        of_video: Sequence[Image.Image] = (),
        clip: ClipFrames | None = None,
    ) -> None:
        self._p, self._params = p, params
        self.masks, self._of_video, self._clip = masks, of_video, clip
        self._overlays: list[Overlay] = []
        self._background = background = img2img_background(p)
        self._picture = read_picture(params.last_frame, background)
        self._last: Tensor | None = None
        self._held = held_pictures(params, background)
        self._held_latents: dict[int, Tensor] = {}
        self._fades = not of_video and len(init_images(p)) == 1

    def init(
        self, original: Callable[..., None], prompts: Sequence[str], seeds: Sequence[int], subseeds: Sequence[int]
    ) -> None:
        """In the place of `p.init`: each different picture goes through the VAE once, each frame gets its own mask."""
        with encoding_once():
            if is_img2img(self._p):
                self._init_frames(self._p, original, prompts, seeds, subseeds)
            else:
                original(prompts, seeds, subseeds)
        p = self._p
        if not is_img2img(p):
            return
        if self._picture is not None and self._fades:
            self._last = encoded_as_init(p, self._picture, self._overlays)
        held = {frame: self._encoded(p, picture, frame) for frame, picture in self._held.items()}
        self._held_latents = self._of_clip(p.width, p.height) | self._masked_ends(p) | held

    def _init_frames(self, p: Img2Img, original: Callable[..., None], prompts: Any, seeds: Any, subseeds: Any) -> None:
        pictures = self._of_video or p.init_images
        each = pictures if len(pictures) > 1 or self._of_video else list(pictures) * p.batch_size
        if self.masks:
            self._overlays = init_each(Frames(p, original, each, prompts, seeds, subseeds), self.masks)
        elif self._of_video or len(each) > BLOCK:
            init_in_blocks(Frames(p, original, each, prompts, seeds, subseeds))
        else:
            original(prompts, seeds, subseeds)

    @property
    def freeze(self) -> bool:
        """Whether there may be frames that keep what they are given."""
        travels = bool(self._params.denoise_travel) and is_img2img(self._p)
        return bool(self._held) or self._clip is not None or travels or (self._params.hold_pictures and self._fades)

    def starting(self) -> AbstractContextManager[Any]:
        """Around `p.sample`: frames start from the less of a picture the farther they are from it, or from the picture
        that they are held at."""
        p = self._p
        if not is_img2img(p) or p.init_latent is None or not (self._fades or self._held_latents):
            return nullcontext()  # a picture for each frame stays as it is
        latents = self._faded(p) if self._fades else p.init_latent.clone()
        for frame, latent in self._held_latents.items():
            latents[frame] = latent.to(latents)
        return replaced(p, "init_latent", latents)

    def frozen(self, x: Tensor) -> FrozenFrames | None:
        """The frames that keep what they are given, in a sampling pass over latents `x: f c h w`; None for none."""
        p = self._p
        if is_img2img(p):
            until = self._until(p, len(x))
            if not until:
                return None
            frames, steps = tuple(until), tuple(until.values())
            return FrozenFrames(frames, p.init_latent[list(frames)], steps, self._edges(len(x)))
        height, width = (side * PIXELS_PER_LATENT for side in x.shape[-2:])
        held = {frame: encoded_in_size(picture, width, height)[0] for frame, picture in self._held.items()}
        given = {frame: latent.to(x) for frame, latent in (self._of_clip(width, height) | held).items()}
        if not given:
            return None
        always = (FOR_EVER,) * len(given)
        return FrozenFrames(tuple(given), torch.stack(list(given.values())), always, self._edges(len(x)))

    def _edges(self, frames: int) -> tuple[Edge, ...]:
        """Where a video of so many frames goes on; where it is a closed loop, it also goes back to its beginning."""
        if self._clip is None:
            return ()
        plan, old = self._params.windows, len(self._clip)
        if not (plan.wraps and frames > plan.context):
            return (Edge(old - 1, range(old, min(old + plan.shared_frames, frames))),)
        reach = min(plan.shared_frames, (frames - old) // 2)
        return Edge(old - 1, range(old, old + reach)), Edge(0, range(frames - 1, frames - 1 - reach, -1))

    def _of_clip(self, width: int, height: int) -> dict[int, Tensor]:
        """The latents of the frames that are there already, by the frame."""
        return {} if self._clip is None else dict(enumerate(self._clip.latents(width, height)))

    def _until(self, p: Img2Img, frames: int) -> dict[int, float]:
        """The last step in which each frame of img2img is frozen; without those that are free from the first one on."""
        strengths = self._params.values_of("denoise_travel", frames)
        waiting = steps_frozen(strengths, *sd_samplers_common.setup_img2img_steps(p)) if strengths else ()
        until = {frame: step for frame, step in enumerate(waiting) if step}
        return until | dict.fromkeys([*self._held_latents, *self._ends(frames)], FOR_EVER)

    def _encoded(self, p: Img2Img, picture: Image.Image, frame: int) -> Tensor:
        """c h w, cut as that frame is."""
        return encoded_as_init(p, picture, self._overlays[frame : frame + 1])[0]

    def _masked_ends(self, p: Img2Img) -> dict[int, Tensor]:
        """The request's own pictures, where they are held: below a mask the host may have filled what it encodes."""
        if p.mask is None or not self._ends(p.batch_size):
            return {}
        last = {} if self._last is None else {p.batch_size - 1: self._last[0]}
        return {0: self._encoded(p, as_rgb(p.init_images[0], self._background), 0), **last}

    def _ends(self, frames: int) -> list[int]:
        """The frames that the request's own pictures are held for."""
        if not (self._params.hold_pictures and self._fades):
            return []
        return [0, frames - 1] if self._last is not None else [0]

    def _faded(self, p: Img2Img) -> Tensor:
        first = self._params.latent_power, self._params.latent_scale
        last = self._params.latent_power_last, self._params.latent_scale_last
        changes = p.nmask if p.mask is not None else None
        return fade_into_noise(p.init_latent, p.rng.next(), first, self._last, last, changes)

    def before_overlay(self, args: OverlayOfFrame) -> None:
        """The host is about to lay the original over frame `args.index`: with that frame's own mask and place."""
        if self._overlays:
            overlay = self._overlays[args.index]
            assign(self._p, paste_to=overlay.paste_to)
            assign(args, mask_for_overlay=overlay.mask)
