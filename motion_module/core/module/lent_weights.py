"""The weights of a motion module where the host samples: copies, for the length of a loan.

What is on the CPU stays the untouched master. So nothing has to come back from the device when the loan is over, and
what somebody has done to the copies (a LoRA that is added to them) goes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from motion_module.patching import replaced_call
from motion_module.stand_in import given_original

_Table = dict[str, Any]


@contextmanager
def on_device(model: nn.Module, device: torch.device | None) -> Iterator[nn.Module]:
    """Inside the block the model's weights are copies on a device; afterwards they are the very tensors of before.

    Args:
        model: on the CPU.
        device: where to; the CPU itself changes nothing. None for a host that moves the model, piece by piece and back:
            the masters see nothing of its moves.
    """
    if device is not None and device == torch.device("cpu"):
        yield model
        return
    with ExitStack() as stack:
        for table, name, master in _tensors(model):
            stack.callback(table.__setitem__, name, master)
            table[name] = _lent(master, device)
        yield model


@contextmanager
def on_device_in_turn(model: nn.Module, layers: Iterable[nn.Module], device: torch.device) -> Iterator[nn.Module]:
    """As `on_device`, but each layer's weights are there only while it is called: one layer takes memory at a time.

    What is changed there (a LoRA that is added when a layer is first called) comes back, for the layer's next call.

    Args:
        model: on the CPU.
        layers: of the model.
        device: where to; the CPU itself changes nothing.
    """
    if device == torch.device("cpu"):
        yield model
        return
    with on_device(model, None), ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced_call(layer, "forward", given_original(partial(_called_there, layer, device))))
        yield model


def _called_there(layer: nn.Module, device: torch.device, forward: Callable[..., Tensor], *args: Any) -> Tensor:
    with ExitStack() as stack:
        for table, name, here in _tensors(layer):
            there = table[name] = _lent(here, device)
            stack.callback(_put_back, table, name, here, there, there._version)
        return forward(*args)


def _put_back(table: _Table, name: str, here: Tensor, there: Tensor, version: int) -> None:
    """The tensor that was sent to the device, or what has become of it there."""
    now = table[name]
    table[name] = here if now is there and now._version == version else _lent(now, torch.device("cpu"))


def _tensors(model: nn.Module) -> list[tuple[_Table, str, Tensor]]:
    """All weights and buffers, each with the table and the name by which it is found."""
    tables: list[_Table] = [table for module in model.modules() for table in (module._parameters, module._buffers)]
    return [(table, name, value) for table in tables for name, value in table.items() if value is not None]


def _lent(master: Tensor, device: torch.device | None) -> Tensor:
    """Another object with the same values, of which torch counts the changes: it does not of what a host makes while it
    samples in inference mode."""
    with torch.inference_mode(False):
        values = master.detach() if device is None else master.detach().to(device)
        if values.is_inference():
            values = values.clone()
        return nn.Parameter(values, requires_grad=False) if isinstance(master, nn.Parameter) else values
