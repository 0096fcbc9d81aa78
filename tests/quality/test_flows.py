"""Warping error and dynamic degree, on clips whose right values are known."""

from __future__ import annotations

import cv2
import flows
import numpy as np
import pytest

RNG = np.random.default_rng(0)
WIDE = cv2.normalize(cv2.GaussianBlur(RNG.random((64, 256, 3)), (0, 0), 2), None, 0.1, 0.9, cv2.NORM_MINMAX)


def moving(speed: int, frames: int = 6) -> np.ndarray:
    """A texture that moves to the right by so many pixels a frame: `f 64 64 3`."""
    starts = [128 - speed * frame for frame in range(frames)]
    return np.stack([WIDE[:, start : start + 64] for start in starts]).astype(np.float32)


def circle(x: float) -> np.ndarray:
    """A red circle on grey, 64x64 pixels."""
    picture = np.full((64, 64, 3), 0.8, np.float32)
    return cv2.circle(picture, (round(x), 32), 9, (0.8, 0.1, 0.1), -1, cv2.LINE_AA)


@pytest.mark.parametrize("speed", [1, 3, 6])
def test_what_only_moves_is_true_to_itself_and_moves_as_far_as_it_does(speed):
    found = flows.motion_of(moving(speed))
    assert found.dynamic == pytest.approx(speed, rel=0.03)
    assert found.warping < 0.1 < np.abs(np.diff(moving(speed), axis=0)).mean() * 255 / 50


def test_a_frozen_clip_has_no_error_and_no_motion():
    assert flows.motion_of(np.repeat(moving(1, 1), 6, axis=0)) == flows.Motion(0, 0)


def test_a_small_thing_counts_as_moving_though_most_of_the_picture_rests():
    assert flows.motion_of(np.stack([circle(16 + 4 * frame) for frame in range(7)])).dynamic == pytest.approx(
        4, rel=0.05
    )


def test_what_is_covered_and_uncovered_is_no_error(monkeypatch):
    """A box with a texture of its own goes over one that rests: what comes to light has been nowhere before."""
    clip = np.repeat(moving(1, 1), 4, axis=0)
    for frame, picture in enumerate(clip):
        picture[16:48, 4 + 8 * frame : 28 + 8 * frame] = WIDE[16:48, 180:204]
    found = flows.motion_of(clip)
    assert found.dynamic == pytest.approx(8, rel=0.05)
    assert found.warping < np.abs(np.diff(clip, axis=0)).mean() * 255 / 6
    monkeypatch.setattr(flows, "_CHECK_FREE", 1e9)
    assert flows.motion_of(clip).warping > 2 * found.warping, "without the check it is one"


@pytest.mark.parametrize("smooth", [0, 2])
def test_independent_frames_have_a_high_error(smooth):
    noise = RNG.random((6, 64, 64, 3)).astype(np.float32)
    clip = np.stack([cv2.GaussianBlur(frame, (0, 0), smooth) if smooth else frame for frame in noise])
    assert flows.motion_of(clip).warping > 0.5 * np.abs(np.diff(clip, axis=0)).mean() * 255


def test_the_error_grows_with_flicker_and_the_motion_does_not():
    sign = np.array([1, -1, 1, -1, 1, -1], np.float32)[:, None, None, None]
    found = [flows.motion_of((moving(2) * (1 + share * sign)).clip(0, 1)) for share in (0, 0.01, 0.02, 0.04, 0.08)]
    mean = moving(2).mean() * 255
    for share, motion in zip((0.01, 0.02, 0.04, 0.08), found[1:], strict=True):
        assert motion.warping == pytest.approx(2 * share * mean, rel=0.2)  # from -share to +share
        assert motion.dynamic == pytest.approx(2, rel=0.05)
    assert found[0].warping < 0.1


def test_a_frame_without_anything_to_follow_is_compared_as_it_stands(monkeypatch):
    monkeypatch.setattr(flows, "_CHECK_FREE", -1e9)
    clip = moving(3, 2)
    assert flows.motion_of(clip) == flows.Motion(pytest.approx(np.abs(clip[1] - clip[0]).mean() * 255), 0)
