"""LoRA that keys of a prompt name: what the host is told of them, and what the motion module's layers add instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.frame_lora import added_by_frame
from motion_module.core.module.lora import LowRank
from motion_module.errors import CheckpointError
from motion_module.patching import assign
from motion_module.travel_loras import LoraTravel
from motion_module.webui.host import host

_KIND = "lora"
Travels = Mapping[str, LoraTravel]
LowRanks = Mapping[str, LowRank]


def told_to_host(data: Any, travels: Travels) -> Any:
    """The tags of a prompt as the host has parsed them, with one tag for each LoRA that keys name: the first.

    Else the host would add a LoRA once for each key. Where its tags make another weight together, that is what it says.
    """
    tags = (data or {}).get(_KIND, [])
    if not travels or not tags:
        return data
    told: list[Any] = []
    seen: set[str] = set()
    for tag in tags:
        name = str(tag.positional[0]) if tag.positional else ""
        if name not in travels:
            told.append(tag)
        elif name not in seen:
            seen.add(name)
            told.append(_one_tag(tag, name, travels[name]))
    return {**data, _KIND: told}


def _one_tag(tag: Any, name: str, travel: LoraTravel) -> Any:
    summed = travel.is_constant and travel.named != {travel.weights[0]}
    return type(tag)([name, str(travel.weights[0])]) if summed else tag


def settled(
    travels: Travels, low_ranks: Mapping[str, LowRanks], layers: Mapping[str, nn.Module]
) -> tuple[list[str], list[str]]:
    """Which LoRA change from frame to frame, now that the host has loaded them.

    One that is not for motion modules has one weight for all frames: that with which keys name it.

    Args:
        travels: by the names in the prompt.
        low_ranks: of the files that were read, by their path.
        layers: of the motion module, by the host's names.

    Returns:
        The names of those that change, and of those that count in all frames although not all keys name them.

    Raises:
        CheckpointError: keys give different weights to a LoRA that is not for motion modules.
    """
    changing, everywhere = [], []
    for net in host.lora_in_use():
        travel = travels.get(net.mentioned_name)
        if travel is None or travel.is_constant:
            continue
        motion = low_ranks.get(net.network_on_disk.filename, {})
        if net.modules and net.modules.keys() <= layers.keys() and len(motion) == len(net.modules):
            assign(net, te_multiplier=0.0, unet_multiplier=0.0)  # the layers add what it says
            changing.append(net.mentioned_name)
        elif len(travel.named) > 1:
            raise CheckpointError(
                f"The LoRA {net.mentioned_name} has different weights at different frames, which only a LoRA for "
                "motion modules can have; give it the same weight in each line, or write it outside of them"
            )
        else:
            everywhere.append(net.mentioned_name)
    return changing, everywhere


@contextmanager
def adding(
    changing: list[str],
    travels: Travels,
    low_ranks: Mapping[str, LowRanks],
    layers: Mapping[str, nn.Module],
    prefix: str,
    call: CallFrames,
) -> Iterator[None]:
    """While the host samples, the layers add what the LoRA say, in each frame with its own weight.

    Args:
        changing: names of LoRA.
        travels, low_ranks, layers: as in `settled`.
        prefix: of the host's names of layers.
        call: shared with the layers.
    """
    with ExitStack() as stack:
        for net in host.lora_in_use():
            name = net.mentioned_name
            if name not in changing:
                continue
            stack.enter_context(call.lora(name, travels[name].weights))
            for layer, low_rank in low_ranks[net.network_on_disk.filename].items():
                stack.enter_context(added_by_frame(layers[prefix + layer], low_rank, name, call))
        yield
