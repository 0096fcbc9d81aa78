"""Text conditions of the two branches, cond and uncond, brought to one length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from motion_module.core.module.devices import place_of_video

_TEXT = "crossattn"  # the tokens in SDXL's condition, which is a dict
_MARK = 1024.0


def pad_to_same_length(cond: Any, uncond: Any, empty: Tensor) -> tuple[Any, Any]:
    """Lengthen the shorter of two conditions with the empty prompt, so that both can go through one model call.

    Args:
        cond: `(rows, tokens, c)`, or SDXL's dict of tensors with such a one under "crossattn".
        uncond: likewise; the numbers of rows may differ.
        empty: `(1, tokens, c)`, the empty prompt, as the host keeps it in `cond_stage_model_empty_prompt`.

    Returns:
        Both conditions; what had to be lengthened is new, nothing is changed in place.
    """
    cond, uncond = all_of_one_length([cond, uncond], empty)
    return cond, uncond


def all_of_one_length(conds: Sequence[Any], empty: Tensor) -> list[Any]:
    """Conditions, each `(tokens, c)` or with rows before that, or SDXL's dict, lengthened to the longest of them."""
    tokens = max(_text(cond).shape[-2] for cond in conds)
    return [_padded(cond, tokens, empty) for cond in conds]


def waiting(cond: Any, uncond: Any) -> tuple[Any, Any]:
    """Conditions where the frames of a long video wait for their window: see `place_of_video`.

    Args:
        cond, uncond: a tensor, or SDXL's dict of such; both are on the same device.
    """
    tensors = [*_tensors(cond), *_tensors(uncond)]
    place = place_of_video(_text(cond).device, sum(tensor.numel() * tensor.element_size() for tensor in tensors))
    return _moved(cond, place), _moved(uncond, place)


def past_mark(cond: Any, change: Callable[[Any], Any]) -> Any:
    """Change a condition, but not the token that ControlNet puts before the text to mark whose it is.

    Its size (1024 in every channel) would decide how the rest is interpolated.

    Args:
        cond: `(rows, tokens, c)`, or SDXL's dict.
        change: returns the same form with as many tokens.
    """
    text = _text(cond)
    mark, rest = text[:, :1], text[:, 1:]
    if bool((mark.abs() != _MARK).any()):
        return change(cond)
    if not isinstance(cond, dict):
        return torch.cat([mark, change(rest)], dim=1)
    changed = change(type(cond)({**cond, _TEXT: rest}))
    return type(cond)({**changed, _TEXT: torch.cat([mark, changed[_TEXT]], dim=1)})


def _tensors(cond: Any) -> list[Tensor]:
    return list(cond.values()) if isinstance(cond, dict) else [cond]


def _moved(cond: Any, place: torch.device) -> Any:
    if isinstance(cond, dict):
        return type(cond)({key: value.to(place) for key, value in cond.items()})
    return cond.to(place)


def _text(cond: Any) -> Tensor:
    return cond[_TEXT] if isinstance(cond, dict) else cond


def _padded(cond: Any, tokens: int, empty: Tensor) -> Any:
    text = _text(cond)
    missing = tokens - text.shape[-2]
    if missing <= 0:
        return cond
    times = math.ceil(missing / empty.shape[1])
    padding = empty[0].to(text).repeat(times, 1)[:missing].expand(*text.shape[:-2], -1, -1)
    padded = torch.cat([text, padding], dim=-2)
    if isinstance(cond, dict):
        return type(cond)({**cond, _TEXT: padded})
    return padded
