"""A motion LoRA beside the weights: in each frame with its own weight, and gone afterwards."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from torch import nn

from motion_module.core.module.arch import V2, ModuleSpec
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.frame_lora import added_by_frame
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.lora import LowRank
from tests.core.builders import fill

FRAMES = 6


def low_rank(width, alpha=None, seed=0, out=None):
    generator = torch.Generator().manual_seed(seed)
    down, up = torch.randn(4, width, generator=generator), torch.randn(out or width, 4, generator=generator)
    return LowRank(down * 0.3, up * 0.3, alpha)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_frame_has_what_a_layer_of_its_weight_makes(dtype):
    layer, lora, x = fill(nn.Linear(32, 32)), low_rank(32, alpha=2.0), torch.randn(2 * 5, FRAMES, 32)
    values, shown = torch.rand(9).tolist(), [3, 8, 1, 0, 2, 4, 8, 7, 6, 5, 4, 3]  # two copies of other frames
    call = CallFrames(weights={"pan": values})
    own = layer.weight.clone()
    with added_by_frame(layer.to(dtype), lora, "pan", call), call.running(FRAMES, shown):
        call.at(len(shown), slice(0, 2))
        got = layer(x.to(dtype))
    for copy in range(2):
        for frame in range(FRAMES):
            weight = own + values[shown[copy * FRAMES + frame]] * 2.0 / 4 * lora.up @ lora.down
            wanted = nn.functional.linear(x[copy * 5 : copy * 5 + 5, frame], weight, layer.bias.float())
            tolerance = 1e-5 if dtype == torch.float32 else 0.1
            torch.testing.assert_close(
                got[copy * 5 : copy * 5 + 5, frame].float(), wanted, atol=tolerance, rtol=tolerance
            )
    assert not layer._forward_hooks


@pytest.mark.parametrize("copies", [1, 2])
def test_a_whole_layer_with_one_weight_is_the_merged_one(copies):
    """All its linear layers, in blocks of pixels."""
    module = fill(MotionModule(32, ModuleSpec(V2, (32,) * 4, 32)), 5)
    linear = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    loras = {
        name: low_rank(part.in_features, seed=number, out=part.out_features)
        for number, (name, part) in enumerate(linear.items())
    }
    x, call = torch.randn(copies * FRAMES, 32, 9, 9), CallFrames(weights={"pan": [0.7] * FRAMES})
    module.call = call
    with ExitStack() as stack, torch.no_grad():
        for name, part in linear.items():
            stack.enter_context(added_by_frame(part, loras[name], "pan", call))
        with call.running(FRAMES, [*range(FRAMES)] * copies):
            got = module(x)
    with torch.no_grad(), call.running(FRAMES):
        plain = module(x)
        for name, part in linear.items():
            part.weight += 0.7 * loras[name].up @ loras[name].down
        torch.testing.assert_close(got, module(x), atol=2e-5, rtol=1e-4)
    assert (got - plain).abs().max() > 1e-2
