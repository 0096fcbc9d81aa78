import pytest
import torch

from motion_module.core.denoising.latents import fade, fade_into_noise, shares


@pytest.mark.parametrize(
    ("power", "scale", "expected"),
    [
        (1, 4, [1, 0.75, 0.5, 0.25, 0, 0]),
        (2, 8, [1, 0.875, 0.5, 0, 0, 0]),
        (1, 1, [1, 0, 0, 0, 0, 0]),
        (0.5, 2, [1, 0.5, 0.29289, 0.13397, 0, 0]),
    ],
)
def test_the_first_picture_fades(power, scale, expected):
    assert fade(6, power, scale).tolist() == pytest.approx(expected, abs=1e-4)


def test_first_and_last_by_hand():
    """power 1, scale 4 both: a = 1 .75 .5 .25, l = .25 .5 .75 1 before sums above 1 are divided and the ends set."""
    a, b = shares(4, (1, 4), (1, 4))
    assert a.tolist() == pytest.approx([1, 0.6, 0.4, 0])
    assert b.tolist() == pytest.approx([0, 0.4, 0.6, 1])


def test_what_is_left_is_noise():
    a, b = shares(6, (1, 2), (1, 2))
    assert a.tolist() == pytest.approx([1, 0.5, 0, 0, 0, 0])
    assert b.tolist() == pytest.approx([0, 0, 0, 0, 0.5, 1])
    init, last, noise = (torch.full((6, 1, 1, 1), value) for value in (1.0, 10.0, 100.0))
    mixed = fade_into_noise(init, noise, (1, 2), last[:1], (1, 2)).flatten().tolist()
    assert mixed == pytest.approx([1, 50.5, 100, 100, 55, 10])


@pytest.mark.parametrize("frames", [1, 2, 3, 16])
@pytest.mark.parametrize("last", [(1, 32), (3, 5), (0.1, 128)])
def test_the_ends_are_the_pictures_and_no_share_is_negative(frames, last):
    a, b = shares(frames, (1, 32), last)
    assert (a + b).max() <= 1 + 1e-6 and min(a.min(), b.min()) >= 0
    assert b[-1] == 1 and a[-1] == 0
    assert frames == 1 or (a[0] == 1 and b[0] == 0)


def test_without_a_last_picture():
    init, noise = torch.ones(3, 4, 2, 2), torch.zeros(3, 4, 2, 2)
    mixed = fade_into_noise(init, noise, (1, 2), None, (1, 32))
    assert mixed[:, 0, 0, 0].tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("shape", [(4, 2, 2), (3, 4, 2, 2)])
def test_what_a_mask_keeps_is_the_picture_in_every_frame(shape):
    """`changes` counts for all frames, or is one for each."""
    init, noise = torch.full((3, 4, 2, 2), 2.0), torch.full((3, 4, 2, 2), 10.0)
    changes = torch.zeros(shape)
    changes[..., 0, :] = 1
    mixed = fade_into_noise(init, noise, (1, 2), torch.full((1, 4, 2, 2), 4.0), (1, 2), changes)
    assert (mixed[:, :, 1] == 2).all()
    assert mixed[:, 0, 0, 0].tolist() == [2, 0.5 * 2 + 0.5 * 4, 4]  # a = 1, 0.5, 0; l = 0, 0.5, 1


def test_each_frame_has_its_own_mask():
    changes = torch.zeros(3, 4, 1, 1)
    changes[1] = 1
    mixed = fade_into_noise(torch.ones(3, 4, 1, 1), torch.zeros(3, 4, 1, 1), (1, 1), None, (1, 1), changes)
    assert mixed[:, 0, 0, 0].tolist() == [1, 0, 1]
