"""Fields without effect: which, why, and that the rest of the table is not among them."""

import pytest

from motion_module.params import VideoParams
from motion_module.without_effect import idle_fields, without_effect
from motion_module.wording import for_client

OF_MOTION = {"motion_scale", "motion_scale_travel", "pe_stretch", "effect_blocks"}
ONE_WINDOW = {"stride", "overlap", "blend", "schedule", "windows_per_call", "freenoise_enable", "remember", "elastic"}
OF_OTHERS = {name: field.needs for name, field in VideoParams.table().items() if field.needs}
SET = {"interp": "FFMPEG", "freeinit_enable": True, "last_frame": "a picture", "video_source": "a.mp4"}


@pytest.mark.parametrize(
    ("fields", "frames", "idle"),
    [
        ({}, 16, ONE_WINDOW),
        ({}, 17, set()),
        ({}, None, set()),
        ({"batch_size": 8}, 16, set()),
        ({"closed_loop": "N"}, 16, ONE_WINDOW | {"closed_loop"}),
        ({"continue_from": "/a.mp4"}, 16, ONE_WINDOW - {"overlap"}),
        ({"closed_loop": "A"}, 16, ONE_WINDOW),
        ({"closed_loop": "R+P"}, 16, ONE_WINDOW),
        ({"closed_loop": "N"}, 17, {"elastic"}),
        ({"closed_loop": "A"}, 17, {"elastic"}),
        ({"blend": "overwrite", "schedule": "static"}, 17, {"elastic", "stride"}),
        ({"stride": 2}, 17, {"elastic"}),
        ({"overlap": 9}, 17, {"elastic"}),
        ({"schedule": "static"}, 17, {"stride"}),
        ({"schedule": "static", "closed_loop": "N"}, None, {"stride", "closed_loop"}),
        ({"schedule": "static", "closed_loop": "A"}, 17, {"stride", "closed_loop"}),
        ({"schedule": "static"}, 16, ONE_WINDOW),
        ({"same_noise": True}, 17, {"freenoise_enable"}),
        ({"effect": 0}, 17, OF_MOTION),
        ({"pe_stretch": 12}, 17, {"elastic"}),
        ({"pe_stretch": 16}, 17, {"pe_stretch", "elastic"}),
        ({"pe_stretch": 16}, None, {"elastic"}),
        ({"pe_stretch": 12}, 12, ONE_WINDOW | {"pe_stretch"}),
        ({"pe_stretch": 40, "batch_size": 36}, 36, ONE_WINDOW),
        ({"effect": 0, "effect_travel": "0: 0, 8: 1"}, 17, {"effect"}),
        ({"motion_scale_travel": "0: 1, 8: 2"}, 17, {"motion_scale"}),
        ({"reverse": [1, 2]}, 17, {"reverse"}),
        ({"reverse": [0, 2]}, 17, set()),
    ],
)
def test_idle_fields(fields, frames, idle):
    found = idle_fields(VideoParams(**SET, **fields), frames)
    assert set(found) == idle
    assert all(found.values())


def test_a_field_waits_for_the_one_it_needs():
    found = idle_fields(VideoParams(), 17)
    assert set(found) == set(OF_OTHERS)
    page = {name: VideoParams.worded_for_page(why) for name, why in found.items()}
    assert page["freeinit_iters"] == "it needs FreeInit" and page["interp_x"] == "it needs Frame interpolation"
    assert page["video_start"] == "it needs Video source or Video path"
    assert for_client(found["video_start"]) == "it needs video_source or video_path"
    for needed in SET:
        left = idle_fields(VideoParams(**{needed: SET[needed]}), 17)
        assert set(left) == {name for name, others in OF_OTHERS.items() if needed not in others}


def test_only_changed_fields_are_worth_a_word():
    asked = VideoParams(stride=2, overlap=3, interp_x=4, fps=9, freenoise_enable=True)
    why = "16 frames fit into one window of 16"
    waits = "it needs interp"

    def told(frames):
        return {name: for_client(why) for name, why in without_effect(asked, frames).items()}

    assert told(16) == {"stride": why, "overlap": why, "freenoise_enable": why, "interp_x": waits}
    assert told(17) == {"interp_x": waits}
    assert without_effect(VideoParams(), 16) == {}


def test_a_switch_that_is_off_because_of_another_field_is_no_wonder():
    """Who names batch_size has not touched the switch."""
    params = VideoParams.from_json({"batch_size": 8})
    assert not params.elastic and "elastic" in idle_fields(params, 8)
    assert without_effect(params, 8) == {}
