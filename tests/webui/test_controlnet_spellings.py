"""A ControlNet unit in all the ways in which clients write one: each makes the same frames."""

from pathlib import Path

import numpy as np
import pytest
from control_videos import CONTROL, STILL, folder_of, picture, request, unit, without_detected_maps
from http_client import alike, png_base64
from runs import array, make, run, runner_of, video

FRAMES = 2
STEPS = 2
SHOWN = png_base64(picture(1))
BLACK = png_base64(np.zeros((64, 64, 3)))
DRAWN = png_base64(picture(3))
_known = {}

SPELLINGS = {
    "a picture": (
        {"image": SHOWN},
        [
            {"image": f"data:image/png;base64,{SHOWN}"},
            {"input_image": SHOWN},
            {"input_image": f"data:image/png;base64,{SHOWN}"},
            {"image": {"image": SHOWN}},
            {"image": {"image": SHOWN, "mask": None}},
            {"image": {"image": SHOWN, "mask": BLACK}},
            {"input_image": {"image": SHOWN, "mask": BLACK}},
            {"image": [{"image": SHOWN, "mask": BLACK}]},
            {"image": [{"image": SHOWN}]},
            {"image": [SHOWN, BLACK]},
            {"image": [SHOWN, None]},
            {"image": [SHOWN]},
            {"input_image": [SHOWN]},
            {"image": SHOWN, "mask": BLACK},
            {"image": SHOWN, "mask_image": BLACK},
            {"image": SHOWN, "mask": None, "mask_image": BLACK},
            {"image": SHOWN, "mask": ""},
            {"image": {"image": SHOWN, "mask": ""}},
            {"image": SHOWN, "input_image": None},
            {"image": None, "input_image": SHOWN},
            {"image": SHOWN, "input_mode": "simple"},
            {"image": SHOWN, "input_mode": "SIMPLE"},
            {"image": SHOWN, "input_mode": "InputMode.SIMPLE"},
            {"image": SHOWN, "input_mode": None},
            {"image": SHOWN, "input_mode": "simple", "batch_images": "{folder}"},
            {"image": SHOWN, "batch_images": "{folder}"},
            {"image": SHOWN, "batch_images": ""},
            {"image": SHOWN, "batch_images": None},
            {"image": SHOWN, "weight": "1.0", "enabled": "true", "is_ui": False, "no such field": 1},
            {"image": SHOWN, "lowvram": True},
            {"image": SHOWN, "low_vram": True},
            {"image": SHOWN, "processor_res": None, "threshold_a": None, "guidance_end": None, "control_mode": None},
            {"image": SHOWN, "processor_res": -1, "threshold_a": -1.0, "module": "none"},
            {"image": SHOWN, "model": "CONTROL_TINY"},
            {"image": SHOWN, "model": "{model}"},
        ],
    ),
    "a drawn mask": (
        {"image": {"image": SHOWN, "mask": DRAWN}},
        [
            {"image": [SHOWN, DRAWN]},
            {"input_image": [{"image": SHOWN, "mask": DRAWN}]},
            {"image": SHOWN, "mask": DRAWN},
            {"input_image": SHOWN, "mask_image": DRAWN},
        ],
    ),
    "a folder": (
        {"input_mode": "batch", "batch_images": "{folder}"},
        [
            {"batch_images": "{folder}"},
            {"batch_images": "{folder}", "input_mode": None},
            {"batch_images": "{folder}", "image": None},
            {"batch_images": "{folder}", "image": ""},
            {"batch_images": "{folder}", "image": {"image": None, "mask": None}},
            {"batch_images": "{folder}", "image": "", "mask": ""},
            {"batch_images": "{folder}", "image": [{"image": None}]},
            {"batch_images": "{folder}", "input_mode": "BATCH"},
            {"batch_images": "{folder}", "input_mode": "Batch"},
            {"batch_images": "{folder}", "input_mode": "InputMode.BATCH"},
            {"batch_images": "{folder}", "input_mode": "batch", "image": SHOWN},
            {"batch_images": "{folder}", "input_mode": 1},
            {"batch_images": "{folder}\n"},
            {"batch_images": '"{folder}"'},
        ],
    ),
    "several merged": (
        {"image": [{"image": SHOWN}, {"image": DRAWN}], "input_mode": "merge"},
        [
            {"image": [SHOWN, DRAWN], "input_mode": "merge"},
            {"input_image": [SHOWN, DRAWN], "input_mode": "MERGE"},
            {"image": [{"image": SHOWN, "mask": None}, {"image": DRAWN, "mask": BLACK}], "input_mode": 2},
        ],
    ),
    "a control mode": (
        {"image": SHOWN, "control_mode": "ControlNet is more important"},
        [
            {"image": SHOWN, "control_mode": "CONTROL"},
            {"image": SHOWN, "control_mode": "ControlMode.CONTROL"},
            {"image": SHOWN, "control_mode": "controlnet is more important"},
            {"image": SHOWN, "control_mode": 2},
        ],
    ),
    "a resize mode": (
        {"image": "{wide}", "resize_mode": "Resize and Fill"},
        [
            {"image": "{wide}", "resize_mode": "Outer Fit (Shrink to Fit)"},
            {"image": "{wide}", "resize_mode": "Envelope (Outer Fit)"},
            {"image": "{wide}", "resize_mode": "OUTER_FIT"},
            {"image": "{wide}", "resize_mode": "ResizeMode.OUTER_FIT"},
            {"image": "{wide}", "resize_mode": 2},
        ],
    ),
    "the other resize modes": (
        {"image": "{wide}", "resize_mode": "Crop and Resize"},
        [
            {"image": "{wide}", "resize_mode": "Scale to Fit (Inner Fit)"},
            {"image": "{wide}", "resize_mode": "Inner Fit (Scale to Fit)"},
            {"image": "{wide}", "resize_mode": 1},
            {"image": "{wide}", "resize_mode": None},
        ],
    ),
    "a guidance": (
        {"image": SHOWN, "guidance_end": 0.0, "guidance_start": 0.0},
        [{"image": SHOWN, "guidance": 0.0}, {"image": SHOWN, "guidance": 0, "guidance_start": None}],
    ),
}
TABLE = [(kind, place) for kind, (_, others) in SPELLINGS.items() for place in range(len(others))]


