"""The effect in each level of the UNet, and steps in which the UNet does without the motion module."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.placement import mounted
from motion_module.windows import WindowPlan
from tests.core.builders import SPECS, motion_model, norms_of, unet, unet_inputs
from tests.core.test_factors import FRAMES, OPTIONS, Counted, module, rows, run


def levels_at(net):
    """(list, index of the block) -> the level of the motion layer in it."""
    blocks = [("input", i, block) for i, block in enumerate(net.input_blocks)]
    blocks += [("output", i, block) for i, block in enumerate(net.output_blocks)] + [("middle", 0, net.middle_block)]
    return {(name, i): layer.level for name, i, block in blocks for layer in block if isinstance(layer, MotionModule)}


def expected_levels(levels, middle):
    """By hand: two layers on the way down in each level, three on the way up, and level `levels` in the middle."""
    inputs = {1: 0, 2: 0, 4: 1, 5: 1, 7: 2, 8: 2, 10: 3, 11: 3}
    outputs = {place: levels + 1 + place // 3 for place in range(3 * levels)}
    found = {("input", place): level for place, level in inputs.items() if level < levels}
    found |= {("output", place): level for place, level in outputs.items()}
    return found | ({("middle", 0): levels} if middle else {})


@pytest.mark.parametrize("kind", ["v1", "v2", "v3", "lcm", "sdxl", "hotshot"])
def test_each_layer_knows_its_level(kind):
    levels = len(SPECS[kind].widths)
    net, model = unet(levels), motion_model(kind)
    for _ in range(2):  # a layer that somebody keeps is lent again
        with mounted(net, model, CallFrames(), norms_of(net)):
            assert levels_at(net) == expected_levels(levels, SPECS[kind].has_mid)
            kept = [layer for layer in net.modules() if isinstance(layer, MotionModule)]
    assert {layer.level for layer in model.layers()} == {None} and all(layer.empty for layer in kept)


def at_level(level, x, call, shown=()):
    layer = module()
    layer.level = level
    return run(layer, x, call, shown)


@pytest.mark.parametrize("effect", [1.0, 0.7, 1.9])
@pytest.mark.parametrize("share", [1.0, 0.5, 2.0, 0.0])
def test_a_level_multiplies_the_effect(effect, share):
    x, levels = rows(2), (0.25, share, 0.25)
    wanted = run(module(), x, CallFrames(effect=effect * share))
    assert torch.equal(at_level(1, x, CallFrames(effect=effect, levels=levels)), wanted)
    travelling = CallFrames(effects=[effect] * 20, levels=levels)
    assert torch.equal(at_level(1, x, travelling, [9, 3, 4, 0, 19, 7] * 2), wanted)
    assert torch.equal(
        at_level(None, x, CallFrames(effect=effect, levels=levels)), run(module(), x, CallFrames(effect=effect))
    )


def test_it_multiplies_each_frames_own_effect_and_leaves_the_motion_scale():
    x, effects, scales = rows(1), [0.0, 0.5, 2.0, 1.0, 0.25, 1.5], [1.0, 3.0, 0.5, 1.0, 2.0, 0.1]
    call = CallFrames(effects=effects, motion_scales=scales, levels=(1.0, 0.5))
    got = at_level(1, x, call, range(FRAMES))
    halves = [effect / 2 for effect in effects]
    assert torch.equal(got, run(module(), x, CallFrames(effects=halves, motion_scales=scales), range(FRAMES)))


def counted(call, level, shown=()):
    x, layer = rows(2), module()
    layer.level = level
    with torch.no_grad(), Counted() as mode:
        run(layer, x, call, shown)
    return mode.counts


def test_a_number_more_is_not_an_operation_more():
    plain = counted(CallFrames(), None)
    assert counted(CallFrames(), 3) == counted(CallFrames(levels=(1.0,) * 9), 3) == plain
    assert counted(CallFrames(levels=(0.5,) * 9), 3) == counted(CallFrames(effect=0.5), None)
    assert counted(CallFrames(levels=(1.0, 1.0, 1.0, 0.0)), 3) == Counter(), "a level without effect is not calculated"
    effects = {"effects": [0.5] * FRAMES}
    shown = [*range(FRAMES)] * 2
    assert counted(CallFrames(**effects, levels=(0.5,) * 9), 3, shown) == counted(CallFrames(**effects), None, shown)
    assert counted(CallFrames(**effects), None, shown) != plain, "or the counts say nothing"


def made(net, model, call, frames=6, options=OPTIONS[0], together=True):
    x, t, text = unet_inputs(frames * 2, size=8)
    sliding = SlidingModel(lambda x, t, c: net(x, t, context=c), call, frames, WindowPlan(**options), together)
    with torch.no_grad(), mounted(net, model, call, norms_of(net)):
        sliding.begin(3)
        return sliding(x, t, text)


@pytest.mark.parametrize(("kind", "level"), [("v2", 0), ("v2", 4), ("v2", 8), ("v3", 3), ("sdxl", 4)])
def test_a_unet_with_one_level_is_that_with_the_layers_of_that_level(kind, level):
    levels = len(SPECS[kind].widths)
    net, model = unet(levels), motion_model(kind)
    whole = made(net, model, CallFrames())
    got = made(net, model, CallFrames(levels=[float(place == level) for place in range(2 * levels + 1)]))
    for place, layers in enumerate(model.levels()):
        for layer in layers if place != level else ():
            layer.temporal_transformer.proj_out.weight.zero_()
            layer.temporal_transformer.proj_out.bias.zero_()
    torch.testing.assert_close(got, made(net, model, CallFrames()), atol=1e-5, rtol=0)
    assert (got - whole).abs().max() > 1e-3


def plain(net, frames, options, together=True):
    """What the UNet alone makes of the rows, cut and put together in the same way."""
    x, t, text = unet_inputs(frames * 2, size=8)
    sliding = SlidingModel(lambda x, t, c: net(x, t, context=c), CallFrames(), frames, WindowPlan(**options), together)
    with torch.no_grad():
        sliding.begin(3)
        return sliding(x, t, text)


@pytest.mark.parametrize("kind", ["v1", "v3"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=["one window", "windows", "stride", "closed, three in a call"])
def test_at_rest_the_unet_is_the_plain_one(kind, together, options):
    net, call = unet(), CallFrames(effects=[0.5] * 10)
    model = motion_model(kind)
    call.rest(True)
    resting = made(net, model, call, 10, options, together)
    assert torch.equal(resting, plain(net, 10, options, together))
    call.rest(False)
    assert (made(net, model, call, 10, options, together) - resting).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["v1", "v3"])
def test_at_rest_not_one_operation_more_is_made(kind):
    net, model, call = unet(), motion_model(kind), CallFrames()
    x, t, text = unet_inputs(4, size=8)
    with torch.no_grad(), Counted() as bare:
        net(x, t, context=text)
    call.rest(True)
    with torch.no_grad(), mounted(net, model, call, norms_of(net)), call.running(2), Counted() as resting:
        net(x, t, context=text)
    assert resting.counts == bare.counts
    call.rest(False)
    with torch.no_grad(), mounted(net, model, call, norms_of(net)), call.running(2), Counted() as moving:
        net(x, t, context=text)
    assert sum(moving.counts.values()) > sum(bare.counts.values()), "or the counts say nothing"
