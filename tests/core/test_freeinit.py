import math

import pytest
import torch

from motion_module.core.denoising.freeinit import low_pass, mix_frequencies, noised_again


def by_hand(kind, shape, ds, dt, t, h, w):
    T, H, W = shape
    d2 = (ds / dt * (2 * t / T - 1)) ** 2 + (2 * h / H - 1) ** 2 + (2 * w / W - 1) ** 2
    if kind == "gaussian":
        return math.exp(-d2 / (2 * ds**2))
    if kind == "butterworth":
        return 1 / (1 + (d2 / ds**2) ** 4)
    return float(d2 <= 2 * ds)


@pytest.mark.parametrize("kind", ["gaussian", "butterworth", "ideal"])
@pytest.mark.parametrize(("ds", "dt"), [(0.25, 0.25), (0.5, 0.1), (1.0, 1.0)])
def test_the_formula_at_every_place(kind, ds, dt):
    shape = (6, 4, 5)
    mask = low_pass(shape, kind, ds, dt)
    for t in range(6):
        for h in range(4):
            for w in range(5):
                assert mask[t, h, w] == pytest.approx(by_hand(kind, shape, ds, dt, t, h, w), abs=1e-6)


def test_box_is_a_centred_block():
    mask = low_pass((16, 8, 12), "box", 0.5, 0.25)
    assert mask.sum() == 4 * 4 * 4
    assert mask[6:10, 2:6, 4:8].all()


@pytest.mark.parametrize("kind", ["gaussian", "butterworth", "ideal", "box"])
def test_no_cut_off_no_low_frequencies(kind):
    assert low_pass((4, 4, 4), kind, 0, 0.25).sum() == 0
    assert low_pass((4, 4, 4), kind, 0.25, 0).sum() == 0


def test_an_unknown_filter():
    with pytest.raises(ValueError, match="'sharp'"):
        low_pass((4, 4, 4), "sharp", 0.25, 0.25)


def test_all_or_nothing_passes():
    low, high = torch.randn(8, 4, 6, 6), torch.randn(8, 4, 6, 6)
    torch.testing.assert_close(mix_frequencies(low, high, torch.ones(8, 6, 6)), low, atol=1e-5, rtol=0)
    torch.testing.assert_close(mix_frequencies(low, high, torch.zeros(8, 6, 6)), high, atol=1e-5, rtol=0)


def test_the_mean_is_a_low_and_a_checkerboard_a_high_frequency():
    low, high = torch.full((8, 1, 8, 8), 3.0), torch.ones(8, 1, 8, 8)
    high[:, :, ::2, 1::2] = high[:, :, 1::2, ::2] = -1
    mixed = mix_frequencies(low, high, low_pass((8, 8, 8), "gaussian", 0.1, 0.1))
    torch.testing.assert_close(mixed, low + high, atol=1e-3, rtol=0)


def test_noised_again_keeps_the_variance():
    latents, noise = torch.randn(2, 4, 64, 64), torch.randn(2, 4, 64, 64)
    again = noised_again(latents, noise, 0.3)
    assert again.std().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(noised_again(latents, noise, 1.0), latents)
