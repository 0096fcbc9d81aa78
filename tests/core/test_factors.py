"""Motion scale and effect from frame to frame: each row has its own frame's, however the video is cut."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from motion_module.core.denoising.rows import RowLayout
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.arch import V2, ModuleSpec
from motion_module.core.module.attention import TemporalAttention
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.placement import mounted
from motion_module.errors import HostError
from motion_module.windows import WindowPlan
from tests.core.builders import fill, motion_model, norms_of, unet, unet_inputs
from tests.core.test_sliding import a_case

FRAMES = 6
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


class Counted(TorchDispatchMode):
    """Counts tensor operations by their names."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def module(width=32):
    return fill(MotionModule(width, ModuleSpec(V2, (width,) * 4, 32)), 5)


def rows(copies, width=32, size=9):
    return torch.randn(copies * FRAMES, width, size, size, generator=torch.Generator().manual_seed(1))


def run(layer, x, call, shown=()):
    layer.call = call
    with call.running(FRAMES, shown):
        return layer(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(("scale", "effect"), [(1.0, 1.0), (1.3, 0.7), (0.1, 1.9), (1.0, 0.0), (0.0, 0.3)])
def test_a_constant_is_the_number_bit_for_bit(dtype, copies, scale, effect):
    layer, x = module().to(dtype), rows(copies).to(dtype)
    wanted = run(layer, x, CallFrames(motion_scale=scale, effect=effect))
    call = CallFrames(motion_scales=[scale] * 20, effects=[effect] * 20)
    assert torch.equal(run(layer, x, call, [9, 3, 4, 0, 19, 7] * copies), wanted)


@pytest.mark.parametrize("copies", [1, 2])
def test_each_frame_has_its_own_effect(copies):
    layer, x, effects = module(), rows(copies), [0.0, 0.5, 2.0, 1.0, 0.25, 1.5]
    shown = [5, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5][: copies * FRAMES]
    got = run(layer, x, CallFrames(effects=effects), shown)
    for row, frame in enumerate(shown):
        assert torch.equal(got[row], run(layer, x, CallFrames(effect=effects[frame]))[row])


def test_each_frame_looks_at_the_others_with_its_own_motion_scale():
    layer, x = fill(TemporalAttention(32, 4, 8), 3), torch.randn(10, FRAMES, 32)
    scales = torch.rand(10, 1, FRAMES, 1) * 3
    got = layer(x, scales)
    for pixel in range(10):
        for frame in range(FRAMES):
            alone = layer(x, scales[pixel, 0, frame, 0].item())[pixel, frame]
            torch.testing.assert_close(got[pixel, frame], alone, atol=1e-6, rtol=0)
    assert (got - layer(x)).abs().max() > 1e-3


def test_each_copy_has_the_motion_scales_of_its_own_frames():
    """Two windows in one call; each is as it would be alone."""
    layer, x, scales = module(), rows(2), [0.0, 3.0, 1.0, 0.5, 8.0, 2.0, 1.5, 0.2]
    shown = [0, 1, 2, 3, 4, 5, 7, 6, 5, 4, 3, 2]
    together = run(layer, x, CallFrames(motion_scales=scales), shown)
    for part in (slice(0, FRAMES), slice(FRAMES, None)):
        alone = run(layer, x[part], CallFrames(motion_scales=scales), shown[part])
        torch.testing.assert_close(together[part], alone, atol=1e-6, rtol=0)
    assert (together - run(layer, x, CallFrames())).abs().max() > 1e-3


def through_windows(layout, options, together, step, values):
    """Each row times its own frame's effect, as a layer gets it; and the rows that went in."""
    call = CallFrames(effects=values)

    def model(x, t, cond):
        return x * call.effect_of(x).view(-1, 1, 1, 1)

    plan = WindowPlan(**{"schedule": "uniform", "blend": "overwrite", **options})
    sliding = SlidingModel(model, call, layout.frames, plan, together)
    sliding.begin(step, layout.parts, lambda x, cond: layout)
    x = torch.randn(layout.rows, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    return sliding(x, torch.zeros(layout.rows), {"c_crossattn": [torch.zeros(layout.rows, 1, 1)]}), x


@settings(max_examples=200)
@given(a_case(), st.integers(1, 2), st.randoms(use_true_random=False))
def test_whatever_the_windows_each_row_has_its_frames_value(case, tiles, random):
    """Stride, overlap, closed loops, branches apart, AND, several windows in a call, moved rows, stacked tiles."""
    layout, options, together, step = case
    layout = RowLayout(layout.frames, layout.parts, layout.uncond, tiles)
    order = list(range(layout.rows))
    random.shuffle(order)
    for moved_rows in ((), tuple(order)):
        layout = RowLayout(layout.frames, layout.parts, layout.uncond, tiles, moved_rows)
        values = [random.uniform(0.1, 2) for _ in range(layout.frames)]
        got, x = through_windows(layout, options, together, step, values)
        own = torch.tensor([values[layout.frame_of(row)[0]] for row in range(layout.rows)])
        torch.testing.assert_close(got, x * own.view(-1, 1, 1, 1), atol=1e-5, rtol=1e-5)


OPTIONS = [
    {"context": 16},
    {"context": 4, "overlap": 2},
    {"context": 4, "overlap": 1, "stride": 3, "schedule": "uniform"},
    {"context": 4, "overlap": 2, "closed_loop": "A", "schedule": "uniform", "windows_per_call": 3},
]


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("options", OPTIONS, ids=["one window", "windows", "stride", "closed, three in a call"])
def test_a_unet_with_constant_travels_is_that_with_the_numbers(kind, options):
    net, frames = unet(), 10
    x, t, text = unet_inputs(frames * 2, size=8)

    def made(call):
        sliding = SlidingModel(lambda x, t, c: net(x, t, context=c), call, frames, WindowPlan(**options))
        with torch.no_grad(), mounted(net, motion_model(kind), call, norms_of(net)):
            sliding.begin(3)
            return sliding(x, t, text)

    number = made(CallFrames(motion_scale=1.4, effect=0.8))
    assert torch.equal(made(CallFrames(motion_scales=[1.4] * frames, effects=[0.8] * frames)), number)
    travelling = made(CallFrames(motion_scales=[1.4] * frames, effects=[0.8, *[0.0] * (frames - 1)]))
    assert (travelling - number).abs().max() > 1e-3


def test_without_a_travel_a_layer_does_what_it_did():
    """By count: one product for an effect that is not 1, one for each motion scale, none of anything else."""
    layer, x = module(), rows(2)
    blocks = 2 * 2  # of 64 of the 81 pixels of each copy

    def counted(call, shown=()):
        with torch.no_grad(), Counted() as mode:
            run(layer, x, call, shown)
        return mode.counts

    plain = counted(CallFrames())
    assert plain["aten.mul.Tensor"] == blocks, "the gate's"
    assert counted(CallFrames(effect=0.5)) - plain == Counter({"aten.mul.Tensor": blocks})
    assert not {"aten.expand.default", "aten.lift_fresh.default", "aten._to_copy.default"} & set(plain)
    scaled = counted(CallFrames(motion_scale=2.0))
    assert scaled - plain == Counter({"aten.mul.Tensor": 2 * blocks})
    travels = counted(CallFrames(motion_scales=[2.0] * FRAMES, effects=[1.0] * FRAMES), [*range(FRAMES)] * 2)
    assert sum(travels.values()) > sum(scaled.values()), "or the counts say nothing"


def test_factors_are_made_once_for_all_layers_of_a_call():
    layers, call = [module() for _ in range(3)], CallFrames(effects=[0.5] * FRAMES)
    for layer in layers:
        layer.call = call
    with torch.no_grad(), Counted() as mode, call.running(FRAMES, range(FRAMES)):
        for layer in layers:
            layer(rows(1))
    assert mode.counts["aten.lift_fresh.default"] == 1


def test_a_part_of_the_copies_may_be_called_where_all_show_the_same_frames():
    layer, x, call = module(), rows(2), CallFrames(effects=[0.0, 0.5, 1.0, 1.5, 2.0, 0.2])
    whole = run(layer, x, call, [*range(FRAMES)] * 2)
    torch.testing.assert_close(run(layer, x[:FRAMES], call, [*range(FRAMES)] * 2), whole[:FRAMES], atol=1e-6, rtol=0)
    with pytest.raises(HostError, match="The UNet was called with 6 rows, and 12 were announced"):
        run(layer, x[:FRAMES], call, [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0])
    with pytest.raises(HostError, match="The UNet was called with 6 rows, and 0 were announced"):
        run(layer, x[:FRAMES], call)


def test_after_a_call_nothing_of_it_is_left():
    call = CallFrames(effects=[0.5] * FRAMES)
    before = repr(call)
    run(module(), rows(1), call, range(FRAMES))
    assert repr(call) == before
