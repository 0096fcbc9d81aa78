"""Encoding pictures once: frames that start from the same picture share one pass through the VAE."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from modules import shared
from motion_module.patching import replaced_call

_KEPT = 2  # with a mask for each frame an inpainting checkpoint sees the picture and the masked one in turn
Encode = Callable[[Tensor], Any]


def encoding_once() -> AbstractContextManager[Any]:
    """Inside the block the host's VAE encodes each of several equal pictures in a row only once."""
    return replaced_call(shared.sd_model, "encode_first_stage", row_by_row)


def row_by_row(encode: Encode) -> Encode:
    """`encode` for one picture at a time, as an inpainting checkpoint's condition hands over all frames at once.

    Args:
        encode: b c h w -> latents, or their distribution (with `parameters`, b 2c h w), which draws noise of its own
            for each picture afterwards.
    """
    encoded_before: list[tuple[Tensor, Any]] = []

    def once(x: Tensor) -> Any:
        for index, (known, encoded) in enumerate(encoded_before):
            if torch.equal(known, x):
                encoded_before.insert(0, encoded_before.pop(index))
                return encoded
        encoded_before.insert(0, (x, encode(x)))
        del encoded_before[_KEPT:]
        return encoded_before[0][1]

    def each(x: Tensor) -> Any:
        return once(x) if len(x) == 1 else _joined([once(row) for row in x.split(1)])

    return each


def _joined(encoded: list[Any]) -> Any:
    if isinstance(encoded[0], Tensor):
        return torch.cat(encoded)
    return type(encoded[0])(torch.cat([each.parameters for each in encoded]))
