"""Motion modules in training: made, mounted, and run in one piece with gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from motion_module.core.module.arch import V1, V2, ModuleSpec
from motion_module.core.module.attention import Positions
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import TemporalTransformer
from motion_module.core.module.model import MotionModel
from motion_module.core.module.norm import layers_named
from motion_module.core.module.placement import mounted
from motion_module.patching import replaced
from train.unet import WIDTHS, hold_out_rows

V2_SPEC = ModuleSpec(V2, WIDTHS, frames=32, has_mid=True)
V1_SPEC = ModuleSpec(V1, WIDTHS, frames=24)


def build(spec: ModuleSpec) -> MotionModel:
    """A motion module that adds nothing yet."""
    model = MotionModel(spec)
    for layer in model.layers():
        projection = layer.temporal_transformer.proj_out
        nn.init.zeros_(projection.weight)
        nn.init.zeros_(projection.bias)
    hold_out_rows(model.up_levels()[-1][-1].temporal_transformer.proj_out)
    return model


def copy_into_v1(v2: MotionModel, v1: MotionModel) -> None:
    """Starts a v1 module from a v2 one: the same layers, without the middle, fewer positions."""
    theirs = v2.state_dict()
    v1.load_state_dict({name: theirs[name][:, : own.shape[1]] if name.endswith("pe") else theirs[name]
                        for name, own in v1.state_dict().items()})  # fmt: skip


@contextmanager
def on_clips(unet: nn.Module, model: MotionModel, places: Tensor) -> Iterator[None]:
    """The UNet with the motion layers, for rows `(b f)` whose frames stand at `places: f` of their clip."""
    call = CallFrames(frames=len(places))
    with ExitStack() as stack:
        stack.enter_context(replaced(TemporalTransformer, "forward", _whole))
        stack.enter_context(_positions(model, places))
        stack.enter_context(mounted(unet, model, call, layers_named(unet, "GroupNorm32")))
        yield


def _whole(self: TemporalTransformer, x: Tensor, call: CallFrames, level: int | None = None) -> Tensor:
    """The layer without its blocks of pixels, which are written into in place and so have no gradient."""
    (rows, channels, height, width), copies = x.shape, call.copies(x.shape[0])
    h = self.norm(x).view(copies, rows // copies, channels, height * width)
    h = h.permute(0, 3, 1, 2).reshape(copies * height * width, rows // copies, channels)
    h = self.proj_in(h)
    for block in self.transformer_blocks:
        h = block(h, call.motion_scale)
    h = self.proj_out(h).view(copies, height * width, rows // copies, channels)
    return x + h.permute(0, 2, 3, 1).reshape(x.shape)


@contextmanager
def _positions(model: MotionModel, places: Tensor) -> Iterator[None]:
    """The stored positions of some frames only: a few frames of a clip teach nearly as much as all of them."""
    encoders = [module for module in model.modules() if isinstance(module, Positions)]
    stored = [encoder.pe for encoder in encoders]
    for encoder in encoders:
        encoder.pe = encoder.pe[:, places.to(encoder.pe.device)]
    try:
        yield
    finally:
        for encoder, pe in zip(encoders, stored, strict=True):
            encoder.pe = pe


def draw_places(count: int, frames: int, generator: torch.Generator) -> Tensor:
    """`count` of `frames` places in a clip, ascending, one in each of `count` equal parts."""
    parts = (torch.arange(count) + torch.rand(count, generator=generator)) * frames / count
    return parts.long().clamp(max=frames - 1)
