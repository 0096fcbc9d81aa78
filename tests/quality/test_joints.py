"""Long videos of the bundled model: they go on where they should, close where they should, and get as long as asked for.

The measures themselves are tried on clips that are drawn.
"""

from __future__ import annotations

import joints
import numpy as np
import pytest
from measuring import measured


def moving(places: list[float]) -> np.ndarray:
    """A clip `f 8 64 3` of an edge that stands at a place in each frame."""
    columns = np.arange(64)[None, None, :, None]
    edge = np.clip(np.array(places)[:, None, None, None] - columns + 0.5, 0, 1)
    return np.broadcast_to(edge, (len(places), 8, 64, 3)).astype(np.float32)


def test_a_seam_is_a_larger_change_where_windows_meet():
    even, broken = list(range(32)), [place + 6 * (place > 9) for place in range(32)]
    assert joints.seam(moving(even), [9, 19]) == pytest.approx(1)
    assert joints.seam(moving(broken), [9]) == pytest.approx(7, rel=1e-3)
    assert joints.seam(moving(broken), [19]) < 1
    assert joints.jump(moving(even)) == pytest.approx(1)
    assert joints.jump(moving(broken)) == pytest.approx(7, rel=1e-3)


def test_a_direction_is_kept_or_not():
    way = np.arange(32.0)
    assert joints.kept(way, 0.5 * way) == pytest.approx(1)
    assert joints.kept(np.abs(way % 8 - 4), 0 * way) < 0
    assert joints.kept(0 * way, 0 * way) == 1


def test_colours_drift_away_from_those_of_the_first_window():
    still = moving([20] * 32)
    assert joints.drift(still, 16) == pytest.approx(0, abs=1e-4)
    assert joints.drift(np.concatenate([still[:16], still[16:] + 2 / 255]), 16) == pytest.approx(2, rel=1e-3)
    assert joints.drift(moving([20] * 16 + [21, 22] * 8), 16) == pytest.approx(1.5 * 255 / 64, rel=1e-3)


def test_the_end_is_near_the_start_in_a_closed_loop_alone():
    there, back = list(range(41)), list(range(39, 0, -1))
    assert joints.closing(moving(there)) == pytest.approx(40, rel=1e-3)
    assert joints.closing(moving(there + back)) == pytest.approx(1, rel=1e-3)
    assert joints.distance(moving(there), 8) > 1
    assert joints.distance(moving(there + back), 8) == pytest.approx(0, abs=1e-3)


@pytest.fixture(scope="module")
def loops(tmp_path_factory) -> dict:
    size = ("--frames", "40", "--steps", "6", "--prompts", "2", "--loops", "auto:R-P", "auto:A")
    found = measured("windows.py", tmp_path_factory.mktemp("loops"), "--part", "loops", *size)
    return {row["closed_loop"]: row for row in found["loops"]}


def test_with_the_defaults_a_video_does_not_return_to_its_start(loops):
    assert loops["R-P"]["schedule"] == "auto"
    assert loops["R-P"]["closing"] > loops["R-P"]["jump"], "further than any step of the video"
    assert loops["R-P"]["end"] > 0.7


def test_from_the_last_frame_of_a_closed_loop_to_its_first_is_a_usual_step(loops):
    assert loops["A"]["closing"] <= loops["A"]["jump"]
    assert loops["A"]["end"] < 0.6


@pytest.mark.parametrize("frames", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_hundreds_of_frames(tmp_path, frames):
    found = measured("many_frames.py", tmp_path, "--frames", str(frames), "--steps", "2")
    assert (found["frames"], found["frames in the file"], found["different frames"]) == (frames, frames, frames)
    assert found["least contrast of a frame"] > 5
    assert found["peak memory, MB"] - found["memory before, MB"] < 0.6 * frames
