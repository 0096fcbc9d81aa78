import pytest
import torch

from motion_module.core.denoising.noise import free_noise, same_noise


def numbered(frames):
    return torch.arange(float(frames))[:, None, None, None].expand(frames, 4, 2, 2).clone()


def test_the_same_noise_for_every_frame():
    noise = torch.randn(5, 4, 2, 2)
    first = noise[0].clone()
    same_noise(noise)
    assert all(torch.equal(frame, first) for frame in noise)


@pytest.mark.parametrize(
    ("frames", "context", "overlap"), [(64, 16, 4), (40, 16, 8), (17, 16, 0), (33, 8, 7), (9, 2, 1)]
)
def test_every_frame_has_noise_of_the_first_window(frames, context, overlap):
    noise = numbered(frames)
    free_noise(noise, context, overlap, seed=1)
    used = noise[:, 0, 0, 0].tolist()
    assert used[:context] == list(range(context))
    assert set(used) == set(range(context))


def test_each_hop_is_a_shuffle_of_the_frames_one_window_earlier():
    noise = numbered(40)
    free_noise(noise, 16, 4, seed=3)
    used = noise[:, 0, 0, 0].tolist()
    assert sorted(used[16:28]) == sorted(used[0:12])
    assert used[16:28] != used[0:12]
    assert sorted(used[28:40]) == sorted(used[12:24])


def test_the_first_frames_do_not_change_when_the_video_grows():
    short, long = numbered(45), numbered(100)
    free_noise(short, 16, 4, seed=9)
    free_noise(long, 16, 4, seed=9)
    assert torch.equal(short, long[:45])


def test_the_seed_decides():
    one, two = numbered(40), numbered(40)
    free_noise(one, 16, 4, seed=1)
    free_noise(two, 16, 4, seed=2)
    assert not torch.equal(one, two)


def test_a_video_of_one_window_stays():
    noise = numbered(16)
    free_noise(noise, 16, 4, seed=1)
    assert torch.equal(noise, numbered(16))
