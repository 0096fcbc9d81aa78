"""What goes wrong for people on a WebUI: one sentence each time, and the next plain picture is the one from before."""

import numpy as np
import pytest
from control_videos import batch, folder_of, request, without_detected_maps
from http_client import SMALL, alike, gradient, png_base64, set_folder

V2, V3 = "mm_tiny_v2.safetensors", "mm_tiny_v3.safetensors"
HIRES = {"enable_hr": True, "denoising_strength": 0.7}
CASES = {
    "no such module": ({"model": "mm_not_there"}, {}, "model is 'mm_not_there'; allowed is one of"),
    "more frames at a time than were learnt": ({"model": V2, "video_length": 40, "batch_size": 40}, {}, "32"),
    "a folder that is not there": ({"video_path": "/no/such/folder"}, {}, "/no/such/folder"),
    "the second pass has a checkpoint that does not fit": (
        {"model": V3},
        {**HIRES, "hr_scale": 2, "hr_second_pass_steps": 1, "hr_checkpoint_name": "wide.safetensors"},
        "64/128/128/128",
    ),
    "the refiner is a checkpoint that does not fit": (
        {"model": V3},
        {"refiner_checkpoint": "wide.safetensors", "refiner_switch_at": 0.5, "steps": 4},
        "64/128/128/128",
    ),
    "the refiner's name is no checkpoint": (
        {"model": V3},
        {"refiner_checkpoint": "nowhere", "refiner_switch_at": 0.5, "steps": 4},
        "refiner_checkpoint is 'nowhere'; allowed is one of",
    ),
    "the checkpoint of the request does not fit": (
        {"model": V3},
        {"override_settings": {"sd_model_checkpoint": "wide.safetensors"}},
        "64/128/128/128",
    ),
}


def failed(client, video, fields, path="txt2img"):
    """The one sentence of a run that cannot be made."""
    scripts = {"AnimateDiff": {"args": [{"enable": True, "video_length": 4, "format": ["PNG"], **video}]}}
    reply = client.post(path, {**SMALL, "alwayson_scripts": scripts, **fields})
    assert reply.status in (422, 500), reply.body
    assert "\n" not in reply.sentence.strip() and "Traceback" not in reply.sentence, reply.sentence
    return reply.sentence


@pytest.mark.parametrize("case", CASES)
def test_a_sentence_and_the_next_picture_as_before(client, case):
    video, fields, says = CASES[case]
    before = client.plain()
    assert says in failed(client, video, fields)
    assert np.array_equal(client.plain(), before)


@pytest.fixture
def found_out_late(client, monkeypatch):
    """What a second checkpoint is, shows only when the host has loaded it, as with files that are not opened."""
    from motion_module.webui.request import checkpoints

    monkeypatch.setattr(checkpoints, "check_later_checkpoints", lambda *args: None)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(("the refiner is", "the second pass"))])
def test_in_the_middle_of_sampling(client, found_out_late, case):
    test_a_sentence_and_the_next_picture_as_before(client, case)


def test_then_the_other_tab(client, found_out_late):
    """An error in the middle of sampling on one tab, then plain pictures and videos on the other one."""
    start = {"init_images": [png_base64(gradient())]}
    plain, moving = client.plain("img2img", **start), client.frames({"video_length": 4}, "img2img", **start)
    video, fields, _ = CASES["the second pass has a checkpoint that does not fit"]
    failed(client, video, fields)
    assert alike(client.plain("img2img", **start), plain)
    assert alike(client.frames({"video_length": 4}, "img2img", **start), moving)


def test_a_long_negative_prompt_without_padding(client):
    """The host would call the model for each side in pieces; a video is made all the same."""
    fields = {"negative_prompt": ", ".join(["a long list of what is not wanted"] * 12)}
    before = client.plain()
    unpadded = client.frames({"video_length": 4}, override_settings={"pad_cond_uncond": False}, **fields)
    padded = client.frames({"video_length": 4}, override_settings={"pad_cond_uncond": True}, **fields)
    assert unpadded.std() > 5 and np.array_equal(unpadded, padded)
    assert np.array_equal(client.plain(), before)


def test_fewer_frames_than_a_window_with_controlnet(client, tmp_path):
    """Three pictures in a window of 16: a video of three frames, and ControlNet lets go of the model."""
    without_detected_maps(client)
    before = client.plain()
    body = request([batch(folder_of(tmp_path / "frames", 3))], {"video_length": 0, "batch_size": 16, "format": ["PNG"]})
    reply = client.post("txt2img", body)
    assert reply.status == 200 and len(reply.pictures) == 3, reply.body
    assert np.array_equal(client.plain(), before)


def test_checkpoints_there_and_back(client):
    """Each of two checkpoints makes its own pictures and videos, whichever came before."""
    seen = {}
    for name in ("tiny", "other", "tiny", "other"):
        choice = {"override_settings": {"sd_model_checkpoint": f"{name}.safetensors"}}
        made = client.plain(**choice), client.frames({"video_length": 4}, **choice)
        for got, known in zip(made, seen.setdefault(name, made), strict=True):
            assert np.array_equal(got, known), name
    assert not np.array_equal(seen["tiny"][0], seen["other"][0])


def test_a_checkpoint_of_the_other_family_there_and_back(client):
    """A module of SD1.5 on SDXL is one sentence, and after it both make their own pictures."""
    if "sdxltiny" not in {model["model_name"] for model in client.get("sd-models")}:
        pytest.skip("SDXL")
    sdxl = {"override_settings": {"sd_model_checkpoint": "sdxltiny.safetensors"}}
    before, large = client.plain(), client.plain(**sdxl)
    for _ in range(2):
        assert "SDXL" in failed(client, {"model": V3}, sdxl)
        assert np.array_equal(client.plain(), before)
        client.frames({"video_length": 4, "model": V3})
        assert np.array_equal(client.plain(**sdxl), large)


@pytest.mark.parametrize("kind", ["cut off", "with code"])
def test_a_file_that_is_no_module(client, tiny, tmp_path, kind):
    folder = tmp_path / "modules"
    folder.mkdir()
    if kind == "cut off":
        data = tiny["v1"].read_bytes()
        (folder / "mm_bad.safetensors").write_bytes(data[: len(data) // 2])
    else:
        (folder / "mm_bad.ckpt").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
    before = client.plain()
    set_folder("animatediff_model_path", str(folder))
    assert "mm_bad" in failed(client, {"model": "mm_bad"}, {})
    assert not (tmp_path / "ran").exists()
    assert np.array_equal(client.plain(), before)
