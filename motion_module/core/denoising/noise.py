"""The noise that the frames of a video start from."""

from __future__ import annotations

import torch
from torch import Tensor


def same_noise(noise: Tensor) -> None:
    """Let every frame start from the noise of the first one.

    Args:
        noise: f c h w; changed in place, since the host goes on with this very tensor.
    """
    noise.copy_(noise[:1].clone().expand_as(noise))


def free_noise(noise: Tensor, context: int, overlap: int, seed: int) -> None:
    """FreeNoise (Qiu et al. 2023, arXiv 2310.15169): later frames reuse the noise of the first window, shuffled.

    The frames beyond the first window are filled hop by hop (hop = context - overlap); each hop takes the noise of
    the frames one window earlier, in an order drawn for that hop. The result for a frame does not depend on how many
    frames follow it.

    Args:
        noise: f c h w; changed in place.
        context: B, frames of a window.
        overlap: O, frames that neighbouring windows share, 0 <= O < B.
        seed: of the first frame; decides the orders.
    """
    hop = context - overlap
    generator = torch.Generator().manual_seed(seed)
    for start in range(context, noise.shape[0], hop):
        order = torch.randperm(hop, generator=generator) + start - context
        end = min(start + hop, noise.shape[0])
        noise[start:end] = noise[order[: end - start].to(noise.device)]


def noise_as_pictures(latents: Tensor, factor: int) -> Tensor:
    """Pictures that show latents as they are, three of their channels as colours; no decoder is asked.

    Args:
        latents: f c h w, of which c is at least 3.
        factor: how many times as large a picture is.

    Returns:
        f 3 (h * factor) (w * factor), in -1..1.
    """
    colours = latents[:, :3] / latents.std().clamp(min=1e-6) / 2
    return colours.clamp(-1, 1).repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2)
