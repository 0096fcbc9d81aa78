"""Latents to pictures."""

from typing import Any

import torch

from modules import devices, rng
from modules.sd_samplers_common import decode_first_stage


class DecodedSamples(list):  # type: ignore[type-arg]
    """Decoded pictures (3, h, w) in -1..1, where latents are expected otherwise."""

    already_decoded = True


def decode_latent_batch(
    model: Any, batch: torch.Tensor, target_device: Any = None, check_for_nans: bool = False
) -> DecodedSamples:
    """Decode latents (b, 4, h/8, w/8) one by one.

    Raises:
        devices.NansException: `check_for_nans` is set and all of the latents or of a picture is NaN.
    """
    if check_for_nans:
        devices.test_for_nans(batch, "unet")
    pictures = DecodedSamples()
    for place in range(batch.shape[0]):
        picture = decode_first_stage(model, batch[place : place + 1])[0]
        if check_for_nans:
            devices.test_for_nans(picture, "vae")
        pictures.append(picture if target_device is None else picture.to(target_device))
    return pictures


def create_random_tensors(
    shape: Any,
    seeds: list[int],
    subseeds: list[int] | None = None,
    subseed_strength: float = 0.0,
    seed_resize_from_h: int = 0,
    seed_resize_from_w: int = 0,
    p: Any = None,
) -> torch.Tensor:
    """The first noise of these seeds, (len(seeds), *shape)."""
    source = rng.ImageRNG(
        shape,
        seeds,
        subseeds=subseeds,
        subseed_strength=subseed_strength,
        seed_resize_from_h=seed_resize_from_h,
        seed_resize_from_w=seed_resize_from_w,
    )
    return source.next()
