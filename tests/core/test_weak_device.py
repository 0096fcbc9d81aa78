"""On a device that refuses much (tests/core/weak_device.py) everything gives what the CPU gives, and is logged once."""

import logging

import pytest
import torch
from weak_device import DEVICE, Present, Weak, on_device, plain

from motion_module.core.denoising.conditioning import pad_to_same_length, past_mark
from motion_module.core.denoising.freeinit import low_pass, mix_frequencies, noised_again
from motion_module.core.denoising.frozen import FOR_EVER, Edge, FrozenFrames
from motion_module.core.denoising.latents import fade_into_noise
from motion_module.core.denoising.noise import free_noise, same_noise
from motion_module.core.denoising.remembering import Memory, Prediction
from motion_module.core.denoising.row_order import Announced, Snapshot, find_moved_rows
from motion_module.core.denoising.slerp import slerp, travelled
from motion_module.core.denoising.sliding import SlidingModel
from motion_module.core.module import attention_ways, devices
from motion_module.core.module.attention import TemporalAttention
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.devices import refusals_of_run, tried, where_it_can
from motion_module.travel import parse
from motion_module.windows import WindowPlan

FRAMES = 12


@pytest.fixture(autouse=True)
def present():
    with Present():
        yield


@pytest.fixture
def refused():
    """As in one run."""
    seen = set()
    with refusals_of_run(seen):
        yield seen


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def same(made, wanted):
    """Made on the device, and to the bit what the CPU makes."""
    assert isinstance(made, Weak) and made.device == DEVICE and made.dtype == wanted.dtype
    return torch.equal(plain(made), wanted)


def test_the_stand_in_refuses_as_such_a_device_does():
    here = on_device(values(4))
    with pytest.raises(NotImplementedError, match="aten::acos"):
        torch.acos(here)
    with pytest.raises(NotImplementedError, match="fft"):
        torch.fft.fftn(here)
    with pytest.raises(NotImplementedError, match="index_add_"):
        here.index_add_(0, torch.tensor([0], device=DEVICE), here[:1])
    with pytest.raises(TypeError, match="float64"):
        here.to(torch.float64)
    with pytest.raises(TypeError, match="float64"):
        torch.zeros(2, dtype=torch.float64, device=DEVICE)
    with pytest.raises(RuntimeError, match="same device"):
        here + values(4)
    assert torch.equal((here + values(4).to(DEVICE)).cpu(), values(4) * 2) and type(here.cpu()) is torch.Tensor


def test_slerp(refused):
    a, b, share = values(5, 7, 4), values(5, 7, 4, seed=1), torch.linspace(0, 1, 5)
    assert same(slerp(*map(on_device, (a, b, share))), slerp(a, b, share))
    assert refused == {("prompt travel", "mps")}


def test_prompt_travel_in_both_forms_of_conditions(refused):
    mixes = parse("0: a\n5: b", FRAMES, False).mixes()
    cond = {"crossattn": values(FRAMES, 5, 4), "vector": values(FRAMES, 6)}
    made, wanted = travelled({key: on_device(value) for key, value in cond.items()}, mixes), travelled(cond, mixes)
    assert all(same(made[key], wanted[key]) for key in cond)


def test_freeinit(refused):
    low, high, mask = (
        values(FRAMES, 4, 8, 6),
        values(FRAMES, 4, 8, 6, seed=1),
        low_pass((FRAMES, 8, 6), "gaussian", 0.3, 0.3),
    )
    again = noised_again(on_device(low), on_device(high), 0.05)
    assert same(again, noised_again(low, high, 0.05))
    assert same(mix_frequencies(again, on_device(high), mask), mix_frequencies(plain(again), high, mask))
    assert refused == {("FreeInit", "mps")}


