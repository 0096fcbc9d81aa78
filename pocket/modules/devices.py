"""Where and in which number format the model runs: the CPU in float32, as a WebUI with `--no-half --use-cpu all`."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

cpu: torch.device = torch.device("cpu")
device: torch.device = cpu
device_interrogate: torch.device = cpu
device_gfpgan: torch.device = cpu
device_esrgan: torch.device = cpu
device_codeformer: torch.device = cpu

dtype: torch.dtype = torch.float32
dtype_vae: torch.dtype = torch.float32
dtype_unet: torch.dtype = torch.float32
dtype_inference: torch.dtype = torch.float32

fp8: bool = False
force_fp16: bool = False
unet_needs_upcast: bool = False


class NansException(Exception):  # noqa: N818 (its name in the WebUI)
    """A tensor that must hold numbers holds only NaN."""


def has_mps() -> bool:
    """Whether an Apple GPU is used: never here."""
    return False


def has_xpu() -> bool:
    """Whether an Intel GPU is used: never here."""
    return False


def get_optimal_device_name() -> str:
    """Name of the device that generation runs on."""
    return "cpu"


def get_optimal_device() -> torch.device:
    """Device that generation runs on."""
    return cpu


def get_device_for(task: str) -> torch.device:
    """Device for a task ("sd", "controlnet", ...): the CPU for every one."""
    return cpu


def torch_gc() -> None:
    """Gives cached accelerator memory back; the CPU keeps none."""


def torch_npu_set_device() -> None:
    """Selects the NPU in a WebUI that has one; nothing to select here."""


def cond_cast_unet(input: torch.Tensor) -> torch.Tensor:
    """Casts a conditioning tensor to the UNet's format where that is narrower than float32; never here."""
    return input


def cond_cast_float(input: torch.Tensor) -> torch.Tensor:
    """Casts a conditioning tensor back to float32 where the UNet's format is narrower; never here."""
    return input


def autocast(disable: bool = False) -> AbstractContextManager[None]:
    """Mixed precision for the block; float32 throughout needs none."""
    return contextlib.nullcontext()


def without_autocast(disable: bool = False) -> AbstractContextManager[None]:
    """The block without mixed precision."""
    return contextlib.nullcontext()


def test_for_nans(x: torch.Tensor, where: str) -> None:
    """Raises NansException if `x` begins with NaN: a model that overflows spreads NaN over the whole tensor.

    Args:
        x: latents or picture of any shape.
        where: "unet" or "vae", for the message.
    """
    from modules import shared

    if shared.cmd_opts.disable_nan_check or not torch.isnan(x[(0,) * x.dim()]):
        return
    source = {"unet": " in Unet", "vae": " in VAE"}.get(where, "")
    raise NansException(
        f"A tensor with NaNs was produced{source}. The checkpoint's weights overflow or are damaged."
        " Use --disable-nan-check to go on with a black picture."
    )
