import math

import torch

from motion_module.core.denoising.slerp import slerp, travelled
from motion_module.travel import parse


def test_on_the_unit_circle_it_turns_evenly():
    v0, v1 = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    for share in (0.0, 0.25, 0.5, 0.9, 1.0):
        got = slerp(v0, v1, torch.tensor([share]))[0]
        want = torch.tensor([math.cos(share * math.pi / 2), math.sin(share * math.pi / 2)])
        torch.testing.assert_close(got, want, atol=1e-6, rtol=0)


def test_nearly_parallel_and_opposite_ones_are_mixed_straight():
    v = torch.randn(1, 4, 8)
    torch.testing.assert_close(slerp(v, 2 * v, torch.tensor([0.5])), 1.5 * v)
    torch.testing.assert_close(slerp(v, -v, torch.tensor([0.25])), 0.5 * v)
    assert slerp(torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([0.5])).isfinite().all()


def test_the_formula_over_the_whole_tensor():
    v0, v1 = torch.randn(2, 77, 16, dtype=torch.float64)
    angle = torch.acos((v0 / v0.norm() * (v1 / v1.norm())).sum())
    want = (torch.sin(0.7 * angle) * v0 + torch.sin(0.3 * angle) * v1) / torch.sin(angle)
    got = slerp(v0[None].float(), v1[None].float(), torch.tensor([0.3]))[0]
    torch.testing.assert_close(got.double(), want, atol=1e-5, rtol=1e-5)


def test_frames_between_keys_with_and_parts():
    travel = parse("0: a\n2: b", 4, False)
    cond = torch.randn(8, 3, 5)
    got = travelled(cond, travel.mixes(), parts=2)
    assert torch.equal(got[0], cond[0]) and torch.equal(got[1], cond[1])
    assert torch.equal(got[4], cond[4]) and torch.equal(got[7], cond[5])  # frame 3 stays at the last key, frame 2
    torch.testing.assert_close(got[2], slerp(cond[0:1], cond[4:5], torch.tensor([0.5]))[0])
    torch.testing.assert_close(got[3], slerp(cond[1:2], cond[5:6], torch.tensor([0.5]))[0])


def test_sdxl_dicts():
    travel = parse("0: a\n3: b", 4, True)
    cond = {"crossattn": torch.randn(4, 77, 8), "vector": torch.randn(4, 6)}
    before = {key: value.clone() for key, value in cond.items()}
    got = travelled(cond, travel.mixes())
    assert got["crossattn"].shape == (4, 77, 8) and got["vector"].shape == (4, 6)
    assert all(torch.equal(cond[key], before[key]) for key in cond)
