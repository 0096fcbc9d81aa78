"""Motion LoRA as they are published, under the names by which the host's LoRA loader finds layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from motion_module.core.model import MotionModel
from motion_module.errors import CheckpointError

_PREFIX = "lora_unet_"
_WRAPPED = re.compile(r"^(?:module\.|unet\.|model\.)+")
# The published ways to say "the down half of to_q": guoyww and diffusers' processors, diffusers' PEFT, kohya.
_ENDINGS = (
    (re.compile(r"\.processor\.(to_[qkv]|to_out)_lora\.(down|up)\.weight$"), r".\1.lora_\2.weight"),
    (re.compile(r"\.(to_[qkv]|to_out)\.lora\.(down|up)\.weight$"), r".\1.lora_\2.weight"),
    (re.compile(r"\.lora_A(?:\.default)?\.weight$"), ".lora_down.weight"),
    (re.compile(r"\.lora_B(?:\.default)?\.weight$"), ".lora_up.weight"),
)
_PARTS = re.compile(r"^(?P<module>.+?)\.(?P<part>lora_down\.weight|lora_up\.weight|alpha)$")
# diffusers' names inside a motion module -> the published ones
_INSIDE = (
    (re.compile(r"(_motion_modules_\d+)_(?!temporal_transformer)"), r"\1_temporal_transformer_"),
    (re.compile(r"_attn1_"), "_attention_blocks_0_"),
    (re.compile(r"_attn2_"), "_attention_blocks_1_"),
    (re.compile(r"_processor_"), "_"),
)
_OUT = re.compile(r"_to_out$")


@dataclass(frozen=True)
class LowRank:
    """What a LoRA adds to one linear layer.

    Attributes:
        down: (rank, in).
        up: (out, rank).
        alpha: strength as trained; None counts as the rank.
    """

    down: Tensor
    up: Tensor
    alpha: float | None = None

    def delta(self, weight: float = 1.0) -> Tensor:
        """`weight * (alpha / rank) * up @ down`, (out, in), float32 (LoRA, 2106.09685)."""
        rank = self.down.shape[0]
        scale = weight * (1.0 if self.alpha is None else self.alpha / rank)
        return scale * (self.up.float().flatten(1) @ self.down.float().flatten(1))


def host_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a LoRA file under kohya's names, which the host's loader knows.

    `lora_unet_<module name with underscores>.{lora_down.weight,lora_up.weight,alpha}`. Motion layers get the names of
    the published motion modules; spatial layers (the v3 adapter, AnimateLCM's LoRA) keep diffusers' names, which the
    host translates itself. Keys of other kinds stay as they are.
    """
    return {_host_key(key): value for key, value in state.items()}


def motion_low_ranks(state: Mapping[str, Tensor], name: str) -> dict[str, LowRank]:
    """The motion layers in a LoRA: module name with underscores, as in `linear_layers` -> what is added to it.

    Args:
        state: the tensors by any of the published names.
        name: the LoRA, for messages.

    Raises:
        CheckpointError: one half of a layer is missing.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in host_keys(state).items():
        found = _PARTS.match(key)
        if found and "_motion_modules_" in key:
            parts.setdefault(found["module"].removeprefix(_PREFIX), {})[found["part"].partition(".")[0]] = value
    for module, halves in parts.items():
        if not {"lora_down", "lora_up"} <= halves.keys():
            raise CheckpointError(
                f"The motion LoRA {name} is not whole: {module} has only {', '.join(sorted(halves))}."
            )
    return {
        module: LowRank(halves["lora_down"], halves["lora_up"], float(halves["alpha"]) if "alpha" in halves else None)
        for module, halves in parts.items()
    }


def linear_layers(model: MotionModel) -> dict[str, nn.Linear]:
    """The layers that a motion LoRA can change, by name with underscores, as the host's layer mapping has them."""
    return {name.replace(".", "_"): part for name, part in model.named_modules() if isinstance(part, nn.Linear)}


def check_fits(low_ranks: Mapping[str, LowRank], model: MotionModel, name: str) -> None:
    """See that every layer of a motion LoRA finds its place.

    Raises:
        CheckpointError: one does not; the sentence names the LoRA, the motion module and the layer.
    """
    layers = linear_layers(model)
    for module, low_rank in low_ranks.items():
        layer = layers.get(module)
        shape = (low_rank.up.shape[0], low_rank.down.shape[1])
        if layer is None or tuple(layer.weight.shape) != shape:
            has = "has no such layer" if layer is None else f"has one of another size ({_by(layer.weight.shape)})"
            raise CheckpointError(
                f"The motion LoRA {name} changes {module} ({_by(shape)}), but {model.name} "
                f"({model.spec.kind.name}) {has}: use a motion module of the kind that the LoRA was made for."
            )


def _host_key(key: str) -> str:
    if not key.startswith("lora_"):
        key = _WRAPPED.sub("", key)
        for pattern, ending in _ENDINGS:
            key = pattern.sub(ending, key)
    found = _PARTS.match(key)
    if not found:
        return key
    module = found["module"].replace(".", "_")
    if "_motion_modules_" in module:
        for pattern, replacement in _INSIDE:
            module = pattern.sub(replacement, module)
    module = _OUT.sub("_to_out_0", module)
    return f"{module if module.startswith('lora_') else _PREFIX + module}.{found['part']}"


def _by(shape: torch.Size | tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
