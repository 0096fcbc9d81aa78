"""Noise: one generator for each image, and what the settings change in it."""

import numpy as np
import pytest
import torch

from modules import devices, rng, rng_philox, shared

SHAPE = (4, 8, 8)


def noises(seeds=(1, 2, 3), **arguments):
    source = rng.ImageRNG(SHAPE, list(seeds), **arguments)
    return [source.next() for _ in range(3)]


def test_an_image_does_not_depend_on_its_batch():
    batch, alone = noises((1, 2, 3)), noises((2,))
    for of_batch, own in zip(batch, alone, strict=True):
        assert torch.equal(of_batch[1], own[0])


def test_draws_continue_the_seeds_own_generator():
    generator = torch.Generator().manual_seed(2)
    for noise in noises((2,)):
        assert torch.equal(noise[0], torch.randn(SHAPE, generator=generator))


def test_subseed_mixes_the_first_draw_only():
    plain, half = noises((5,)), noises((5,), subseeds=[9], subseed_strength=0.5)
    other = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))
    assert not torch.allclose(plain[0], half[0])
    assert torch.equal(plain[1], half[1])
    assert torch.allclose(rng.slerp(1.0, plain[0][0], other), other, atol=1e-5)
    assert torch.allclose(rng.slerp(0.0, plain[0][0], other), plain[0][0], atol=1e-5)
    assert torch.equal(half[0][0], rng.slerp(0.5, plain[0][0], other))


def test_slerp_of_parallel_noises_is_the_webuis():
    low = torch.ones(SHAPE)
    assert torch.allclose(rng.slerp(0.25, low, low * 3), low * 0.25 + low * 3 * 0.75)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (96, 128), (32, 128), (64, 64)])
def test_seed_resize_puts_the_other_sizes_noise_in_the_middle(height, width):
    resized = noises((5,), seed_resize_from_h=height, seed_resize_from_w=width)[0][0]
    inner = torch.randn((4, height // 8, width // 8), generator=torch.Generator().manual_seed(5))
    rows, columns = min(height // 8, 8), min(width // 8, 8)
    top, left = (8 - rows) // 2, (8 - columns) // 2
    inner_top, inner_left = (height // 8 - rows) // 2, (width // 8 - columns) // 2
    middle = inner[:, inner_top : inner_top + rows, inner_left : inner_left + columns]
    assert torch.equal(resized[:, top : top + rows, left : left + columns], middle)


def test_ensd_changes_all_draws_but_the_first(monkeypatch):
    plain = noises()
    monkeypatch.setitem(shared.opts.data, "eta_noise_seed_delta", 31337)
    shifted = noises()
    assert torch.equal(plain[0], shifted[0])
    assert torch.equal(shifted[1], rng.ImageRNG(SHAPE, [s + 31337 for s in (1, 2, 3)]).first())


def test_nv_noise_is_a_gpus():
    expected = [
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    assert np.allclose(rng_philox.Generator(0).randn((3, 4)), expected, atol=1e-6)


def test_nv_noise_has_a_stream_for_each_image(monkeypatch):
    monkeypatch.setitem(shared.opts.data, "randn_source", "NV")
    batch, alone = noises((1, 2)), noises((2,))
    assert torch.equal(batch[2][1], alone[2][0])
    assert abs(torch.cat(batch).mean()) < 0.1
    assert torch.cat(batch).std() == pytest.approx(1, abs=0.1)


def test_local_noise_leaves_the_processs_stream_alone():
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    assert torch.equal(devices.randn_local(4, (2,)), devices.randn_local(4, (2,)))
    assert torch.equal(torch.randn(2), expected)
    devices.manual_seed(3)
    assert torch.equal(devices.randn_like(torch.zeros(2)), expected)
    assert torch.equal(devices.randn(3, (2,)), expected)


def test_nan_is_refused_and_may_be_allowed(monkeypatch):
    devices.test_for_nans(torch.zeros(1, 4, 2, 2), "unet")
    with pytest.raises(devices.NansException, match="Unet"):
        devices.test_for_nans(torch.full((1, 4, 2, 2), float("nan")), "unet")
    monkeypatch.setattr(shared.cmd_opts, "disable_nan_check", True)
    devices.test_for_nans(torch.full((1,), float("nan")), "vae")
