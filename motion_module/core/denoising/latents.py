"""How much of the first and the last picture each frame starts from (image to video)."""

from __future__ import annotations

import torch
from torch import Tensor

from motion_module.core.module.devices import where_it_can

Fade = tuple[float, float]
"""latent_power and latent_scale of a request; the scale counts frames where the power is 1."""


def fade(frames: int, power: float, scale: float) -> Tensor:
    """The share of the init latent in every frame, 1 at the first: `max(0, 1 - i**power / scale)`.

    Returns:
        float32 tensor of shape (frames,), values in 0..1.
    """
    frame_numbers = torch.arange(frames, dtype=torch.float32)
    return (1 - frame_numbers**power / scale).clamp(min=0)


def shares(frames: int, first: Fade, last: Fade) -> tuple[Tensor, Tensor]:
    """The shares of the first and of the last picture in every frame, together at most 1.

    The first frame is all of the first picture, the last frame all of the last one.
    """
    a, b = fade(frames, *first), fade(frames, *last).flip(0)
    total = (a + b).clamp(min=1)
    a, b = a / total, b / total
    a[0], b[0] = 1, 0
    a[-1], b[-1] = 0, 1
    return a, b


def fade_into_noise(
    init: Tensor,
    noise: Tensor,
    first: Fade,
    last_latent: Tensor | None,
    last: Fade,
    changes: Tensor | None = None,
) -> Tensor:
    """Mix the latents of the first and the last picture with noise.

    Args:
        init: f c h w, the encoded init picture for each frame.
        noise: f c h w, from the WebUI's generator.
        first: how the first picture fades.
        last_latent: 1 c h w, the encoded last picture; None where there is none.
        last: how the last picture fades, backwards in time.
        changes: c h w or f c h w, 1 where an inpaint mask lets the picture change, 0 where it is kept; None without.

    Returns:
        f c h w in init's dtype and on its device.
    """
    if last_latent is None:
        share = _per_frame(fade(init.shape[0], *first), init)
        mixed = init * share + noise.to(init) * (1 - share)
    else:
        a, b = (_per_frame(share, init) for share in shares(init.shape[0], first, last))
        mixed = init * a + last_latent.to(init) * b + noise.to(init) * (1 - a - b)
    if changes is None:
        return mixed
    return where_it_can("inpainting", torch.lerp, init, mixed, changes.to(init).expand_as(init))


def _per_frame(share: Tensor, like: Tensor) -> Tensor:
    return share.to(like)[:, None, None, None]
