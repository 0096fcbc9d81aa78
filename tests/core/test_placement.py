"""Layers go where docs/behaviour.md 1.3 says, and the UNet comes back as the very object it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.norm import norms_over_frames
from motion_module.core.module.placement import layer_slots, mounted, unet_widths
from motion_module.errors import CheckpointError, HostError
from tests.core.builders import motion_model, norms_of, of_the_pocket, photograph, unet, unet_inputs

GroupNorm32 = of_the_pocket("ldm.modules.diffusionmodules.util").GroupNorm32


def layers_at(net):
    """{(list, index of the block): place of the motion layer from the end}"""
    blocks = [("input_blocks", i, block) for i, block in enumerate(net.input_blocks)]
    blocks += [("output_blocks", i, block) for i, block in enumerate(net.output_blocks)]
    blocks += [("middle", 0, net.middle_block)]
    return {
        (name, i): j - len(block)
        for name, i, block in blocks
        for j, layer in enumerate(block)
        if isinstance(layer, MotionModule)
    }


def expected_places(levels, middle):
    inputs = [1, 2, 4, 5, 7, 8, 10, 11][: 2 * levels]
    outputs = dict.fromkeys(range(3 * levels), -1) | dict.fromkeys((2, 5, 8)[: levels - 1], -2)
    places = {("input_blocks", i): -1 for i in inputs} | {("output_blocks", i): at for i, at in outputs.items()}
    return places | ({("middle", 0): -2} if middle else {})


@pytest.mark.parametrize(("name", "levels"), [("v1", 4), ("v2", 4), ("v3", 4), ("lcm", 4), ("sdxl", 3), ("hotshot", 3)])
def test_every_layer_in_its_place(name, levels):
    net, model = unet(levels), motion_model(name)
    with mounted(net, model, CallFrames(), norms_of(net)):
        assert layers_at(net) == expected_places(levels, middle=model.spec.has_mid)
        order = [layer for layer in net.modules() if isinstance(layer, MotionModule)]
        weights = [{id(layer.temporal_transformer) for layer in layers} for layers in (order, model.layers())]
        assert weights[0] == weights[1]
    assert len(order) == {("v1", 4): 20, ("v2", 4): 21, ("v3", 4): 20, ("lcm", 4): 21}.get((name, levels), 15)


def test_up_blocks_are_taken_in_order():
    net, model = unet(), motion_model("v2")
    with mounted(net, model, CallFrames(), norms_of(net)):
        for k in range(12):
            layer = next(part for part in net.output_blocks[k] if isinstance(part, MotionModule))
            assert layer.temporal_transformer is model.up_blocks[k // 3].motion_modules[k % 3].temporal_transformer
        for k, i in enumerate([1, 2, 4, 5, 7, 8, 10, 11]):
            own = model.down_blocks[k // 2].motion_modules[k % 2]
            assert net.input_blocks[i][-1].temporal_transformer is own.temporal_transformer


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_the_unet_comes_back_as_it_was(name, error):
    net, model = unet(), motion_model(name)
    before, before_model, keys = photograph(net), photograph(model), list(net.state_dict())
    x, t, text = unet_inputs(4)
    with torch.no_grad():
        plain = net(x, t, context=text)
    call = CallFrames()
    try:
        with mounted(net, model, call, norms_of(net)), call.running(4), torch.no_grad():
            assert not torch.equal(net(x, t, context=text), plain)
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt) as caught:
        assert type(caught) is error
    assert photograph(net) == before
    assert photograph(model) == before_model
    assert list(net.state_dict()) == keys
    assert call.frames == 0
    with torch.no_grad():
        assert torch.equal(net(x, t, context=text), plain)


def test_two_loans_may_end_in_any_order():
    net, call = unet(), CallFrames()
    before = photograph(net)
    first, second = (mounted(net, motion_model("v2", seed), call, norms_of(net)) for seed in (1, 2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert len(layers_at(net)) == 21
    second.__exit__(None, None, None)
    assert photograph(net) == before


def test_a_stranger_in_the_block_stays():
    net, stranger = unet(), nn.Identity()
    with mounted(net, motion_model("v3"), CallFrames(), norms_of(net)):
        net.input_blocks[1].append(stranger)
    assert list(net.input_blocks[1])[-1] is stranger
    assert layers_at(net) == {}


def test_no_effect_is_the_plain_model():
    net, call = unet(), CallFrames(effect=0.0)
    x, t, text = unet_inputs(6)
    with torch.no_grad():
        plain = net(x, t, context=text)
        with mounted(net, motion_model("v3"), call, norms_of(net)), call.running(3):
            assert torch.equal(net(x, t, context=text), plain)


def test_widths():
    assert unet_widths(unet()) == (32, 64, 64, 64)
    assert unet_widths(unet(3)) == (32, 64, 64)


def sd15_widths():
    """A three-layer stand-in with SD1.5's widths and none of its weights."""
    net = nn.Module()
    block = lambda width: nn.Sequential(nn.Conv2d(4, width, 1, device="meta"))  # noqa: E731
    widths = [320] * 3 + [320, 640, 640] + [640, 1280, 1280] + [1280] * 3
    net.input_blocks = nn.ModuleList([block(width) for width in widths])
    net.output_blocks = nn.ModuleList([block(width) for width in widths[::-1]])
    net.middle_block = block(1280)
    return net


