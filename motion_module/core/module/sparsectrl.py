"""SparseCtrl's temporal layers (2311.16933), which sd-webui-controlnet builds through us for its own network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from motion_module.core.module.arch import SPARSE_CTRL_SPEC, ModuleSpec
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.keys import normalise_keys
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.model import build_motion_model
from motion_module.errors import CheckpointError

_FIRST_NORM = "down_blocks.{}.motion_modules.0.temporal_transformer.norm.weight"
_POSITIONS = "pos_encoder.pe"


class MotionModuleType(Enum):
    """The kind of layers that ControlNet asks for."""

    SparseCtrl = "AnimateDiff SparseCtrl"


class MotionWrapper(nn.Module):
    """Temporal layers for a control network: `down_blocks[i].motion_modules[j](x)`, `x: (b f) c h w`.

    Outside of a video every picture is a video of one frame. Within one, the session that is running tells the layers
    how many frames a call has.

    Args:
        mm_name, mm_hash: not used; the weights come later, through `load_state_dict`.
        mm_type: what to build; there is one kind.
    """

    def __init__(
        self, mm_name: str = "", mm_hash: str = "", mm_type: MotionModuleType = MotionModuleType.SparseCtrl
    ) -> None:
        super().__init__()
        self.mm_type = mm_type
        self.down_blocks = nn.ModuleList()  # their widths are those of the file

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Build the layers that the weights describe, of any width, and fill them.

        Raises:
            CheckpointError: these are not SparseCtrl's layers.
        """
        weights = normalise_keys(state_dict)
        model = build_motion_model(_spec_of(weights), weights, "SparseCtrl", "cpu", _dtype_of(weights))
        self.down_blocks = model.down_blocks
        for layer in temporal_layers(self):
            layer.call = CallFrames(frames=1)
        return super().load_state_dict(weights, strict=strict)


def temporal_layers(owner: nn.Module) -> list[MotionModule]:
    """Our layers inside somebody's network."""
    return [module for module in nn.Module.modules(owner) if isinstance(module, MotionModule)]


def _spec_of(weights: Mapping[str, Tensor]) -> ModuleSpec:
    widths = [weights[key].shape[0] for i in range(4) if (key := _FIRST_NORM.format(i)) in weights]
    positions = [value for key, value in weights.items() if key.endswith(_POSITIONS)]
    if len(widths) != len(SPARSE_CTRL_SPEC.widths) or not positions:
        raise CheckpointError("The control model has motion layers, but not those of SparseCtrl")
    return dataclasses.replace(SPARSE_CTRL_SPEC, widths=tuple(widths), frames=positions[0].shape[1])


def _dtype_of(weights: Mapping[str, Tensor]) -> torch.dtype:
    return next(iter(weights.values())).dtype
