"""Latents to pictures and back, and the latents that the progress display shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from modules import devices, shared

approximation_indexes: dict[str, int] = {"Full": 0, "Approx NN": 1, "Approx cheap": 2, "TAESD": 3}


def samples_to_images_tensor(sample: torch.Tensor, approximation: int | None = None, model: Any = None) -> torch.Tensor:
    """Decodes latents (b, 4, h, w) to pictures (b, 3, 8h, 8w) in -1..1.

    Always by the model's own VAE: the quick approximations are made for the standard VAE, and this host's models,
    small enough to do without, may have another.
    """
    model = model or shared.sd_model
    with torch.no_grad():
        return model.decode_first_stage(sample.to(devices.dtype_vae))


def single_sample_to_image(sample: torch.Tensor, approximation: int | None = None) -> Image.Image:
    """Decodes the latents of one image, (4, h, w)."""
    decoded = samples_to_images_tensor(sample.unsqueeze(0), approximation)[0].mul(0.5).add(0.5).clamp(0.0, 1.0)
    return Image.fromarray((255.0 * np.moveaxis(decoded.cpu().numpy(), 0, 2)).astype(np.uint8))


def decode_first_stage(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Decodes latents by a model's VAE: (b, 4, h, w) -> (b, 3, 8h, 8w) in -1..1."""
    return samples_to_images_tensor(x, approximation_indexes.get(shared.opts.sd_vae_decode_method, 0), model)


def sample_to_image(samples: torch.Tensor, index: int = 0, approximation: int | None = None) -> Image.Image:
    """Decodes one of a batch of latents."""
    return single_sample_to_image(samples[index], approximation)


def samples_to_image_grid(samples: torch.Tensor, approximation: int | None = None) -> Image.Image:
    """Decodes a batch of latents and puts the pictures in a grid."""
    from modules import images

    return images.image_grid([single_sample_to_image(sample, approximation) for sample in samples])


def images_tensor_to_samples(image: torch.Tensor, approximation: int | None = None, model: Any = None) -> torch.Tensor:
    """Encodes pictures (b, 3, 8h, 8w) in 0..1 to latents (b, 4, h, w), one by one."""
    model = model or shared.sd_model
    pictures = image.to(devices.device, dtype=devices.dtype_vae) * 2 - 1
    encoded = [model.get_first_stage_encoding(model.encode_first_stage(picture[None])) for picture in pictures]
    return torch.cat(encoded)


def store_latent(decoded: torch.Tensor) -> None:
    """Gives the current latents to the progress display, and a picture of them if that cannot make its own."""
    shared.state.current_latent = decoded
    every = shared.opts.show_progress_every_n_steps
    if shared.parallel_processing_allowed or not shared.opts.live_previews_enable or every <= 0:
        return
    if shared.state.sampling_step % every == 0:
        shared.state.assign_current_image(sample_to_image(decoded))
