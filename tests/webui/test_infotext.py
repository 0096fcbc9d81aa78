import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.params import VideoParams
from motion_module.webui.plan import infotext

ALWAYS = {"enable", "model", "video_length", "fps", "loop_number", "closed_loop", "batch_size", "stride", "overlap"}
ALWAYS |= {"interp", "interp_x", "blend", "schedule", "elastic"}
TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)


@given(TEXTS, st.floats(1, 120), st.sets(st.sampled_from([0, 1, 2])), st.sampled_from(["N", "R-P", "R+P", "A"]))
def test_every_field_survives_the_round_trip(model, fps, reverse, loop):
    params = VideoParams(enable=True, model=model, fps=fps, reverse=sorted(reverse), closed_loop=loop, format=["MP4"])
    text = infotext.write(params, mm_hash="1a2b3c4d", version="0.1.0")
    assert "\n" not in text
    read = infotext.read(text)
    assert VideoParams(**read) == params, "what is left out is as in a new panel"
    changed = {name for name, value in params.recorded().items() if value != VideoParams.default_of(name)}
    assert set(read) == changed | ALWAYS


@pytest.mark.parametrize(
    "model", ["a, b: c.safetensors", 'quo"ted.ckpt', "true", "16", "[1]", " x", "", "null", "sub/mm.pth"]
)
def test_awkward_names(model):
    assert infotext.read(infotext.write(VideoParams(model=model)))["model"] == model


def test_an_infotext_from_elsewhere_is_read_as_far_as_it_goes():
    text = "enable: True, model: mm_sd15_v3.safetensors, video_length: 16, fps: 8, closed_loop: R-P, interp: Off, junk: 5, stride: no"
    assert infotext.read(text) == {
        "enable": True,
        "model": "mm_sd15_v3.safetensors",
        "video_length": 16,
        "fps": 8,
        "closed_loop": "R-P",
        "interp": "Off",
    }


def test_a_field_of_pasted_parameters():
    params = VideoParams(enable=True, video_length=12)
    pasted = {"Steps": "20", infotext.LABEL: infotext.write(params)}
    assert infotext.field_of("video_length", pasted) == 12
    assert infotext.field_of("video_length", {"Steps": "20"}) is None


def test_values_that_travel_stand_in_quotes():
    asked = {"motion_scale_travel": "0: 1, 16: 0.6", "cfg_travel": "0: 7, 8: 4.5, hold", "travel": "hold"}
    text = infotext.write(VideoParams.from_json(asked))
    assert text.endswith(
        'motion_scale_travel: "0: 1, 16: 0.6", cfg_travel: "0: 7, 8: 4.5, hold", travel: hold, elastic: true'
    )
    assert {name: infotext.read(text)[name] for name in asked} == asked


def test_numbers_of_levels_stand_in_quotes_and_motion_steps_and_stretch_are_read_back():
    asked = {"pe_stretch": 16, "effect_blocks": "1, 1, 0.5, 0", "motion_start": 0.2, "motion_end": 0.8}
    text = infotext.write(VideoParams.from_json(asked))
    assert text.endswith(
        'pe_stretch: 16, effect_blocks: "1, 1, 0.5, 0", motion_start: 0.2, motion_end: 0.8, elastic: true'
    )
    assert {name: infotext.read(text)[name] for name in asked} == asked
    as_usual = VideoParams.from_json({"pe_stretch": 0, "effect_blocks": [], "motion_start": 0, "motion_end": 1})
    assert infotext.write(as_usual) == infotext.write(VideoParams())


def test_a_value_that_no_longer_reads_is_left_out():
    assert infotext.read('fps: 8, cfg_travel: "8: 7, 0: 4", effect_travel: "0: 1"') == {
        "fps": 8,
        "effect_travel": "0: 1",
    }


def test_short_to_read():
    params = dataclasses.replace(VideoParams(enable=True), model="mm.safetensors", video_length=16)
    assert infotext.write(params).startswith(
        "enable: true, model: mm.safetensors, video_length: 16, fps: 8, loop_number: 0"
    )
