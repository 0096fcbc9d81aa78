"""How much of the first picture each frame starts from (image to video)."""

from __future__ import annotations

import torch
from torch import Tensor


def fade(frames: int, power: float, scale: float) -> Tensor:
    """The share of the init latent in every frame, 1 at the first: `max(0, 1 - i**power / scale)`.

    Args:
        frames: number of frames of the video.
        power: `latent_power` of the request.
        scale: `latent_scale` of the request, in frames when power is 1.

    Returns:
        float32 tensor of shape (frames,), values in 0..1.
    """
    places = torch.arange(frames, dtype=torch.float32)
    return (1 - places**power / scale).clamp(min=0)


def fade_into_noise(init: Tensor, noise: Tensor, power: float, scale: float) -> Tensor:
    """Mix the init latents with noise, more of it the later the frame.

    Args:
        init: f c h w, the encoded init picture for each frame.
        noise: f c h w, from the WebUI's generator.

    Returns:
        f c h w in init's dtype and on its device.
    """
    share = fade(init.shape[0], power, scale).to(init)[:, None, None, None]
    return init * share + noise.to(init) * (1 - share)
