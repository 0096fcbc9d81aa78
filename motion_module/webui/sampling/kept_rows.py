"""What other extensions keep of a call of the model, and read when all rows are done.

Self-attention guidance keeps the attention maps of a layer, and uses them after the call for every picture. Where the
video is cut into windows, each call would leave its own rows only. So what is left is put together, row by row.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from motion_module.core.denoising.model_calls import ModelCall
from motion_module.patching import assign_items
from motion_module.webui.sampling.neighbours import extension_of, held_by, standing_in

_Place = tuple[int, str]


@dataclass(frozen=True)
class _Piece:
    """What was kept in one call of the model: the rows of the denoiser call, and a tensor that has them first."""

    rows: list[int]
    value: Tensor
    device: torch.device


class KeptRows:
    """What others keep while a denoiser call is cut into several calls of the model.

    They keep it in attributes of the UNet's layers, of objects that their functions there are bound to or close over,
    or in variables of their files.

    Args:
        unet: with their functions in it.
    """

    def __init__(self, unet: nn.Module) -> None:
        self._owners = list(_owners(unet))
        self._heads = {1, *(heads for module in unet.modules() if type(heads := getattr(module, "heads", 1)) is int)}
        self._pieces: dict[_Place, list[_Piece]] = {}
        self._rows = 0

    @property
    def any(self) -> bool:
        """Whether somebody may keep something."""
        return bool(self._owners)

    @contextmanager
    def during(self, call: ModelCall) -> Iterator[None]:
        """One call of the model; what it leaves is noted."""
        self._rows = call.layout.rows
        before = {place: weakref.ref(value) for place, value in self._tensors()}
        yield
        for place, value in self._tensors():
            if place not in before or before[place]() is not value:
                piece = _Piece(call.rows, value.cpu(), value.device)  # what is done waits there
                self._pieces.setdefault(place, []).append(piece)

    def put_together(self) -> None:
        """All calls are over: whoever has kept the rows of each of them finds those of all."""
        for (owner, name), pieces in self._pieces.items():
            whole = _whole(pieces, self._rows, self._heads)
            if whole is not None:
                assign_items(self._owners[owner], {name: whole})
        self._pieces.clear()

    def _tensors(self) -> Iterator[tuple[_Place, Tensor]]:
        for number, owner in enumerate(self._owners):
            for name, value in list(owner.items()):
                if isinstance(value, Tensor) and value.dim():
                    yield (number, name), value


def _owners(unet: nn.Module) -> Iterator[dict[str, Any]]:
    """Where others that stand in the UNet may keep something, as dicts of names; nothing where nobody does."""
    functions = [function for function in standing_in(unet) if extension_of(function)]
    if not functions:
        return
    yield from (vars(module) for module in unet.modules())
    variables = [getattr(getattr(function, "__func__", function), "__globals__", {}) for function in functions]
    yield from {id(names): names for names in variables}.values()
    held = [owner for function in functions for _, owner in held_by(function)]
    objects = {id(owner): owner for owner in held if hasattr(owner, "__dict__") and not isinstance(owner, nn.Module)}
    yield from (vars(owner) for owner in objects.values() if isinstance(vars(owner), dict))


def _whole(pieces: list[_Piece], rows: int, heads: set[int]) -> Tensor | None:
    """The rows of all calls; None if these are no rows: each may be there once, or once for each head of attention.

    A frame that several windows show is that of the last one.
    """
    times = {piece.value.shape[0] / len(piece.rows) for piece in pieces}
    shapes = {piece.value.shape[1:] for piece in pieces}
    known = {row for piece in pieces for row in piece.rows}
    if len(times) > 1 or len(shapes) > 1 or len(known) < rows or not times <= heads:
        return None
    each = int(times.pop())
    whole = pieces[0].value.new_empty(rows, each, *shapes.pop())
    for piece in pieces:
        whole[piece.rows] = piece.value.unflatten(0, (len(piece.rows), each))
    return whole.flatten(0, 1).to(pieces[0].device)
