"""A device that cannot do much, as Apple's MPS, DirectML and others at times: it has the processor's memory and another
name. Tensors on it and on the CPU do not meet, and what it refuses is refused as torch words it."""

import torch
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("mps")
REFUSED = {
    "acos",
    "index_add",
    "index_add_",
    "lerp",
    "fft_fftn",
    "fft_ifftn",
    "fft_fft",
    "fft_ifft",
    "nan_to_num",
    "scatter",
    "cosine_similarity",
    "equal",
    "allclose",
    "scaled_dot_product_attention",
    "grid_sample",
}


def on_device(value):
    """A plain tensor on the device; the same memory."""
    if value.dtype in (torch.float64, torch.complex128):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    return value.as_subclass(Weak)


def plain(value):
    """What it is without the device."""
    if isinstance(value, Weak):
        return value.as_subclass(torch.Tensor)
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _wrapped(value):
    if isinstance(value, torch.Tensor):
        return on_device(value)
    if type(value) in (list, tuple):
        return type(value)(map(_wrapped, value))
    return value


def _target(args, kwargs):
    """The device that `Tensor.to(...)` names, None if it names none."""
    for value in [*args[1:], *kwargs.values()]:
        if isinstance(value, Weak):
            return DEVICE
        if isinstance(value, torch.Tensor):
            return torch.device("cpu")
        if isinstance(value, (str, torch.device)):
            return torch.device(value)
    return None


class Weak(torch.Tensor):
    """A tensor on the device."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:
            return DEVICE
        if name in REFUSED:
            raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented for the MPS device.\n")
        if name == "cpu":
            return plain(args[0])
        with torch._C.DisableTorchFunctionSubclass():
            target = _target(args, kwargs) if name == "to" else None
            if name == "to" and torch.float64 in (*args, *kwargs.values()):  # the device casts before it hands over
                raise TypeError(
                    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
                )
            if name not in ("to", "__getitem__", "__setitem__", "copy_"):
                _check_same_device([*args, *kwargs.values()])
            kwargs = {key: value for key, value in kwargs.items() if key != "device"}
            if target is not None:
                args = (args[0], *(value for value in args[1:] if not isinstance(value, (str, torch.device))))
            made = func(*plain(args), **plain(kwargs)) if len(args) > 1 or kwargs or name != "to" else plain(args[0])
            return made if target is not None and target.type == "cpu" else _wrapped(made)


def _check_same_device(values):
    flat = [item for value in values for item in (value if isinstance(value, (list, tuple)) else [value])]
    if any(type(item) is torch.Tensor and item.dim() for item in flat):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, mps and cpu!"
        )


class Present(TorchFunctionMode):
    """Inside the block the device is there: tensors can be made on it, and moved to it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if any(issubclass(kind, Weak) for kind in types) and not (name == "to" and not isinstance(args[0], Weak)):
            return func(*args, **kwargs)
        if name == "to" and _target(args, kwargs) == DEVICE:
            rest = [value for value in args[1:] if not isinstance(value, (str, torch.device))]
            keys = {key: value for key, value in kwargs.items() if key != "device"}
            return on_device(args[0].to(*plain(rest), **keys) if rest or keys else args[0].clone())
        if name != "_parse_to" and kwargs.get("device") is not None and torch.device(kwargs["device"]) == DEVICE:
            return on_device(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)
