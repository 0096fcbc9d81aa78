"""Latents to colours at once, without a decoder, as the live previews want it."""

from __future__ import annotations

import torch

from modules import shared

# What each of the four channels adds to red, green and blue in -1..1.
_OF_SD1 = [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
_OF_SDXL = [
    [0.3448, 0.4168, 0.4395],
    [-0.1953, -0.0290, 0.0250],
    [0.1074, 0.0886, -0.0163],
    [-0.3730, -0.2499, -0.2088],
]
_OF_POCKET = [[0.74, 0.0, 0.0], [0.0, 0.74, 0.0], [0.0, 0.0, 0.74], [0.0, 0.0, 0.0]]
"""The bundled model's latents are colours: train/latents.py."""


def cheap_approximation(sample: torch.Tensor) -> torch.Tensor:
    """Latents (..., 4, h, w) as pictures (..., 3, h, w), about in -1..1."""
    coefficients = torch.tensor(_coefficients()).to(sample.device)
    return torch.einsum("...lxy,lr -> ...rxy", sample, coefficients)


def _coefficients() -> list[list[float]]:
    model = shared.sd_model
    if model.is_sdxl:
        return _OF_SDXL
    return _OF_POCKET if getattr(model, "scale_factor", None) == 1.0 else _OF_SD1