@pytest.fixture
def places(client, tmp_path):
    """What stands in braces above."""
    without_detected_maps(client)
    listed = client.http.get("/controlnet/model_list").json()["model_list"]
    wide = png_base64(np.concatenate([picture(0), picture(2)], axis=1))
    return {
        "folder": str(folder_of(tmp_path / "frames", FRAMES)),
        "wide": wide,
        "model": next(name for name in listed if name.startswith(CONTROL)),
    }


def filled(value, places):
    for name, text in places.items():
        value = value.replace(f"{{{name}}}", text) if isinstance(value, str) else value
    return value


def sent(fields, places):
    fields = {name: filled(value, places) for name, value in fields.items()}
    made = unit(**fields)
    return made if "resize_mode" in fields else {**made, "resize_mode": "Just Resize"}


def frames(client, fields, places):
    steps = 6 if "guidance_start" in fields or "guidance" in fields else STEPS  # so that some are without
    reply = client.post("txt2img", request([sent(fields, places)], {"video_length": FRAMES}, steps=steps))
    assert reply.status == 200, reply.body
    return reply.pictures.astype(int)


@pytest.mark.parametrize(("kind", "place"), TABLE, ids=lambda value: str(value))
def test_each_spelling_makes_the_same_frames(client, places, kind, place):
    usual, others = SPELLINGS[kind]
    if kind not in _known:
        _known[kind] = frames(client, usual, places)
    got = frames(client, others[place], places)
    assert np.array_equal(got, _known[kind]), others[place]


def test_the_kinds_of_the_table_differ(client, places):
    made = [frames(client, usual, places) for usual, _ in SPELLINGS.values()]
    made.append(frames(client, {"image": SHOWN, "guidance_start": 0.0, "guidance_end": 1.0}, places))
    for place, one in enumerate(made):
        assert all(np.abs(one - other).max() > 3 for other in made[:place]), place


