import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.errors import ParamError
from motion_module.params import VideoParams

FIELDS = VideoParams.table()
DEFAULTS = {
    "model": "",
    "enable": False,
    "video_length": 0,
    "fps": 8,
    "loop_number": 0,
    "closed_loop": "R-P",
    "batch_size": 16,
    "stride": 1,
    "overlap": -1,
    "format": ["GIF", "PNG"],
    "interp": "Off",
    "interp_x": 10,
    "video_source": None,
    "video_path": "",
    "mask_path": "",
    "freeinit_enable": False,
    "freeinit_filter": "butterworth",
    "freeinit_ds": 0.25,
    "freeinit_dt": 0.25,
    "freeinit_iters": 3,
    "latent_power": 1,
    "latent_scale": 32,
    "last_frame": None,
    "latent_power_last": 1,
    "latent_scale_last": 32,
    "request_id": "",
    "reverse": [],
    "windows_per_call": 1,
    "motion_scale": 1.0,
    "effect": 1.0,
    "freenoise_enable": False,
    "same_noise": False,
    "drop_duplicates": False,
    "video_start": 0,
    "video_end": 0,
    "every_nth": 1,
    "keep_sound": False,
    "returned": "all",
    "hold_pictures": False,
    "hold": (),
    "motion_scale_travel": "",
    "effect_travel": "",
    "cfg_travel": "",
    "denoise_travel": "",
    "travel": "slerp",
    "continue_from": "",
    "resume": "",
    "preset": "off",
    "pe_stretch": 0,
    "effect_blocks": "",
    "motion_start": 0.0,
    "motion_end": 1.0,
    "remember": 0,
}


def test_the_defaults_that_clients_rely_on():
    params = dataclasses.asdict(VideoParams())
    measured = {"blend": "pyramid", "schedule": "auto", "elastic": True}
    assert {name: params.pop(name) for name in measured} == measured, "chosen by measurement"
    assert params == DEFAULTS


def test_the_newest_fields_come_last():
    """The panel's arguments come in this order: a new field moves none of the others."""
    travelling = [f"{what}_travel" for what in ("motion_scale", "effect", "cfg", "denoise")]
    newest = ["hold_pictures", "hold", *travelling, "travel", "continue_from", "resume", "preset"]
    newest += ["pe_stretch", "effect_blocks", "motion_start", "motion_end", "remember", "elastic"]
    assert list(FIELDS)[-18:] == ["keep_sound", "returned", *newest] and not FIELDS["returned"].recorded


