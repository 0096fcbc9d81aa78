"""Positions spread over a longer context window: between the learnt ones in straight lines, as numpy has it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module.attention import Positions, TemporalAttention, stretched, stretching
from motion_module.core.module.attention_ways import SPLIT, attending_by
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import MotionModel
from motion_module.core.module.placement import mounted
from motion_module.errors import ParamError
from motion_module.windows import WindowPlan
from tests.core.builders import SPECS, fill, motion_model, norms_of, unet, unet_inputs
from tests.core.test_factors import Counted

KINDS = ["v1", "v2", "v3", "sdxl", "hotshot", "lcm"]


def positions_in(model):
    return [part for part in model.modules() if isinstance(part, Positions)]


def by_numpy(table, frames):
    """`(p, c)` -> `(frames, c)`, with the first and the last where they were."""
    places = np.linspace(0, len(table) - 1, frames)
    columns = [np.interp(places, np.arange(len(table)), column) for column in table.double().numpy().T]
    return torch.from_numpy(np.stack(columns, axis=1))


def with_learnt_tables(model, seed=7):
    """Tables that no formula has made."""
    generator = torch.Generator().manual_seed(seed)
    for part in positions_in(model):
        part.pe = torch.randn(part.pe.shape, generator=generator)
    return model


@pytest.mark.parametrize(("positions", "frames"), [(2, 3), (16, 24), (16, 32), (24, 25), (24, 48), (32, 100), (8, 16)])
def test_it_is_what_numpy_interpolates(positions, frames):
    table = torch.randn(positions, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = stretched(table, frames)
    torch.testing.assert_close(got, by_numpy(table, frames), atol=1e-12, rtol=0)
    assert torch.equal(got[0], table[0]) and torch.equal(got[-1], table[-1])
    torch.testing.assert_close(stretched(table.float(), frames).double(), got, atol=1e-6, rtol=0)


@pytest.mark.parametrize("frames", [31, 61])
def test_at_a_learnt_position_it_is_that_one_to_the_bit(frames):
    table, every = torch.randn(16, 4), (frames - 1) // 15
    assert torch.equal(stretched(table, frames)[::every], table)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_it_is_rounded_once(dtype):
    table = torch.randn(16, 64).to(dtype)
    got = stretched(table, 27)
    assert got.dtype == dtype and torch.equal(got, stretched(table.float(), 27).to(dtype))
    near = by_numpy(table, 27)
    assert ((got.double() - near).abs() <= torch.finfo(dtype).eps / 2 * near.abs() + 1e-6).all()


def test_one_position_is_that_of_all_frames():
    assert torch.equal(stretched(torch.tensor([[3.0, 4.0]]), 5), torch.tensor([[3.0, 4.0]]).expand(5, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", [16, 24, 256])
def test_every_layer_of_every_kind_spreads_what_it_has(kind, asked):
    model = with_learnt_tables(motion_model(kind))
    learnt = model.spec.frames
    frames = max(asked if asked < 256 else 0, learnt) + 5
    with stretching(model.layers(), asked):
        for part in positions_in(model):
            x = torch.randn(3, frames, part.pe.shape[-1])
            wanted = by_numpy(part.pe[0, : min(asked, learnt)], frames)
            torch.testing.assert_close((part(x) - x).double(), wanted.expand(x.shape), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_longer_stays_to_the_bit_and_costs_nothing(kind):
    part = positions_in(with_learnt_tables(motion_model(kind)))[0]
    x = torch.randn(3, 16, part.pe.shape[-1])
    with Counted() as mode:
        wanted = part(x)
    with stretching([part], 16), Counted() as on:
        got = part(x)
    assert torch.equal(got, wanted) and on.counts == mode.counts
    with stretching([part], 15), Counted() as longer:
        got = part(x)
    assert not torch.equal(got, wanted)
    assert sum(longer.counts.values()) > sum(mode.counts.values()), "or the counts say nothing"


def test_off_a_longer_window_is_refused_with_the_way_out():
    part = positions_in(motion_model("v1"))[0]
    with (
        stretching([part], 0),
        pytest.raises(ParamError, match="learnt 24 .*batch_size to 24 or less, or pe_stretch to"),
    ):
        part(torch.zeros(2, 25, part.pe.shape[-1]))


def test_afterwards_nothing_of_it_is_left():
    model = motion_model("v2")
    before = [(part.stretch, part.pe) for part in positions_in(model)]
    with pytest.raises(RuntimeError, match="in the middle"), stretching(model.layers(), 16):
        assert {part.stretch for part in positions_in(model)} == {16}
        raise RuntimeError("in the middle")
    assert all(
        part.stretch == stretch and part.pe is pe
        for part, (stretch, pe) in zip(positions_in(model), before, strict=True)
    )


def longer(kind, frames, positions):
    """A module, and the same as if it had learnt so many frames, with a table that is spread already."""
    short = with_learnt_tables(motion_model(kind))
    model = fill(MotionModel(dataclasses.replace(SPECS[kind], frames=frames), kind), 1)
    for part, own in zip(positions_in(model), positions_in(short), strict=True):
        part.pe = stretched(own.pe[0, :positions], frames)[None]
    return short, model


def made(net, model, frames, options, together=True):
    x, t, text = unet_inputs(frames * 2, size=8)
    call = CallFrames()
    sliding = SlidingModel(lambda x, t, c: net(x, t, context=c), call, frames, WindowPlan(**options), together)
    with torch.no_grad(), mounted(net, model, call, norms_of(net)):
        sliding.begin(3)
        return sliding(x, t, text)


CASES = [
    ("v1", 26, 24, {"context": 26}, True),
    ("v2", 34, 32, {"context": 64}, False),
    ("v3", 9, 4, {"context": 6, "overlap": 2}, True),
    ("v2", 9, 4, {"context": 6, "stride": 2, "schedule": "uniform", "windows_per_call": 2}, False),
    ("sdxl", 9, 5, {"context": 8, "closed_loop": "A", "schedule": "uniform"}, True),
    ("hotshot", 26, 24, {"context": 26}, True),
]


@pytest.mark.parametrize(("kind", "frames", "positions", "options", "together"), CASES)
def test_a_unet_is_as_with_a_module_that_has_learnt_the_longer_table(kind, frames, positions, options, together):
    net = unet(len(SPECS[kind].widths))
    context = min(frames, options["context"])
    short, long = longer(kind, context, positions)
    wanted = made(net, long, frames, options, together)
    with stretching(short.layers(), positions):
        got = made(net, short, frames, options, together)
    assert torch.equal(got, wanted)
    if context <= SPECS[kind].frames:
        assert (made(net, short, frames, options, together) - wanted).abs().max() > 1e-3


def test_both_ways_of_attention_see_them():
    layer, x = fill(TemporalAttention(32, 4, 8), 3), torch.randn(10, 12, 32)
    with stretching([layer], 8):
        at_once = layer(x)
        with attending_by(SPLIT):
            by_parts = layer(x)
        torch.testing.assert_close(by_parts, at_once, atol=1e-6, rtol=0)
