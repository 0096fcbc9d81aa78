"""Small models and files for the tests."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from motion_module.core.module.arch import HOTSHOT, LCM, LONG_V1, LONG_V2, SDXL, V1, V2, V3, ModuleSpec
from motion_module.core.module.model import MotionModel

WIDTHS = (32, 64, 64, 64)
SPECS = {
    "v1": ModuleSpec(V1, WIDTHS, 24),
    "v2": ModuleSpec(V2, WIDTHS, 32, has_mid=True),
    "v3": ModuleSpec(V3, WIDTHS, 32),
    "lcm": ModuleSpec(LCM, WIDTHS, 64, has_mid=True),
    "long v1": ModuleSpec(LONG_V1, WIDTHS, 64),
    "long v2": ModuleSpec(LONG_V2, WIDTHS, 96, has_mid=True),
    "sdxl": ModuleSpec(SDXL, WIDTHS[:3], 32),
    "hotshot": ModuleSpec(HOTSHOT, WIDTHS[:3], 24),
}


def of_the_pocket(module: str) -> ModuleType:
    """A module of ldm or diffusers; the test that asks for it is skipped where they are not installed."""
    package = module.partition(".")[0]
    return pytest.importorskip(module, reason=f"{package} is in the environment that `python3 pocket test` makes")


def fill(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of a size that keeps signals alive, zero-initialised layers included; positions stay."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        is_gain = value.dim() == 1 and name.endswith("weight")
        fan_in = value[0].numel() if value.dim() > 1 else 1
        value.data = 1 + 0.1 * noise if is_gain else noise * (0.5 * fan_in**-0.5 if value.dim() > 1 else 0.05)
    return module.eval().requires_grad_(False)


def motion_model(name: str, seed: int = 1) -> MotionModel:
    """A random motion module of a kind in `SPECS`."""
    return fill(MotionModel(SPECS[name], name), seed)


def motion_state(name: str) -> dict[str, Tensor]:
    """Its weights, under the published names."""
    return {key: value.clone() for key, value in motion_model(name).state_dict().items()}


def unet(levels: int = 4, channels: int = 32, context: int = 64) -> nn.Module:
    """An ldm UNet of SD1.5's layout (SDXL's number of levels with 3)."""
    torch.manual_seed(0)
    model = of_the_pocket("ldm.modules.diffusionmodules.openaimodel").UNetModel(
        image_size=32,
        in_channels=4,
        out_channels=4,
        model_channels=channels,
        attention_resolutions=[4, 2, 1],
        num_res_blocks=2,
        channel_mult=[1, 2, 2, 2][:levels],
        num_heads=8,
        use_spatial_transformer=True,
        transformer_depth=1,
        context_dim=context,
        use_checkpoint=False,
        legacy=False,
    )
    return fill(model, 2)


def unet_inputs(rows: int, size: int = 16, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """x, t and text for `unet()`; every row has its own noise and text.

    At size 8 the deepest norms have two values, and rounding shows in every digit.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, size, size, generator=generator)
    text = torch.randn(rows, 5, 64, generator=generator)
    return x, torch.full((rows,), 500), text


def norms_of(net):
    """Those that go over frames."""
    norm = of_the_pocket("ldm.modules.diffusionmodules.util").GroupNorm32
    return [part for part in net.modules() if isinstance(part, norm)]


def photograph(module):
    """Everything that a loan may touch, by identity."""
    found = {}
    for name, part in module.named_modules():
        found[name] = (id(part), [(key, id(value)) for key, value in part.__dict__.items() if not key.startswith("_")])
        for store in ("_modules", "_parameters", "_buffers"):
            found[name, store] = [(key, id(value)) for key, value in getattr(part, store).items()]
    return found