REFUSED = {
    "no such mode": ({"image": SHOWN, "input_mode": "folder"}, ("input_mode", "'folder'", "simple, batch, merge")),
    "a number too high": ({"image": SHOWN, "control_mode": 3}, ("control_mode", "3", "Balanced")),
    "true is no number": ({"image": SHOWN, "resize_mode": True}, ("resize_mode", "Just Resize")),
    "simple, but only a folder": (
        {"input_mode": "simple", "batch_images": "{folder}"},
        ("ControlNet unit 0", "no picture", "input_mode", "batch_images"),
    ),
    "both names": ({"image": SHOWN, "input_image": SHOWN}, ("input_image", "image")),
    "both masks": ({"image": SHOWN, "mask": BLACK, "mask_image": BLACK}, ("mask_image",)),
    "a mask alone": ({"mask": BLACK}, ("ControlNet unit 0", "no picture")),
    "several pictures": ({"image": [{"image": SHOWN}, {"image": SHOWN}]}, ("ControlNet unit 0", "2 pictures")),
    "three texts": ({"image": [SHOWN, SHOWN, SHOWN]}, ("ControlNet unit 0", "3 pictures")),
    "no picture at all": ({"image": "abcd"}, ("ControlNet unit 0", "image")),
    "a number": ({"image": 7}, ("ControlNet unit 0", "image")),
    "an unknown model": (
        {"image": SHOWN, "model": "control_v11p_sd15_openpose"},
        ("ControlNet unit 0", "model is 'control_v11p_sd15_openpose'", "control_tiny"),
    ),
    "no model": ({"image": SHOWN, "model": "None"}, ("ControlNet unit 0", "model is 'None'", "control_tiny")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_spelling_is(client, places, case):
    fields, says = REFUSED[case]
    reply = client.post("txt2img", request([sent(fields, places)], {"video_length": FRAMES}))
    assert reply.status == 422, reply.body
    assert all(part in reply.sentence for part in says), reply.sentence
    assert reply.sentence.startswith("AnimateDiff: ") and "\n" not in reply.sentence and len(reply.sentence) < 400


def test_a_unit_that_is_off_may_be_spelled_as_others(client, places):
    off = {**sent({"image": SHOWN, "control_mode": 2, "input_mode": None}, places), "enabled": False}
    alone = frames(client, {"image": SHOWN}, places)
    both = client.post("txt2img", request([off, sent({"image": SHOWN}, places)], {"video_length": FRAMES}, steps=STEPS))
    assert both.status == 200 and np.array_equal(both.pictures, alone)


def test_a_video_goes_to_a_unit_whose_image_is_empty(client, places):
    """The client webuiapi sends "" where there is no picture."""
    for empty in ("", {"image": None}, {"image": "", "mask": None}):
        video = {"video_path": places["folder"]}
        made = client.post("txt2img", request([sent({"image": empty}, places)], video, steps=STEPS))
        assert made.status == 200, made.body
        assert np.array_equal(made.pictures, frames(client, SPELLINGS["a folder"][0], places))


def test_img2imgs_picture_goes_to_a_unit_whose_image_is_empty(client, places):
    body = {"init_images": [SHOWN], "denoising_strength": 0.9}
    made = [
        client.post("img2img", request([sent(fields, places)], {"video_length": FRAMES}, **body))
        for fields in ({"image": SHOWN}, {"image": ""}, {})
    ]
    assert [one.status for one in made] == [200] * 3, [one.body for one in made]
    assert alike(made[0].pictures, made[1].pictures) and alike(made[0].pictures, made[2].pictures)


def test_a_mask_without_a_picture(client, places):
    """With img2img's picture ControlNet ends in an error without a word; with a video the mask is no hindrance."""
    alone = sent({"mask": BLACK}, places)
    refused = client.post("img2img", request([alone], {"video_length": FRAMES}, init_images=[SHOWN]))
    assert refused.status == 422 and "ControlNet unit 0 has a mask, but no picture" in refused.sentence
    made = client.post("txt2img", request([alone], {"video_path": places["folder"]}, steps=STEPS))
    assert np.array_equal(made.pictures, frames(client, SPELLINGS["a folder"][0], places))


def page_run(units, **fields):
    """A run of objects, as the page makes them."""
    p = make("txt2img", video(**STILL, format=["Frame"], video_length=0, batch_size=8, **fields), steps=1)
    script = next(script for script in runner_of("txt2img").scripts if script.title() == "ControlNet")
    values = list(p.script_args)
    values[script.args_from : script.args_from + len(units)] = units
    p.script_args = tuple(values)
    return p


def page_unit(**fields):
    """What the page makes of its fields: it says all of them."""
    from internal_controlnet import args

    from scripts import enums

    mode = enums.InputMode(fields.pop("input_mode", "simple"))
    return args.ControlNetUnit.from_dict(
        {**unit(is_ui=True, output_dir="", loopback=False), "input_mode": mode, **fields}
    )


def test_a_stale_folder_of_the_page_does_not_count(places):
    """The page keeps what was typed on its Batch tab while the Single tab is open."""
    with pytest.raises(Exception, match="ControlNet unit 0 is enabled, but it has no picture"):
        run(page_run([page_unit(batch_images=places["folder"])]))
    shown = page_unit(batch_images=places["folder"], image=picture(1))
    single = array(run(page_run([page_unit(image=picture(1))], request_id="a")).images)
    assert np.array_equal(array(run(page_run([shown])).images), single)
    other = folder_of(Path(places["folder"]).parent / "other", 4, first=1)
    stale = run(page_run([page_unit(batch_images=places["folder"])], video_path=str(other)))
    assert len(stale.images) == 4


def test_an_object_of_another_extension_may_leave_the_mode_out(places):
    from internal_controlnet.args import ControlNetUnit

    made = ControlNetUnit(**sent({"batch_images": "{folder}"}, places))
    images = run(page_run([made])).images
    assert len(images) == FRAMES
    assert (made.input_mode.value, made.animatediff_batch) == ("simple", False), "the unit itself is never changed"