@pytest.mark.parametrize(
    ("sent", "elastic"),
    [
        ({}, True),
        ({"video_length": 32, "overlap": 4}, True),
        ({"batch_size": 16}, False),
        ({"batch_size": 16, "elastic": True}, True),
        ({"batch_size": 16, "elastic": False}, False),
        ({"elastic": False}, False),
    ],
)
def test_windows_are_as_long_as_somebody_says_who_names_a_length(sent, elastic):
    params = VideoParams.from_json(sent)
    assert params.elastic is params.windows.elastic is elastic


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"format": "gif"}, {"format": ["GIF"]}),
        ({"format": ["mp4", "frame"]}, {"format": ["MP4", "Frame"]}),
        ({"format": ["PNG", "GIF", "PNG"]}, {"format": ["GIF", "PNG"]}),
        ({"closed_loop": True}, {"closed_loop": "A"}),
        ({"closed_loop": False}, {"closed_loop": "R-P"}),
        ({"closed_loop": "r+p"}, {"closed_loop": "R+P"}),
        ({"reverse": [0, 1]}, {"reverse": [0, 1]}),
        ({"reverse": ["Add Reverse Frame", "Remove tail"]}, {"reverse": [0, 2]}),
        ({"video_length": 16.0}, {"video_length": 16}),
        ({"fps": 12.5}, {"fps": 12.5}),
        ({"model": None}, {"model": ""}),
        ({"video_source": ""}, {"video_source": None}),
        ({"effect_travel": None}, {"effect_travel": ""}),
        ({"effect_travel": "0:1.0; 16:.6"}, {"effect_travel": "0: 1, 16: 0.6"}),
        ({"cfg_travel": [[0, 7.0], [16, 4.5], "hold"]}, {"cfg_travel": "0: 7, 16: 4.5, hold"}),
        ({"travel": "Hold"}, {"travel": "hold"}),
        ({"effect_blocks": [1, 0.5, 0, 2.0]}, {"effect_blocks": "1, 0.5, 0, 2"}),
        ({"effect_blocks": "1;.5 0\n2."}, {"effect_blocks": "1, 0.5, 0, 2"}),
        ({"effect_blocks": "[1, 1, 1, 1]"}, {"effect_blocks": "1, 1, 1, 1"}),
        ({"effect_blocks": []}, {"effect_blocks": ""}),
        ({"effect_blocks": None}, {"effect_blocks": ""}),
        ({"pe_stretch": 16.0}, {"pe_stretch": 16}),
    ],
)
def test_both_generations_of_clients_are_understood(sent, read):
    params = VideoParams.from_json(sent)
    assert {name: getattr(params, name) for name in read} == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enable", 1),
        ("enable", "true"),
        ("video_length", -1),
        ("video_length", "16"),
        ("video_length", 1.5),
        ("video_length", math.inf),
        ("fps", 0),
        ("fps", math.nan),
        ("fps", True),
        ("loop_number", 65_536),
        ("closed_loop", "B"),
        ("closed_loop", 1),
        ("batch_size", 0),
        ("stride", 0),
        ("overlap", -2),
        ("format", "AVI"),
        ("format", 3),
        ("format", {"GIF": True}),
        ("interp", None),
        ("reverse", [3]),
        ("reverse", [True]),
        ("reverse", "backwards"),
        ("request_id", "../x"),
        ("request_id", "a" * 65),
        ("request_id", "a\n"),
        ("model", 5),
        ("model", "a\0b"),
        ("last_frame", 5),
        ("motion_scale", "1"),
        ("effect", -0.1),
        ("blend", "mix"),
        ("schedule", ["uniform"]),
        ("latent_power", 0),
        ("latent_scale", 0),
        ("motion_scale_travel", 0.8),
        ("motion_scale_travel", {"0": 1}),
        ("motion_scale_travel", "0: 1, 8: 11"),
        ("motion_scale_travel", "0: 1, 8"),
        ("effect_travel", [[0, 1], [8]]),
        ("effect_travel", "8: 1, 0: 1"),
        ("cfg_travel", "0: 0.5"),
        ("cfg_travel", [[0, 31]]),
        ("denoise_travel", "0: 1.1"),
        ("denoise_travel", "0: 1\0"),
        ("travel", "lerp"),
        ("pe_stretch", -1),
        ("pe_stretch", 1),
        ("pe_stretch", 257),
        ("pe_stretch", True),
        ("effect_blocks", 0.5),
        ("effect_blocks", "1, 1, 1, 3"),
        ("effect_blocks", "1, -1, 1, 1"),
        ("effect_blocks", "1, x, 1, 1"),
        ("effect_blocks", "1, nan, 1, 1"),
        ("effect_blocks", [1, None, 1]),
        ("effect_blocks", [1, True, 1]),
        ("effect_blocks", [[1, 1], [1, 1]]),
        ("effect_blocks", {"0": 1}),
        ("motion_start", 1.1),
        ("motion_end", -0.1),
        ("motion_end", "1"),
    ],
)
def test_a_bad_value_is_refused_with_its_field_and_value(field, value):
    with pytest.raises(ParamError) as caught:
        VideoParams.from_json({"enable": True, field: value})
    sentence = str(caught.value)
    assert field in sentence and "\n" not in sentence
    shown = repr(value) if isinstance(value, str) else json.dumps(value)
    assert shown[:20] in sentence
    assert vars(caught.value) == {"status_code": 422, "detail": sentence}


