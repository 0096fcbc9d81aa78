"""The file in which the latents of a video are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open  # type: ignore[attr-defined]
from safetensors.torch import load_file, save
from torch import Tensor

_NAME = "latents"  # of the tensor in the file
_DIMENSIONS = 4  # f c h w


@dataclass(frozen=True)
class LatentsHeader:
    """What the header of a file of latents says.

    Attributes:
        shape: f c h w.
        notes: what was noted with it, by name.
    """

    shape: tuple[int, int, int, int]
    notes: Mapping[str, str]


def read_header(file: Path) -> LatentsHeader | None:
    """What is in a file, without the values; None where it is damaged, or holds something else."""
    try:
        with safe_open(file, "pt") as opened:  # type: ignore[attr-defined]
            shape, notes = tuple(opened.get_slice(_NAME).get_shape()), dict(opened.metadata() or {})
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return LatentsHeader(shape, notes) if len(shape) == _DIMENSIONS and all(shape) else None


def read_latents(file: Path) -> Tensor | None:
    """The latents f c h w in a file; None where it is damaged, or holds something else."""
    try:
        latents = load_file(file)[_NAME]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    whole = latents.dim() == _DIMENSIONS and bool(latents.numel()) and bool(latents.isfinite().all())
    return latents if whole else None


def latents_as_file(latents: Tensor, notes: Mapping[str, str]) -> bytes:
    """The content of a file with the latents f c h w, in half precision, and what is noted with them."""
    return save({_NAME: latents.to("cpu", torch.float16).contiguous()}, dict(notes))


def are_latents(samples: object) -> bool:
    """Whether what a sampler has given is latents f c h w, and not pictures that are decoded already."""
    return isinstance(samples, Tensor) and samples.dim() == _DIMENSIONS
