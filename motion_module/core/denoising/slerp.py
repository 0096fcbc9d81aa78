"""Prompt travel in numbers: the conditioning of each frame between those of two keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from motion_module.core.module.devices import where_it_can
from motion_module.travel import KeyMix

_NEARLY_PARALLEL = 0.9995


def travelled(cond: Any, mixes: Sequence[KeyMix], parts: int = 1) -> Any:
    """Put the conditioning of every frame between its two keys.

    Args:
        cond: `(frames * parts, ...)`, frame-major, where the rows of a key's own frame hold that key's prompt; or a
            dict of such (SDXL).
        mixes: for every frame the keys it lies between.
        parts: prompts of each frame, joined with AND.

    Returns:
        The same form; nothing is changed in place. Frames at their key keep its values bit for bit.
    """
    if isinstance(cond, dict):
        return type(cond)({key: travelled(value, mixes, parts) for key, value in cond.items()})
    rows = [(mix, part) for mix in mixes for part in range(parts)]
    left = cond[[mix.left * parts + part for mix, part in rows]]
    right = cond[[mix.right * parts + part for mix, part in rows]]
    share = torch.tensor([mix.share for mix, _ in rows], device=cond.device)
    return slerp(left, right, share)


def slerp(v0: Tensor, v1: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation row by row, over the whole tensor of each row; linear where the two are nearly parallel.

    Args:
        v0, v1: `(rows, ...)`.
        share: `(rows,)`, 0 gives v0, 1 gives v1.

    Returns:
        `(rows, ...)` in v0's dtype.
    """
    return where_it_can("prompt travel", _slerp, v0, v1, share)


def _slerp(v0: Tensor, v1: Tensor, share: Tensor) -> Tensor:
    a, b = v0.flatten(1).float(), v1.flatten(1).float()
    t = share.float()[:, None]
    dot = torch.nn.functional.cosine_similarity(a, b, dim=1, eps=1e-12)[:, None]
    angle = torch.acos(dot.clamp(-1, 1))
    curved = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    straight = a + t * (b - a)
    mixed = torch.where(dot.abs() > _NEARLY_PARALLEL, straight, curved)
    mixed = torch.where(t == 0, a, mixed)
    return mixed.to(v0.dtype).view_as(v0)