def test_an_unknown_field_is_named_and_the_near_one_offered():
    with pytest.raises(ParamError, match="'modle'; did you mean model"):
        VideoParams.from_json({"modle": "x"})


def test_something_besides_txt_is_needed():
    with pytest.raises(ParamError, match="besides TXT"):
        VideoParams.from_json({"enable": True, "format": ["TXT"]})
    with pytest.raises(ParamError, match="besides TXT"):
        VideoParams.from_json({"enable": True, "format": []})


def test_stride_and_loop_n_do_not_go_together():
    with pytest.raises(ParamError, match="stride"):
        VideoParams.from_json({"enable": True, "closed_loop": "N", "stride": 2})


def test_one_source_at_a_time():
    with pytest.raises(ParamError, match="video_source and video_path are both set"):
        VideoParams.from_json({"enable": True, "video_source": "a.mp4", "video_path": "frames"})


def test_the_trim_does_not_end_before_it_starts():
    with pytest.raises(ParamError, match="video_end is 4; allowed is 0, .* video_start, which is 5"):
        VideoParams.from_json({"enable": True, "video_start": 5, "video_end": 4})
    assert VideoParams.from_json({"enable": True, "video_start": 5, "video_end": 5}).video_end == 5


def test_motion_does_not_end_before_it_starts():
    with pytest.raises(ParamError, match="motion_start is 0.6; allowed is at most motion_end, which is 0.5"):
        VideoParams.from_json({"enable": True, "motion_start": 0.6, "motion_end": 0.5})
    assert VideoParams.from_json({"enable": True, "motion_start": 0.5, "motion_end": 0.5}).motion_start == 0.5


@pytest.mark.parametrize(
    ("typed", "levels", "shares"),
    [
        ("", 4, ()),
        ("1, 1, 1, 1", 4, ()),
        ("1 1 1 1 1 1 1 1 1", 4, ()),
        ("1, 0.5, 0.2, 0", 4, (1, 0.5, 0.2, 0, 0, 0, 0.2, 0.5, 1)),
        ("1, 0.5, 0", 3, (1, 0.5, 0, 0, 0, 0.5, 1)),
        ("0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8", 4, (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
        ("0, 0, 0, 1, 0, 0, 0", 3, (0, 0, 0, 1, 0, 0, 0)),
    ],
)
def test_the_effect_in_each_level_of_a_unet(typed, levels, shares):
    assert VideoParams.from_json({"effect_blocks": typed}).effect_levels(levels) == shares


@pytest.mark.parametrize("typed", ["0.5", "1, 1", "1, 1, 1", "1, 1, 1, 1, 1", "1 " * 8, "1 " * 200])
def test_as_many_numbers_as_the_unet_has_levels(typed):
    asked = VideoParams.from_json({"effect_blocks": typed})
    with pytest.raises(ParamError, match="for a UNet of 4 levels allowed is nothing, 4 numbers .* or 9 for"):
        asked.effect_levels(4)


def test_off_is_not_checked_further():
    assert not VideoParams.from_json({"enable": False, "format": ["TXT"]}).enable


def test_lists_are_never_shared():
    VideoParams().format.append("X")
    assert VideoParams().format == ["GIF", "PNG"]


def test_the_table_says_something_about_every_field():
    for name, field in FIELDS.items():
        assert field.label and field.help.endswith(".") and len(field.help) < 140, name
        assert field.more.endswith(".") or not field.more, name
        assert set(field.needs) <= set(FIELDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(list(FIELDS)), JSON)
def test_any_json_is_read_or_refused_in_one_sentence(name, value):
    try:
        params = VideoParams.from_json({name: value})
    except ParamError as error:
        assert error.detail.count("\n") == 0 and len(error.detail) < 600
    else:
        json.dumps(dataclasses.asdict(params))


def test_blanks_alone_are_no_path():
    asked = VideoParams.from_json({"enable": True, "video_path": " \t", "mask_path": " masks ", "video_source": "  "})
    assert (asked.video_path, asked.mask_path, asked.video_source) == ("", "masks", None)