@pytest.mark.parametrize("blend", ["overwrite", "flat", "pyramid", "linear"])
def test_windows_are_blended_as_on_the_cpu(refused, blend):
    def model(x, t, cond):
        return x * 2 + t.view(-1, 1, 1, 1) + cond["c_crossattn"][0].mean(dim=(1, 2)).view(-1, 1, 1, 1)

    sliding = SlidingModel(model, CallFrames(), FRAMES, WindowPlan(context=5, overlap=2, blend=blend))
    x, t, text = values(2 * FRAMES, 4, 3, 2), torch.ones(2 * FRAMES), values(2 * FRAMES, 3, 4)
    wanted = sliding(x, t, {"c_crossattn": [text]})
    assert same(sliding(on_device(x), on_device(t), {"c_crossattn": [on_device(text)]}), wanted)
    assert same(sliding(on_device(x), on_device(t), {"c_crossattn": [text]}), wanted), "conditions wait on the CPU"
    assert refused == set(), "blending never asks the device"


@pytest.mark.parametrize("of_v", [False, True])
def test_windows_that_remember(refused, of_v):
    def model(x, t, cond):
        return x * 2 + t.view(-1, 1, 1, 1)

    alphas = torch.linspace(0.999, 0.005, 1000)
    x, t, text = values(2 * FRAMES, 4, 3, 2), torch.full((2 * FRAMES,), 700.5), values(2 * FRAMES, 3, 4)
    made = []
    for at in (lambda value: value, on_device):
        memory = Memory(0.6, lambda at=at: Prediction(at(alphas), of_v))
        sliding = SlidingModel(model, CallFrames(), FRAMES, WindowPlan(context=5, overlap=2), memory=memory)
        made.append(sliding(at(x), at(t), text))
    assert same(made[1], made[0]) and refused == set()


def test_what_is_missing_at_the_edge_of_frozen_frames(refused):
    frozen = FrozenFrames((0, 1), values(2, 4, 3, 2), (FOR_EVER,) * 2, (Edge(1, range(2, FRAMES)),))
    out, x, sigma = values(FRAMES, 4, 3, 2, seed=1), values(FRAMES, 4, 3, 2, seed=2), torch.full((FRAMES,), 2.0)
    wanted, made = (
        frozen.answer(*map(at, (out, x, sigma)), 1, lambda x, out, sigma: x - sigma.view(-1, 1, 1, 1) * out)
        for at in (lambda value: value, on_device)
    )
    assert same(made, wanted) and refused == set()


def test_image_to_video(refused):
    init, noise, last, changes = (
        values(6, 4, 3, 2),
        values(6, 4, 3, 2, seed=1),
        values(1, 4, 3, 2, seed=2),
        values(4, 3, 2).abs(),
    )
    given = ((1.0, 4.0), last, (1.0, 4.0), changes)
    wanted = fade_into_noise(init, noise, *given)
    made = fade_into_noise(*map(on_device, (init, noise)), given[0], on_device(last), given[2], on_device(changes))
    assert same(made, wanted)


def test_noise(refused):
    for change in (same_noise, lambda noise: free_noise(noise, 4, 1, seed=3)):
        wanted, made = values(FRAMES, 4, 3, 2), on_device(values(FRAMES, 4, 3, 2))
        change(wanted)
        change(made)
        assert same(made, wanted)


def test_the_order_of_rows_is_found(refused):
    x, cond, uncond = values(FRAMES, 4, 8, 8).repeat(2, 1, 1, 1), values(FRAMES, 7, 4), values(FRAMES, 7, 4, seed=5)
    order = [*range(1, FRAMES), 0]
    before = Snapshot.of(on_device(x), on_device(cond))
    after = Snapshot.of(on_device(x[[*order, *(FRAMES + row for row in order)]]), on_device(cond[order]))
    moved = find_moved_rows(before, after, FRAMES, 1)
    plain_moved = find_moved_rows(
        Snapshot.of(x, cond), Snapshot.of(x[[*order, *(FRAMES + row for row in order)]], cond[order]), FRAMES, 1
    )
    assert moved == plain_moved and moved
    text = torch.cat([cond, uncond])
    announced = Announced(FRAMES, 1, on_device(x), on_device(cond), uncond)
    for rows in (x * 0.5, x[:, :, 2:6, 3:7]):
        assert announced.layout_of(on_device(rows), {"c_crossattn": [on_device(text)]}).rows == 2 * FRAMES
    assert refused == set()


