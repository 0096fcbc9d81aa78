"""Entries of a layer that are set once and then held while everything around them learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def hold(parameter: nn.Parameter, held: Tensor, value: Tensor | float) -> None:
    """Sets the entries where `held` is True, and lets no gradient reach them.

    Args:
        parameter: of a layer.
        held: bool, of the parameter's shape.
        value: the entries' values, as a tensor of the same shape or one number for all.
    """
    with torch.no_grad():
        parameter.copy_(torch.where(held, torch.as_tensor(value, dtype=parameter.dtype), parameter))
    free = ~held
    parameter.register_hook(lambda gradient: gradient * free.to(gradient.device))


def hold_rows(layer: Any, rows: Any, weight: Tensor | float = 0.0, bias: Tensor | float = 0.0) -> None:
    """Holds whole output channels of a layer: `weight` and `bias` are of the full shape, or one number."""
    for parameter, value in ((layer.weight, weight), (layer.bias, bias)):
        held = torch.zeros_like(parameter, dtype=torch.bool)
        held[rows] = True
        hold(parameter, held, value)
