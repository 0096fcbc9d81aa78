"""What is handed to ControlNet's units, in the cases that no run here comes to."""

from types import SimpleNamespace

import pytest
from control_videos import folder_of

from motion_module.webui.controlnet import control
from motion_module.webui.controlnet.units import Files, Unit


@pytest.fixture(autouse=True)
def host(pocket):
    return pocket


def test_an_ip_adapter_gets_a_single_keyframe_once(tmp_path):
    """Other units get it twice, because ControlNet forgets what frame a picture alone was for."""
    folder = folder_of(tmp_path / "frames", 1)
    for takes_several, count in ((True, 1), (False, 2)):
        settings = SimpleNamespace(
            accepts_multiple_inputs=takes_several, input_mode="batch", model="", batch_modifiers=[]
        )
        files = Files("video_path", tuple(folder.iterdir()), "", (2,))
        Unit(0, 0, settings).give(files, 5, SimpleNamespace(resize_mode=0), pictures=None)
        given = settings.image if takes_several else settings.batch_modifiers[0]([], None)
        assert len(given) == count


def test_masks_go_by_their_folder_where_the_clip_is_shorter(tmp_path):
    folder = folder_of(tmp_path / "masks", 5)
    masks = sorted(folder.iterdir())
    assert control._folder_of(masks[:3]) == str(folder)
    assert control._folder_of(masks) == str(folder)
    assert control._folder_of(masks[1:4]) == control._folder_of(masks[::2]) == control._folder_of([]) == ""
