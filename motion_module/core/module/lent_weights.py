"""The weights of a motion module where the host samples: copies, for the length of a loan.

What is on the CPU stays the untouched master. So nothing has to come back from the device when the loan is over, and
what somebody has done to the copies (a LoRA that is added to them) goes with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


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
        for module in model.modules():
            tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for table in tables:
                for name, master in list(table.items()):
                    if master is not None:
                        stack.callback(table.__setitem__, name, master)
                        table[name] = _lent(master, device)
        yield model


def _lent(master: Tensor, device: torch.device | None) -> Tensor:
    """Another object with the same values."""
    values = master.detach() if device is None else master.detach().to(device)
    return nn.Parameter(values, requires_grad=False) if isinstance(master, nn.Parameter) else values
