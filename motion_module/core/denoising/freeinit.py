"""FreeInit (Wu et al. 2023, arXiv 2312.07537): sample again from the low frequencies of the last result."""

from __future__ import annotations

import torch
from torch import Tensor

from motion_module.core.module.devices import where_it_can

_BUTTERWORTH_ORDER = 4


def low_pass(shape: tuple[int, int, int], kind: str, spatial: float, temporal: float) -> Tensor:
    """The low-pass filter, with the zero frequency in the centre.

    Args:
        shape: (f, h, w).
        kind: "butterworth", "gaussian", "ideal" or "box".
        spatial: d_s, cut-off in 0..1; 0 lets nothing pass.
        temporal: d_t, likewise.

    Returns:
        float32 tensor of `shape` with values in 0..1.

    Raises:
        ValueError: an unknown kind.
    """
    if spatial == 0 or temporal == 0:
        return torch.zeros(shape)
    if kind == "box":
        return _box(shape, spatial, temporal)
    t, h, w = (2 * torch.arange(size) / size - 1 for size in shape)
    squared = ((spatial / temporal * t) ** 2)[:, None, None] + (h**2)[None, :, None] + (w**2)[None, None, :]
    if kind == "gaussian":
        return torch.exp(-squared / (2 * spatial**2))
    if kind == "butterworth":
        return 1 / (1 + (squared / spatial**2) ** _BUTTERWORTH_ORDER)
    if kind == "ideal":
        return (squared <= 2 * spatial).float()
    raise ValueError(f"there is no filter {kind!r}")


def noised_again(latents: Tensor, noise: Tensor, alpha_cumprod: float) -> Tensor:
    """The result of a pass, brought back to the last timestep with the noise it began with.

    Args:
        latents: f c h w, a finished pass.
        noise: f c h w, the noise of the first pass.
        alpha_cumprod: the model's own at t = T-1.
    """
    return alpha_cumprod**0.5 * latents + (1 - alpha_cumprod) ** 0.5 * noise


def mix_frequencies(low: Tensor, high: Tensor, passes: Tensor) -> Tensor:
    """Low frequencies of one video and high frequencies of another.

    Args:
        low, high: f c h w.
        passes: f h w, from `low_pass`.

    Returns:
        f c h w in low's dtype and on its device.
    """
    return where_it_can("FreeInit", _mixed, low, high.to(low.device), torch.fft.ifftshift(passes)[:, None])


def _mixed(low: Tensor, high: Tensor, mask: Tensor) -> Tensor:
    axes, mask = (0, 2, 3), mask.to(low.device)
    mixed = torch.fft.fftn(low.float(), dim=axes) * mask + torch.fft.fftn(high.float(), dim=axes) * (1 - mask)
    return torch.fft.ifftn(mixed, dim=axes).real.to(low.dtype)


def _box(shape: tuple[int, int, int], spatial: float, temporal: float) -> Tensor:
    frames, height, width = shape
    mask = torch.zeros(shape)
    t, s = round(frames // 2 * temporal), round(height // 2 * spatial)
    middle = [size // 2 for size in (frames, height, width)]
    mask[middle[0] - t : middle[0] + t, middle[1] - s : middle[1] + s, middle[2] - s : middle[2] + s] = 1
    return mask
