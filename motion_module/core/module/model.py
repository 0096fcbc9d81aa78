"""A motion module as a whole: the layers for every layer slot of a UNet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from motion_module.core.module.arch import ModuleSpec
from motion_module.core.module.attention import sinusoid
from motion_module.core.module.checkpoint import open_motion_file
from motion_module.core.module.layers import MotionModule
from motion_module.errors import CheckpointError

DOWN_MODULES, UP_MODULES = 2, 3  # in each level of the UNet
_POSITIONS = "pos_encoder.pe"


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

    def levels(self) -> list[list[MotionModule]]:
        """The layers for each level of the UNet, in its own order: on the way down, in the middle, on the way up."""
        return [*self.down_levels(), self.middle(), *self.up_levels()]

    def layers(self) -> list[MotionModule]:
        """Every layer that goes into the UNet."""
        return _layers_in(self)


def load_motion_model(path: Path | str, device: torch.device | str, dtype: torch.dtype) -> MotionModel:
    """The motion module in a file, ready for inference.

    Raises:
        CheckpointError: the file is not a motion module, parts of it are missing or have another shape, or its values
            are no numbers; the sentence names the file.
    """
    with open_motion_file(path) as file:
        _check_shapes(file.spec, file.shapes, file.name)
        weights = file.read(dtype)
    return build_motion_model(file.spec, weights, file.name, device, dtype)


def inspect_motion_file(path: Path | str) -> ModuleSpec:
    """The shape of the motion module in a file that is whole as far as its header says; no values are read.

    Raises:
        CheckpointError: as in `load_motion_model`.
    """
    with open_motion_file(path) as file:
        _check_shapes(file.spec, file.shapes, file.name)
        return file.spec


def build_motion_model(
    spec: ModuleSpec, weights: Mapping[str, Tensor], name: str, device: torch.device | str, dtype: torch.dtype
) -> MotionModel:
    """A model of the given shape and weights (published names); positions that the file lacks are made.

    Raises:
        CheckpointError: parts are missing, too many, or have another shape.
    """
    _check_shapes(spec, {key: tuple(value.shape) for key, value in weights.items()}, name)
    model = _without_values(spec, name)
    weights = {key: value.to(device, dtype) for key, value in _with_positions(model, spec, weights).items()}
    _assign(model, weights)
    return model.requires_grad_(False).eval()


def _layers_in(owner: nn.Module) -> list[MotionModule]:
    return [module for module in owner.modules() if isinstance(module, MotionModule)]


def _with_positions(model: MotionModel, spec: ModuleSpec, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AnimateLCM's files leave the positions out."""
    made = {
        key: sinusoid(spec.frames, empty.shape[-1])
        for key, empty in model.state_dict().items()
        if key.endswith(_POSITIONS)
    }
    stored = any(key in weights for key in made)
    return dict(weights) if stored else {**weights, **made}


def _assign(model: MotionModel, weights: Mapping[str, Tensor]) -> None:
    """Have the very tensors be the weights (names and shapes fit); `load_state_dict` of torch 2.0 only copies."""
    for key, value in weights.items():
        place, _, name = key.rpartition(".")
        owner = model.get_submodule(place)
        if isinstance(getattr(owner, name), nn.Parameter):
            owner.register_parameter(name, nn.Parameter(value, requires_grad=False))
        else:
            owner.register_buffer(name, value)


def _without_values(spec: ModuleSpec, name: str) -> MotionModel:
    with torch.device("meta"):  # no memory and no random numbers for weights that are about to be replaced
        return MotionModel(spec, name)


@lru_cache(maxsize=16)
def expected_shapes(spec: ModuleSpec) -> Mapping[str, tuple[int, ...]]:
    """The shape of every tensor in the state dict of a `MotionModel`, without building all of it."""
    levels = [(f"down_blocks.{i}", width, DOWN_MODULES) for i, width in enumerate(spec.widths)]
    if spec.has_up:
        levels += [(f"up_blocks.{i}", width, UP_MODULES) for i, width in enumerate(spec.widths[::-1])]
    if spec.has_mid:
        levels.append(("mid_block", spec.widths[-1], 1))
    with torch.device("meta"):
        layers = {width: MotionModule(width, spec).state_dict() for width in set(spec.widths)}
    return {
        f"{block}.motion_modules.{i}.{key}": tuple(value.shape)
        for block, width, count in levels
        for i in range(count)
        for key, value in layers[width].items()
    }


def _check_shapes(spec: ModuleSpec, shapes: Mapping[str, tuple[int, ...]], name: str) -> None:
    expected = expected_shapes(spec)
    if not any(key.endswith(_POSITIONS) for key in shapes):  # they are made
        expected = {key: shape for key, shape in expected.items() if not key.endswith(_POSITIONS)}
    for problem, keys in (
        ("lacks", expected.keys() - shapes.keys()),
        ("has an unknown part", shapes.keys() - expected.keys()),
        ("has an unexpected shape in", {k for k in expected.keys() & shapes.keys() if expected[k] != shapes[k]}),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"{name} looks like {spec.kind.name}, but {problem} {min(keys):.200}{more}")