def test_conditions_are_padded_past_controlnets_mark(refused):
    cond, uncond, empty = values(3, 8, 4), values(3, 4, 4), values(1, 4, 4)
    marked = torch.cat([torch.full((3, 1, 4), -1024.0), cond], dim=1)
    assert same(
        pad_to_same_length(on_device(cond), on_device(uncond), empty)[1], pad_to_same_length(cond, uncond, empty)[1]
    )
    assert same(past_mark(on_device(marked), lambda text: text * 2), past_mark(marked, lambda text: text * 2))
    assert same(past_mark(on_device(cond), lambda text: text * 2), cond * 2)


def test_attention_that_is_refused_is_done_step_by_step(refused, monkeypatch, caplog):
    layer, x = TemporalAttention(16, 4, 8).requires_grad_(False), values(9, 6, 16)
    with torch.no_grad():
        wanted = {scale: layer(x, scale) for scale in (1.0, 1.3)}

        def none(*args, **kwargs):
            raise RuntimeError("No available kernel. Aborting execution.")

        monkeypatch.setattr(attention_ways.functional, "scaled_dot_product_attention", none)
        for scale, value in wanted.items():
            torch.testing.assert_close(layer(x, scale), value, atol=1e-6, rtol=0)
    assert [record.message for record in caplog.records] == [
        "attention between frames is calculated step by step, because cpu cannot do it (No available kernel. Aborting execution.)"
    ]


def test_torch_2_0_whose_attention_has_no_scale(monkeypatch):
    real = attention_ways.functional.scaled_dot_product_attention
    asked = []

    def old(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False):
        asked.append(query.shape)
        return real(query, key, value, attn_mask, dropout_p, is_causal)

    monkeypatch.setattr(attention_ways.functional, "scaled_dot_product_attention", old)
    with torch.no_grad():
        TemporalAttention(16, 4, 8)(values(2, 6, 16), 1.3)
    assert len(asked) == 1


def test_each_kind_is_logged_once_in_a_run_and_asked_once(caplog):
    caplog.set_level(logging.WARNING)
    asked = []

    def refuse(value):
        if isinstance(value, Weak):
            asked.append(1)
            raise NotImplementedError("not here\nand more")
        return value + 1

    here = on_device(values(3))
    for refused in (set(), set()):
        for _ in range(2):  # videos of a run
            with refusals_of_run(refused):
                for kind in ("this", "that", "this"):
                    assert same(where_it_can(kind, refuse, here), values(3) + 1)
    lines = [record.message for record in caplog.records]
    assert lines == [
        f"{kind} is calculated on the CPU, because mps cannot do it (not here)" for kind in ("this", "that") * 2
    ]
    assert len(asked) == 4


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("MPS backend out of memory"), KeyError("x")],
)
def test_too_little_memory_and_faults_of_ours_are_no_refusal(error):
    def fail(value):
        raise error

    with pytest.raises(type(error)):
        where_it_can("this", fail, on_device(values(3)))
    error.with_traceback(None)


def test_what_fails_in_both_ways_is_not_said_to_be_the_devices_fault(caplog):
    with pytest.raises(RuntimeError, match="size of tensor"):
        where_it_can("this", torch.add, on_device(values(3)), on_device(values(4)))
    assert not caplog.records
    with pytest.raises(ValueError):
        tried("this", DEVICE, lambda: devices.torch.acos(on_device(values(3))), lambda: int("x"))


def test_positions_are_stretched():
    from motion_module.core.module.attention import stretched

    table = values(5, 8)
    torch.testing.assert_close(plain(stretched(on_device(table), 12)), stretched(table, 12))


def test_a_call_is_noted():
    from motion_module.core.denoising.noted_calls import trace_of

    x, sigma = values(3, 4, 2, 2), values(3)
    assert torch.equal(trace_of(on_device(x), on_device(sigma)), trace_of(x, sigma))