def test_another_family_is_named_and_nothing_is_touched():
    net, model = unet(4), motion_model("sdxl")
    before = photograph(net)
    with pytest.raises(CheckpointError, match=r"sdxl .*for SDXL models.*32/64/64.*checkpoint is SD1.5.*32/64/64/64"):
        mounted(net, model, CallFrames(), norms_of(net)).__enter__()
    assert photograph(net) == before
    with pytest.raises(CheckpointError, match=r"32/64/64/64.*SD1.5 with widths 320/640/1280/1280"):
        layer_slots(sd15_widths(), motion_model("v1"))


def test_a_model_of_another_make():
    with pytest.raises(CheckpointError, match=r"UNet \(Linear\) has no place"):
        mounted(nn.Linear(2, 2), motion_model("v1"), CallFrames(), norms_of(nn.Linear(2, 2))).__enter__()


class _Three(nn.Module):
    """Three layers: a norm of the UNet's kind, one of another kind, a convolution."""

    def __init__(self):
        super().__init__()
        self.first = GroupNorm32(4, 8)
        self.second = nn.GroupNorm(4, 8)
        self.third = nn.Conv2d(8, 8, 1)
        for norm in (self.first, self.second):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 5, 16])
def test_norm_over_frames_is_what_it_says(copies, frames):
    torch.manual_seed(copies * 100 + frames)
    net, call = _Three(), CallFrames()
    x = torch.randn(copies * frames, 8, 3, 5) * torch.rand(copies * frames, 8, 1, 1) * 4
    plain_first, plain_second = net.first(x), net.second(x)
    with norms_over_frames(norms_of(net), call), call.running(frames):
        ours = net.first(x)
        assert torch.equal(net.second(x), plain_second)
    groups = x.double().view(copies, frames, 4, 2, 3, 5)
    mean = groups.mean(dim=(1, 3, 4, 5), keepdim=True)
    var = groups.var(dim=(1, 3, 4, 5), keepdim=True, unbiased=False)
    direct = ((groups - mean) / (var + net.first.eps).sqrt()).view(x.shape)
    direct = direct * net.first.weight.double()[:, None, None] + net.first.bias.double()[:, None, None]
    torch.testing.assert_close(ours.double(), direct, atol=1e-5, rtol=0)
    assert torch.equal(ours, plain_first) == (frames == 1)


def test_norms_come_back_and_other_models_keep_theirs():
    ours, other, call = _Three(), _Three(), CallFrames()
    shadow = lambda x: x  # noqa: E731 - somebody else's change of an instance
    ours.extra = GroupNorm32(4, 8)
    ours.extra.forward = shadow
    before = photograph(ours), photograph(other)
    with norms_over_frames(norms_of(ours), call):
        assert "forward" in vars(ours.first)
        assert "forward" not in vars(ours.second)
        assert photograph(other) == before[1]
    assert (photograph(ours), photograph(other)) == before
    assert "forward" not in vars(ours.first)
    assert ours.extra.forward is shadow


def test_v1_takes_the_norms_of_resblocks_and_out_only():
    net = unet()
    with mounted(net, motion_model("v1"), CallFrames(), norms_of(net)):
        changed = [name for name, part in net.named_modules() if "forward" in vars(part)]
    norms = [name for name, part in net.named_modules() if isinstance(part, GroupNorm32)]
    assert len(changed) == len(norms) == 45
    with mounted(net, motion_model("v3"), CallFrames(), norms_of(net)):
        assert not [name for name, part in net.named_modules() if "forward" in vars(part)]


def test_a_norm_that_gets_odd_rows():
    net, call = _Three(), CallFrames()
    with norms_over_frames(norms_of(net), call), call.running(4), pytest.raises(HostError, match="6 rows"):
        net.first(torch.zeros(6, 8, 2, 2))
