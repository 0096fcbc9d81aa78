"""The maths against diffusers on the same weights, and against formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from motion_module.core.module import layers
from motion_module.core.module.arch import V2, ModuleSpec
from motion_module.core.module.attention import sinusoid
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.layers import MotionModule
from motion_module.core.module.placement import mounted
from motion_module.errors import HostError, ParamError
from tests.core import oracle
from tests.core.builders import SPECS, fill, motion_model, norms_of, unet, unet_inputs


def _module(width: int = 32, frames: int = 32, seed: int = 5) -> MotionModule:
    return fill(MotionModule(width, ModuleSpec(V2, (width,) * 4, frames)), seed)


def _x(copies: int, frames: int, width: int, size: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(copies * frames, width, size, size, generator=torch.Generator().manual_seed(seed))


def _run(module: MotionModule, x: torch.Tensor, frames: int, **settings: float) -> torch.Tensor:
    module.call = CallFrames(**settings)
    with module.call.running(frames):
        return module(x)


@pytest.mark.parametrize("learnt", [24, 32, 64])
@pytest.mark.parametrize(
    ("copies", "frames", "width", "size"), [(1, 16, 32, 4), (2, 16, 64, 12), (3, 5, 320, 3), (2, 1, 32, 2)]
)
def test_one_transformer_as_diffusers(learnt, copies, frames, width, size):
    module = _module(width, learnt)
    twin = oracle.transformer(width, learnt)
    missing, unexpected = twin.load_state_dict(
        oracle.diffusers_keys(module.temporal_transformer.state_dict()), strict=False
    )
    assert not unexpected
    assert all(key.endswith("pos_embed.pe") for key in missing)
    oracle.norm_per_frame(twin)
    x = _x(copies, frames, width, size)
    with torch.no_grad():
        expected = twin(x, num_frames=frames)
    torch.testing.assert_close(_run(module, x, frames), expected, atol=1e-5, rtol=0)
    assert (expected - x).abs().mean() > 0.1, "the block must add something for this to be a test"


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "sdxl", "hotshot"])
def test_a_whole_unet_as_diffusers(name):
    frames, copies, spec = 16, 2, SPECS[name]
    model, net = motion_model(name), unet(len(spec.widths))
    twin = oracle.motion_unet(net, model.state_dict(), spec.widths, spec.frames)
    oracle.norm_per_frame(twin)
    if name in ("v1", "hotshot"):
        oracle.norms_over_frames(twin, copies)
    x, t, text = unet_inputs(frames * copies)
    call = CallFrames()
    with torch.no_grad(), mounted(net, model, call, norms_of(net)), call.running(frames):
        ours = net(x, t, context=text)
    with torch.no_grad():
        video = x.unflatten(0, (copies, frames)).transpose(1, 2)
        theirs = twin(video, t[0], encoder_hidden_states=text).sample.transpose(1, 2).flatten(0, 1)
        still = net(x, t, context=text)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert (ours - still).abs().mean() > 0.05


def test_sinusoid_values():
    table = sinusoid(5, 8)
    for place in range(5):
        for i in range(4):
            angle = place * 10000.0 ** (-2 * i / 8)
            assert table[0, place, 2 * i].item() == pytest.approx(torch.sin(torch.tensor(angle)).item(), abs=1e-6)
            assert table[0, place, 2 * i + 1].item() == pytest.approx(torch.cos(torch.tensor(angle)).item(), abs=1e-6)


def test_stored_positions_win():
    module, x = _module(), _x(1, 8, 32)
    before = _run(module, x, 8)
    for block in module.temporal_transformer.transformer_blocks[0].attention_blocks:
        block.pos_encoder.pe.neg_()
    assert (_run(module, x, 8) - before).abs().max() > 1e-3


def test_more_frames_than_learnt_names_the_limit():
    with pytest.raises(ParamError, match=r"learnt 24 frames.*25"):
        _run(_module(frames=24), _x(1, 25, 32), 25)
    assert _run(_module(frames=24), _x(1, 24, 32), 24).shape[0] == 24


def test_rows_that_are_no_whole_copies():
    with pytest.raises(HostError, match=r"9 rows.*whole copies of 4 frames"):
        _run(_module(), _x(1, 9, 32), 4)


def test_a_layer_outside_of_a_call():
    with pytest.raises(HostError, match="no frames were announced"):
        _module()(_x(1, 4, 32))


def test_effect_scales_what_is_added():
    module, x = _module(), _x(2, 8, 32)
    added = _run(module, x, 8) - x
    torch.testing.assert_close(_run(module, x, 8, effect=0.5), x + 0.5 * added)
    assert torch.equal(_run(module, x, 8, effect=0.0), x)


def test_motion_scale_multiplies_the_logits():
    module, x = _module(), _x(1, 6, 32)
    scaled = _run(module, x, 6, motion_scale=1.7)
    for block in module.temporal_transformer.transformer_blocks[0].attention_blocks:
        block.to_q.weight *= 1.7
    torch.testing.assert_close(scaled, _run(module, x, 6), atol=1e-5, rtol=0)
    assert (scaled - _run(_module(), x, 6)).abs().max() > 1e-4


@pytest.mark.parametrize("block", [1, 3, 7, 16, 17, 1000])
def test_blocks_of_pixels_change_nothing(monkeypatch, block):
    module, x = _module(), _x(3, 4, 32, size=4)
    whole = _run(module, x, 4)
    monkeypatch.setattr(layers, "_CPU_BLOCK", block)
    torch.testing.assert_close(_run(module, x, 4), whole, atol=1e-6, rtol=0)


def test_no_call_of_a_kernel_is_beyond_a_grid(monkeypatch):
    """More pixels than a CUDA grid holds go through in several pieces."""
    seen = []
    monkeypatch.setattr(layers, "_CPU_BLOCK", 10**9)
    real = functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda q, k, v, **o: seen.append(q.shape[0] * q.shape[1]) or real(q, k, v, **o),
    )
    _run(_module(), _x(3, 1, 32, size=96), 1)
    assert max(seen) <= 65_535
    assert sum(seen) == 3 * 96 * 96 * 8 * 2


def test_the_input_is_left_alone_and_may_be_strided():
    module, x = _module(), _x(2, 4, 32)
    kept = x.clone()
    plain = _run(module, x, 4)
    assert torch.equal(x, kept)
    torch.testing.assert_close(_run(module, x.to(memory_format=torch.channels_last), 4), plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("weights", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("input_dtype", [torch.float32, torch.bfloat16])
def test_the_output_has_the_dtype_of_the_input(weights, input_dtype):
    module, x = _module(), _x(1, 4, 32)
    exact = _run(module, x, 4)
    out = _run(module.to(weights), x.to(input_dtype), 4)
    assert out.dtype == input_dtype
    torch.testing.assert_close(out.float(), exact, atol=0.15, rtol=0)


def test_under_autocast():
    module, x = _module(), _x(1, 4, 32)
    exact = _run(module, x, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = _run(module, x, 4)
    assert out.dtype == torch.float32
    assert not torch.equal(out, exact)
    torch.testing.assert_close(out, exact, atol=0.15, rtol=0)


def test_linear_layers_are_called():
    """The host's LoRA hooks the forward of linear layers; every one of them must pass through it."""
    module, called = _module(), set()
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Linear):
            part.register_forward_hook(lambda *_, name=name: called.add(name))
    _run(module, _x(1, 4, 32), 4)
    assert called == {name for name, part in module.named_modules() if isinstance(part, torch.nn.Linear)}
    assert len(called) == 2 + 2 * 4 + 2


def test_gradients_flow_for_training():
    module = _module().requires_grad_(True)
    x = _x(2, 4, 32).requires_grad_(True)
    _run(module, x, 4).square().sum().backward()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    exact, grad = module.double(), x.grad.double()
    with torch.no_grad():
        f = [(_run(exact, x.double() + e * direction, 4)).square().sum() for e in (1e-4, -1e-4)]
    assert ((f[0] - f[1]) / 2e-4).item() == pytest.approx((grad * direction).sum().item(), rel=1e-3)
