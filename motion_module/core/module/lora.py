"""Motion LoRA as they are published, under the names by which the host's LoRA loader finds layers."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from motion_module.core.module.lora_names import MOTION, UNET, host_key
from motion_module.core.module.model import MotionModel
from motion_module.errors import CheckpointError

_NO_ARCHIVE = (zipfile.BadZipFile, OSError, ValueError, LookupError, RuntimeError)  # what other bytes make of zipfile
_LARGEST = 1 << 28  # numbers in one layer; the largest of SDXL has a quarter of this
_HALVES = ("lora_down.weight", "lora_up.weight")


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


def host_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a LoRA file under kohya's names, which the host's loader knows (see `host_key`)."""
    return {host_key(key): value for key, value in state.items()}


def check_archive(path: Path | str, name: str) -> None:
    """See that a file that `torch.save` wrote unpacks to no more than its own size, before anything unpacks it.

    Raises:
        CheckpointError: it is a compressed archive, which a few megabytes can make fill the memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except _NO_ARCHIVE:  # its reader will say so, or read it
        return
    size = Path(path).stat().st_size
    if unpacked > size:
        raise CheckpointError(
            f"The LoRA {name} cannot be used: its file of {size:,} bytes unpacks to {unpacked:,}, which no LoRA does"
        )


def check_weights(state: Mapping[str, Tensor], name: str) -> None:
    """See that the weights of a LoRA are numbers that can be added to a layer's.

    Args:
        state: the tensors by any of the published names.
        name: the LoRA, for messages.

    Raises:
        CheckpointError: weights of a layer that are no dense, finite floating-point numbers, come twice or come
            without their other half; the sentence names the LoRA and the layer.
    """
    seen: dict[str, Tensor] = {}
    for key, value in state.items():
        host = host_key(key)
        if host.startswith("lora_"):
            fault = weights_fault(value) or _oddity(host, value, seen.get(host))
            if fault:
                raise CheckpointError(f"The LoRA {name} cannot be used: its {key:.200} {fault}")
            seen[host] = value
    for layer, parts in _layers(seen).items():
        _check_halves(layer, parts, name)


def weights_fault(value: Tensor) -> str | None:
    """What makes a tensor of a file unfit to be added to weights, as the end of a sentence; None if nothing does."""
    if not isinstance(value, Tensor):  # a pickle may hold anything
        return "is no tensor"
    if value.is_meta:
        return "has a shape but no numbers"
    if value.is_nested or value.is_quantized or value.layout is not torch.strided:
        return "is not stored as plain numbers but sparse, nested or quantised"
    if value.is_complex() or not (value.is_floating_point() or value.numel() <= 1):  # alpha may be a whole number
        return f"holds numbers of type {str(value.dtype).removeprefix('torch.')}, not floating-point numbers"
    if not value.numel():
        return "is empty"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "claims more numbers than the file holds"
    return None if _finite(value) else "holds numbers that are not finite (NaN or infinity)"


def motion_low_ranks(state: Mapping[str, Tensor], name: str) -> dict[str, LowRank]:
    """The motion layers in a LoRA: module name with underscores, as in `linear_layers` -> what is added to it.

    Args:
        state: the tensors by any of the published names.
        name: the LoRA, for messages.

    Raises:
        CheckpointError: one half of a layer is missing, or the two have different ranks.
    """
    low_ranks = {}
    for layer, parts in _layers(host_keys(state)).items():
        if MOTION in layer and parts.keys() & {*_HALVES}:
            _check_halves(layer, parts, name)
            down, up = (parts[half] for half in _HALVES)
            low_ranks[layer.removeprefix(UNET)] = LowRank(down, up, float(parts["alpha"]) if "alpha" in parts else None)
    return low_ranks


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
        shape = (low_rank.up.shape[0], low_rank.down.flatten(1).shape[1])
        if layer is None or tuple(layer.weight.shape) != shape:
            has = "has no such layer" if layer is None else f"has one of another size ({_by(layer.weight.shape)})"
            raise CheckpointError(
                f"The motion LoRA {name} changes {module} ({_by(shape)}), but {model.name} "
                f"({model.spec.kind.name}) {has}: use a motion module of the kind that the LoRA was made for"
            )


def _layers(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each layer by part, from the host's names."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        layer, _, part = key.partition(".")
        layers.setdefault(layer, {})[part] = value
    return layers


def _check_halves(layer: str, parts: Mapping[str, Tensor], name: str) -> None:
    """See that a layer has both halves or none, that they are matrices, and that their ranks agree."""
    halves = [parts[half] for half in _HALVES if half in parts]
    if not halves:
        return
    slot = layer.removeprefix(UNET)
    if len(halves) == 1:
        has = ", ".join(sorted(part.removesuffix(".weight") for part in parts))
        raise CheckpointError(f"The LoRA {name} is not whole: {slot} has only {has}")
    down, up = halves
    if min(down.dim(), up.dim()) < 2 or ("lora_mid.weight" not in parts and down.shape[0] != up.shape[1]):
        raise CheckpointError(
            f"The LoRA {name} cannot be used: in {slot} its two halves ({_by(up.shape)} and {_by(down.shape)}) "
            "do not belong together"
        )
    if up.shape[0] * down[0].numel() > _LARGEST:
        raise CheckpointError(
            f"The LoRA {name} cannot be used: it changes {slot} as if it were {up.shape[0]}x{down[0].numel()} "
            "numbers large, which no model's layer is"
        )


def _oddity(key: str, value: Tensor, other: Tensor | None) -> str | None:
    """What is wrong with a weight in its place; `other` came before under a name that means the same."""
    if key.endswith(".alpha") and value.numel() != 1:
        return f"is {_by(value.shape)} numbers, not one"
    if other is not None and not _same(value, other):
        return "names a layer that the file has already under another name, with other numbers"
    return None


def _finite(value: Tensor) -> bool:
    value = value.detach()
    return bool((value.float() if value.is_floating_point() else value).isfinite().all())


def _same(weight: Tensor, other: Tensor) -> bool:
    return weight.shape == other.shape and bool((weight.float() == other.float()).all())


def _by(shape: torch.Size | tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
