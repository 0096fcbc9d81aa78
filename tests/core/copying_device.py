"""A stand-in for a GPU: what is moved to it is copied, as to any device, and can be computed with here."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

COPYING = torch.device("cpu:0")  # another name than that of tensors on the CPU, so that torch copies them


class Transfers(TorchDispatchMode):
    """Counts what is copied from one device to another; `values` is how many numbers that were, in how many `bytes`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.values = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("dtype") in (None, args[0].dtype):
            self.count += 1
            self.values += args[0].numel()
            self.bytes += args[0].numel() * args[0].element_size()
        return func(*args, **kwargs)
