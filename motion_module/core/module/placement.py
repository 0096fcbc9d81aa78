"""Putting a motion module's layers into a UNet of the ldm or sgm kind, and taking them out again."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import LentLayer, MotionModule
from motion_module.core.module.model import MotionModel
from motion_module.core.module.norm import norms_over_frames
from motion_module.errors import CheckpointError
from motion_module.patching import inserted

LayerSlot = tuple[nn.Sequential, int, MotionModule]

# input_blocks: the first conv or a Downsample, then two with layers; output_blocks: three with layers
_BLOCKS_PER_LEVEL = 3

_LENT: weakref.WeakKeyDictionary[MotionModule, weakref.ref[LentLayer]] = weakref.WeakKeyDictionary()
"""What stood for a layer in a UNet the last time, as long as somebody keeps that."""


@contextmanager
def mounted(
    unet: nn.Module, model: MotionModel, call: CallFrames, norms: Iterable[nn.Module], name: str | None = None
) -> Iterator[None]:
    """The UNet with the motion layers in their slots, as it was afterwards.

    Args:
        unet: `UNetModel` of ldm or sgm, or of their shape.
        model: its widths must be the UNet's.
        call: whoever calls the UNet sets `call.frames` first.
        norms: those of its ResBlocks and before its last layer, which go over frames where the kind asks for it.
        name: of each motion layer in its block, whose own layers then keep their names; it stays where it is when the
            UNet is moved. None numbers them all by their places.

    Raises:
        CheckpointError: the module is for another family of models; nothing has been changed then.
    """
    _drop_empty(unet)
    slots = layer_slots(unet, model)
    level_of = {layer: level for level, layers in enumerate(model.levels()) for layer in layers}
    with ExitStack() as stack:
        for block, index, layer in slots:
            lent = stack.enter_context(_lent(layer, call, level_of[layer], stays=name is not None))
            stack.enter_context(inserted(block, index, lent, name))
        if model.spec.kind.groupnorm_over_frames:
            stack.enter_context(norms_over_frames(norms, call))
        yield


@contextmanager
def _lent(layer: MotionModule, call: CallFrames, level: int, stays: bool) -> Iterator[LentLayer]:
    """What stands for a layer in the UNet: the last one, if somebody has kept it, and may put it back in this loan."""
    last = _LENT[layer]() if layer in _LENT else None
    lent = last if last is not None and last.empty else LentLayer(layer, call, level, stays)
    lent.lend(layer, call)
    _LENT[layer] = weakref.ref(lent)
    try:
        yield lent
    finally:
        lent.give_back()


def _drop_empty(unet: nn.Module) -> None:
    """Take layers of former loans out that somebody has put back."""
    for block in [module for module in unet.modules() if isinstance(module, nn.Sequential)]:
        for index in reversed(range(len(block))):
            layer = block[index]
            if isinstance(layer, LentLayer) and layer.empty:
                del block[index]


def layer_slots(unet: nn.Module, model: MotionModel) -> list[LayerSlot]:
    """Which layer goes where: (block, index in the block, layer).

    Raises:
        CheckpointError: the UNet has other levels or widths than the module; the sentence names both families.
    """
    _check_widths(unet, model)
    slots: list[LayerSlot] = []
    for level, motion in enumerate(model.down_levels()):
        for j, layer in enumerate(motion):
            block = _blocks(unet, "input_blocks")[level * _BLOCKS_PER_LEVEL + 1 + j]
            slots.append((block, len(block), layer))
    for level, motion in enumerate(model.up_levels()):
        for j, layer in enumerate(motion):
            block = _blocks(unet, "output_blocks")[level * _BLOCKS_PER_LEVEL + j]
            slots.append((block, len(block) - _ends_in_upsample(block), layer))
    middle: Any = unet.middle_block
    return slots + [(middle, len(middle) - 1, layer) for layer in model.middle()]


def unet_widths(unet: nn.Module) -> tuple[int, ...]:
    """Channels of each level of a UNet, from the outermost to the innermost."""
    blocks = _blocks(unet, "input_blocks")
    return tuple(_width(blocks[i]) for i in range(1, len(blocks), _BLOCKS_PER_LEVEL))


def family_of_widths(widths: tuple[int, ...]) -> str:
    """What people call the models whose UNet has these levels."""
    known = {(320, 640, 1280, 1280): "SD1.5", (320, 640, 1280): "SDXL", (384, 768, 1536, 1536): "SDXL refiner"}
    return known.get(widths, "SDXL" if len(widths) == 3 else "SD1.5")


def _check_widths(unet: nn.Module, model: MotionModel) -> None:
    of_unet, of_model = unet_widths(unet), model.spec.widths
    if of_unet != of_model:
        family = family_of_widths(of_unet)
        raise CheckpointError(
            f"{model.name} is a motion module ({model.spec.kind.name}) for {model.spec.kind.family} models with widths "
            f"{_listed(of_model)}, but the loaded checkpoint is {family} with widths {_listed(of_unet)}: "
            f"choose a motion module for {family} or another checkpoint"
        )


def _blocks(unet: nn.Module, name: str) -> Any:
    blocks = getattr(unet, name, None)
    if not isinstance(blocks, nn.ModuleList):
        raise CheckpointError(f"The loaded checkpoint's UNet ({type(unet).__name__}) has no place for a motion module")
    return blocks


def _width(block: nn.Sequential) -> int:
    widths: list[Any] = [layer.out_channels for layer in block if hasattr(layer, "out_channels")]
    return int(widths[0]) if widths else 0


def _ends_in_upsample(block: nn.Sequential) -> bool:
    return type(block[-1]).__name__ == "Upsample"  # by name: ldm and sgm each have their own class


def _listed(widths: tuple[int, ...]) -> str:
    return "/".join(map(str, widths))
