"""What is wrong with a LoRA although the host goes on: it prints what fails in a network, and forgets it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from modules import extra_networks, shared
from motion_module.webui.host import host

_TAG = "a tag is <lora:NAME:WEIGHT>, with a number as the WEIGHT"
_INPAINTING_CHANNELS = 9  # the host widens what it adds to the first convolution of an inpainting model


def misfit(net: Any, layers: Mapping[str, nn.Module]) -> str | None:
    """Why a network that the host has built changes nothing or cannot be added, as the end of a sentence.

    Args:
        net: the host's network.
        layers: every layer that the host knows, by its name.
    """
    if not net.modules and not getattr(net, "bundle_embeddings", None):
        return f"has nothing for any layer of {_checkpoint()}; it is a LoRA for another kind of model, or not a LoRA"
    for name, module in net.modules.items():
        weight = getattr(layers.get(name), "weight", None)
        if isinstance(weight, Tensor) and hasattr(module, "calc_updown") and not _fits(module, weight):
            return (
                f"does not fit the layer {name} of {_checkpoint()} ({'x'.join(map(str, weight.shape))}); "
                "it is a LoRA for another kind of model"
            )
    return None


def unused_tag(data: dict[str, Any] | None) -> str | None:
    """The first tag of a prompt that the host knows but did not follow, as a sentence; None if there is none.

    A LoRA that does not exist is none: for it the host adds a comment to the result, as it does for pictures.

    Args:
        data: the tags as the host has parsed them, and activated.
    """
    kind = extra_networks.extra_network_registry.get("lora")
    if kind is None:
        return None
    loaded = {net.mentioned_name: net for net in host.lora_in_use()}
    for tag in extra_networks.lookup_extra_networks(data or {}).get(kind, []):
        name = tag.positional[0] if tag.positional else None
        written = f"<lora:{':'.join(map(str, tag.items))}>"
        if name is None:
            return f"{written} names no LoRA: {_TAG}"
        if name in loaded and not _is_number(loaded[name]):
            return f"{written} has no number as its weight: {_TAG}"
        if name not in loaded and host.lora_exists(name):
            return f"The LoRA {name} was not loaded for {written}; the WebUI's log says why ({_TAG})"
    return None


def _is_number(net: Any) -> bool:
    return math.isfinite(net.te_multiplier) and math.isfinite(net.unet_multiplier)


def _fits(module: Any, weight: Tensor) -> bool:
    """Whether what a network adds has the size of the weight; where possible without calculating it."""
    if weight.dim() == 4 and weight.shape[1] == _INPAINTING_CHANNELS:
        return True
    for trial in (torch.empty_like(weight, device="meta"), weight):
        try:
            with torch.no_grad():
                return module.calc_updown(trial)[0].numel() == weight.numel()
        except Exception:  # noqa: BLE001  each kind of network fails in its own way, some on "meta" alone
            continue
    return False


def _checkpoint() -> str:
    return str(shared.sd_model.sd_checkpoint_info.name_for_extra)
