"""Which mask belongs to which frame, as the batch tab, ControlNet and fields of a request have it."""

from pathlib import Path

import pytest

from motion_module.media.errors import ReaderError
from motion_module.webui.request.mask_matching import are_enough, masks_by_name, masks_in_order, masks_of

MASKS = [Path(f"{number}.png") for number in range(9)]


@pytest.mark.parametrize(
    ("masks", "frames", "found"), [(0, 9, []), (1, 9, [0]), (3, 9, [0, 1, 2]), (9, 9, [2, 5, 8]), (9, None, [2, 5, 8])]
)
def test_of_a_source(masks, frames, found):
    assert masks_of(MASKS[:masks], [2, 5, 8], frames) == tuple(MASKS[number] for number in found)


@pytest.mark.parametrize(("masks", "frames", "needed"), [(4, 9, 9), (8, 9, 9), (8, None, 3)])
def test_of_a_source_of_another_length(masks, frames, needed):
    with pytest.raises(ReaderError, match=f"there are {masks} masks; .* each of the {needed} frames"):
        masks_of(MASKS[:masks], [2, 5, 8], frames)


def test_of_a_video_that_takes_fewer_frames_than_were_read():
    assert [count for count in range(12) if are_enough(count, 4, 9)] == [0, 1, 4, 9]
    assert not are_enough(3, 4, 3)


def test_of_the_batch_tab():
    masks = ["m/b.png", "m/a.png", "m/c.png"]
    assert masks_by_name(masks, ["a.jpg", "b.jpg"], 7) == ["m/a.png", "m/b.png"]
    assert masks_by_name(masks, ["x.jpg", "y.jpg"], 3) == masks_by_name(masks[:2], ["x.jpg", "y.jpg"], 7) == masks[:2]
    assert masks_by_name(masks[:1], ["x.jpg", "y.jpg"], 7) == masks[:1]
    assert masks_by_name(masks, ["x.jpg", "y.jpg"], 7) is None


@pytest.mark.parametrize(("masks", "used"), [(1, 1), (2, 1), (4, 4), (9, 4)])
def test_of_controlnet(masks, used):
    assert masks_in_order(MASKS[:masks], 4) == MASKS[:used]
