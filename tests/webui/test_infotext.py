import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motion_module.params import VideoParams
from motion_module.webui.plan import infotext

TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)


@given(TEXTS, st.floats(1, 120), st.sets(st.sampled_from([0, 1, 2])), st.sampled_from(["N", "R-P", "R+P", "A"]))
def test_every_field_survives_the_round_trip(model, fps, reverse, loop):
    params = VideoParams(enable=True, model=model, fps=fps, reverse=sorted(reverse), closed_loop=loop, format=["MP4"])
    text = infotext.write(params, mm_hash="1a2b3c4d", version="0.1.0")
    assert "\n" not in text
    read = infotext.read(text)
    assert VideoParams(**read) == params
    assert set(read) == set(params.recorded())


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


def test_short_to_read():
    params = dataclasses.replace(VideoParams(enable=True), model="mm.safetensors", video_length=16)
    assert infotext.write(params).startswith(
        "enable: true, model: mm.safetensors, video_length: 16, fps: 8, loop_number: 0"
    )
