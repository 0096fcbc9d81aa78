from fractions import Fraction

import pytest

from motion_module.media.writing.clip import PING_PONG, ClipInfo, with_reverse


@pytest.mark.parametrize(
    ("reverse", "expected"),
    [
        ([], "abcd"),
        ([0], "abcddcba"),
        ([0, 1], "abcdcba"),
        ([0, 2], "abcddcb"),
        ([0, 1, 2], "abcdcb"),
        ([2, 1, 0, 0], "abcdcb"),
        ([1], "abcd"),
        ([1, 2], "abcd"),
        (PING_PONG, "abcdcb"),
    ],
)
def test_reverse_options(reverse, expected):
    assert "".join(with_reverse("abcd", reverse)) == expected


@pytest.mark.parametrize(("frames", "expected"), [("", ""), ("a", "a"), ("ab", "ab"), ("abc", "abcb")])
def test_ping_pong_of_short_clips_repeats_no_end_frame(frames, expected):
    assert "".join(with_reverse(frames, PING_PONG)) == expected


def test_reverse_returns_a_new_list():
    frames = ["a", "b"]
    assert with_reverse(frames, []) is not frames


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(8, Fraction(8)), (29.97, Fraction(2997, 100)), (0.5, Fraction(1, 2)), (24000 / 1001, Fraction(24000, 1001))],
)
def test_rates_are_exact_fractions(fps, rate):
    assert ClipInfo(fps=fps).rate == rate


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": -1}, {"fps": float("nan")}, {"loop": -1}, {"loop": 65_536}])
def test_impossible_clips_are_refused(wrong):
    with pytest.raises(ValueError, match="A clip"):
        ClipInfo(**wrong)
