"""A motion module as a whole: the layers for every place in a UNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from motion_module.core.arch import ModuleSpec
from motion_module.core.attention import sinusoid
from motion_module.core.checkpoint import read_motion_weights
from motion_module.core.layers import MotionModule
from motion_module.errors import CheckpointError

DOWN_MODULES, UP_MODULES = 2, 3  # in each level of the UNet


class MotionLevel(nn.Module):
    """The motion modules of one level, under their published name."""

    def __init__(self, width: int, count: int, spec: ModuleSpec) -> None:
        super().__init__()
        self.motion_modules = nn.ModuleList([MotionModule(width, spec) for _ in range(count)])


class MotionModel(nn.Module):
    """All layers of a motion module; its state dict has the keys of the published files.

    Attributes:
        spec: kind and sizes.
        name: what to call it in messages.
    """

    def __init__(self, spec: ModuleSpec, name: str = "motion module") -> None:
        super().__init__()
        self.spec = spec
        self.name = name
        self.down_blocks = nn.ModuleList([MotionLevel(width, DOWN_MODULES, spec) for width in spec.widths])
        if spec.has_up:
            self.up_blocks = nn.ModuleList([MotionLevel(width, UP_MODULES, spec) for width in spec.widths[::-1]])
        if spec.has_mid:
            self.mid_block = MotionLevel(spec.widths[-1], 1, spec)

    def down_levels(self) -> list[list[MotionModule]]:
        """The layers for each level of the UNet's first half, from the outermost to the innermost."""
        return [_layers_in(level) for level in self.down_blocks]

    def up_levels(self) -> list[list[MotionModule]]:
        """The layers for each level of the UNet's second half, from the innermost to the outermost."""
        return [_layers_in(level) for level in self.up_blocks] if self.spec.has_up else []

    def middle(self) -> list[MotionModule]:
        """The layer for the UNet's middle, if the kind has one."""
        return _layers_in(self.mid_block) if self.spec.has_mid else []

    def layers(self) -> list[MotionModule]:
        """Every layer that goes into the UNet."""
        return _layers_in(self)


def load_motion_model(path: Path | str, device: torch.device | str, dtype: torch.dtype) -> MotionModel:
    """The motion module in a file, ready for inference.

    Raises:
        CheckpointError: the file is not a motion module, or parts of it are missing or have another shape.
    """
    spec, weights = read_motion_weights(path)
    return build_motion_model(spec, weights, Path(path).name, device, dtype)


def build_motion_model(
    spec: ModuleSpec, weights: Mapping[str, Tensor], name: str, device: torch.device | str, dtype: torch.dtype
) -> MotionModel:
    """A model of the given shape and weights (published names); positions that the file lacks are made.

    Raises:
        CheckpointError: parts are missing, too many, or have another shape.
    """
    with torch.device("meta"):  # no memory and no random numbers for weights that are about to be replaced
        model = MotionModel(spec, name)
    weights = {key: value.to(device, dtype) for key, value in _with_positions(model, spec, weights).items()}
    _check_shapes(model, weights)
    model.load_state_dict(weights, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def _layers_in(owner: nn.Module) -> list[MotionModule]:
    return [module for module in owner.modules() if isinstance(module, MotionModule)]


def _with_positions(model: MotionModel, spec: ModuleSpec, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AnimateLCM's files leave the positions out."""
    made = {
        key: sinusoid(spec.frames, empty.shape[-1])
        for key, empty in model.state_dict().items()
        if key.endswith("pos_encoder.pe")
    }
    stored = any(key in weights for key in made)
    return dict(weights) if stored else {**weights, **made}


def _check_shapes(model: MotionModel, weights: Mapping[str, Tensor]) -> None:
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    for problem, keys in (
        ("lacks", expected.keys() - found.keys()),
        ("has an unknown part", found.keys() - expected.keys()),
        ("has an unexpected shape in", {k for k in expected.keys() & found.keys() if expected[k] != found[k]}),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"{model.name} looks like {model.spec.kind.name}, but {problem} {min(keys)}{more}.")
