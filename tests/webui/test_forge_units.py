"""A unit of Forge's own ControlNet, whose clients may write what they like, over a stand-in for its lists."""

from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from control_videos import folder_of, picture
from forge_stand_in import units as external
from http_client import png_base64
from PIL import Image

from motion_module.errors import ParamError

CANNY, DEPTH = external.MODELS[1:]
MODES, INPUT = external.ControlMode, external.InputMode
SHOWN, MASK = png_base64(picture(1)), png_base64(picture(4))


@pytest.fixture(autouse=True)
def _forge(forge):
    """Its modules are there."""


def read(number=0, **fields):
    from motion_module.webui.controlnet.forge_units import read_forge_unit

    return read_forge_unit(external, number, {"module": "None", "model": CANNY, **fields})


def processing(*args, **fields):
    script = SimpleNamespace(title=lambda: "ControlNet", args_from=1, args_to=1 + len(args), current_params={})
    return SimpleNamespace(script_args=[0, *args], scripts=SimpleNamespace(alwayson_scripts=[script]), **fields)


def unit_of(*args, number=0, **fields):
    from motion_module.webui.controlnet.known_units import units_of

    return units_of(processing(*args, **fields))[number]


@pytest.fixture
def pictures(tmp_path):
    from motion_module.webui.request.picture_files import PictureFiles

    with ExitStack() as stack:
        yield PictureFiles(stack, tmp_path / "root")


def given(unit):
    """The files that Forge's ControlNet asks the unit for."""
    files = ["what Forge finds in the folder"]
    for change in unit.settings.batch_modifiers:
        files = change(files, None)
    return files


def test_the_unit_is_of_forges_kind(tmp_path):
    from motion_module.webui.controlnet.forge_units import ForgeUnit

    unit = unit_of(external.ControlNetUnit(enabled=False), {"image": SHOWN, "model": CANNY}, number=1)
    assert type(unit) is ForgeUnit
    assert (unit.number, unit.arg_index, unit.is_on, unit.has_picture) == (1, 2, True, True)
    assert unit.hands_out_by_itself
    assert not unit.takes_several


def test_units_of_the_page_are_copied():
    own = external.ControlNetUnit(model=CANNY, control_mode=MODES.CONTROL, batch_image_dir="a", batch_mask_dir="b")
    own.input_mode = INPUT.BATCH
    unit = unit_of(own)
    assert unit.settings is not own
    assert own.control_mode is MODES.CONTROL
    assert (unit.lines.folder, unit.lines.masks) == ("a", "b")
    assert unit_of(own, "no unit", own, number=1).number == 2


def test_a_folder_of_its_own_with_masks(tmp_path, pictures):
    folder, masks = folder_of(tmp_path / "frames", 3), folder_of(tmp_path / "masks", 3)
    unit = unit_of({"batch_images": f"{folder}\nmask: {masks}", "model": CANNY})
    assert unit.has_folder
    assert not unit.has_picture
    source = unit.own_files()
    assert [file.name for file in source.files] == ["1.png", "2.png", "3.png"]
    unit.give(source, 2, processing(), pictures)
    assert unit.settings.input_mode is INPUT.BATCH
    assert given(unit) == [str(folder / f"{number}.png") for number in (1, 2)]
    assert (unit.settings.batch_image_dir, unit.settings.batch_mask_dir) == (str(folder), str(masks))
    assert unit.settings.save_detected_map is False


@pytest.mark.parametrize(
    ("fields", "batch"),
    [
        ({"batch_images": "{folder}"}, True),
        ({"batch_images": "{folder}", "input_mode": "batch"}, True),
        ({"batch_images": "{folder}", "input_mode": "InputMode.BATCH"}, True),
        ({"batch_images": "{folder}", "input_mode": 1}, True),
        ({"batch_image_dir": "{folder}"}, True),
        ({"batch_images": "{folder}", "input_mode": "simple", "image": SHOWN}, False),
        ({"batch_images": "{folder}", "image": SHOWN}, False),
        ({"input_image": SHOWN}, False),
    ],
)
def test_folder_or_picture(tmp_path, fields, batch):
    """Forge compares the mode with its own objects alone: a client's word for it would count as another one."""
    folder = folder_of(tmp_path / "frames", 2)
    unit = unit_of(
        {
            "model": CANNY,
            **{key: value.format(folder=folder) if isinstance(value, str) else value for key, value in fields.items()},
        }
    )
    assert unit.settings.input_mode is (INPUT.BATCH if batch else INPUT.SIMPLE)
    assert (unit.has_folder, unit.has_picture) == (batch, not batch)


def test_a_preview_and_a_gallery_are_pictures():
    assert unit_of(external.ControlNetUnit(model=CANNY, use_preview_as_input=True)).has_picture
    merged = external.ControlNetUnit(model=CANNY, input_mode=INPUT.MERGE)
    assert not unit_of(merged).has_picture
    merged.batch_input_gallery = [("a.png", None)]
    assert unit_of(merged).has_picture


def test_pictures_in_memory_become_files(pictures):
    """Those of img2img; they come to size as img2img's do."""
    from motion_module.webui.controlnet.units import Files

    unit, images = unit_of({"model": CANNY}), [Image.fromarray(picture(place)) for place in range(3)]
    p = processing(init_images=images, resize_mode=2)
    unit.give(Files("img2img", tuple(images)), 3, p, pictures)
    assert [np.array_equal(np.asarray(Image.open(file)), picture(place)) for place, file in enumerate(given(unit))] == [
        True
    ] * 3
    assert unit.settings.resize_mode == 2
    assert unit.settings.batch_mask_dir == ""


def test_kinds_of_files_that_forge_does_not_read_become_others(tmp_path, pictures):
    from motion_module.webui.controlnet.units import Files

    (tmp_path / "frames").mkdir()
    files = [tmp_path / "frames" / f"{name}" for name in ("a.PNG", "b.webp", "c.bmp", "d.tiff")]
    for place, file in enumerate(files):
        Image.fromarray(picture(place)).save(file, **({"lossless": True} if file.suffix == ".webp" else {}))
    unit = unit_of({"model": CANNY})
    unit.give(Files("video_path", tuple(files)), 4, processing(), pictures)
    names = given(unit)
    assert [names[0], names[2]] == [str(files[0]), str(files[2])]
    assert [name.endswith(".png") for name in (names[1], names[3])] == [True, True]
    assert np.array_equal(np.asarray(Image.open(names[1])), picture(1))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "weight: 0: 1, 4: 0",
            "weight: of ControlNet unit 1 does not work with Forge's ControlNet yet; leave the line out",
        ),
        ("keyframe: 0, 1", "keyframe: of ControlNet unit 1 does not work with Forge's ControlNet"),
    ],
)
def test_what_forges_controlnet_cannot_do_is_refused(tmp_path, pictures, line, sentence):
    folder, off = folder_of(tmp_path / "frames", 2), external.ControlNetUnit(enabled=False)
    with pytest.raises(ParamError, match=sentence):
        unit = unit_of(off, {"batch_images": f"{folder}\n{line}", "model": CANNY}, number=1)
        unit.give(unit.own_files(), 2, processing(), pictures)


@pytest.mark.parametrize("name", [CANNY, "control_v11p_sd15_canny", "CANNY", "canny [D14C"])
def test_a_model_may_be_named_in_part(name):
    assert read(model=name).model == CANNY


@pytest.mark.parametrize("name", ["", "None", "nothing of that kind"])
def test_a_model_that_is_not_there_is_refused(name):
    with pytest.raises(ParamError, match="ControlNet unit 4 cannot be used: its model is"):
        read(4, model=name, enabled=True)


def test_a_unit_that_says_nothing_is_off():
    assert [read(model="").enabled, read().enabled] == [False, True]


def test_preprocessors():
    """In any case; some go without a model."""
    assert read(module="CANNY").module == "canny"
    assert read(module="none").module == "None"
    assert read(module="reference_only", model="None").model == "None"
    with pytest.raises(ParamError, match="module of ControlNet unit 2 is 'nothing'; allowed is one of None, canny"):
        read(2, module="nothing")
    assert read(module="nothing", model="nothing", enabled=False).enabled is False


@pytest.mark.parametrize("mode", [MODES.CONTROL, "ControlNet is more important", "CONTROL", "controlmode.control", 2])
def test_a_control_mode_is_a_text(mode):
    """Forge takes every object for *Balanced*."""
    assert read(control_mode=mode).control_mode == "ControlNet is more important"
    assert read().control_mode == "Balanced"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("control_mode", "somehow"),
        ("control_mode", 7),
        ("input_mode", "many"),
        ("resize_mode", "Stretch"),
        ("hr_option", "No"),
    ],
)
def test_a_choice_that_is_none_is_refused(field, value):
    with pytest.raises(ParamError, match=f"{field} of ControlNet unit 3 is .*; allowed is one of"):
        read(3, **{field: value})


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("Scale to Fit (Inner Fit)", "INNER_FIT"),
        ("Envelope (Outer Fit)", "OUTER_FIT"),
        ("resize and fill", "OUTER_FIT"),
        (0, "RESIZE"),
        (3, "RESIZE"),
        (None, "INNER_FIT"),
    ],
)
def test_resize_modes_by_all_names_that_forge_knows(value, mode):
    assert external.resize_mode_from_value(read(resize_mode=value).resize_mode) is external.ResizeMode[mode]


def test_names_of_fields_that_others_use():
    unit = read(input_image=SHOWN, mask=SHOWN, threshold_A=3, threshold_B=4, guidance=0.5, guidance_end=None)
    assert (unit.image, unit.mask_image) == (SHOWN, SHOWN)
    assert (unit.threshold_a, unit.threshold_b, unit.guidance_end) == (3, 4, 0.5)


@pytest.mark.parametrize("image", [{"image": SHOWN, "mask": MASK}, [SHOWN, MASK]])
def test_a_picture_with_its_mask(image):
    """Forge has a field for each."""
    unit = read(image=image)
    assert (unit.image, unit.mask_image) == (SHOWN, MASK)


def test_a_picture_alone_in_a_list():
    assert read(image=[SHOWN]).image == SHOWN


def test_a_field_that_forge_does_not_know_is_told(caplog):
    read(1, image=SHOWN, low_vram=True)
    assert "Forge's ControlNet knows nothing of low_vram of unit 1" in caplog.text


def test_masks_of_a_video_are_for_inpainting_alone(tmp_path):
    from motion_module.webui.controlnet.units import Files

    source = Files("video_path", (tmp_path / "a.png",), masks="masks")
    assert not unit_of({"model": CANNY}).takes_masks(source)
    assert unit_of({"model": CANNY, "module": "inpaint_only"}).takes_masks(source)


def test_neo_has_one_picture_a_unit(pictures):
    """Its units have no input mode, and no folder."""
    from motion_module.webui.controlnet.units import Files

    own = external.ControlNetUnit(model=CANNY)
    for name in ("input_mode", "batch_image_dir", "batch_mask_dir", "batch_input_gallery"):
        delattr(own, name)
    unit = unit_of(SimpleNamespace(**vars(own)))
    assert not unit.has_picture
    files = Files("video_path", (Image.fromarray(picture(0)),) * 2)
    with pytest.raises(ParamError, match="takes one picture for all frames in Forge Neo"):
        unit.give(files, 2, processing(), pictures)


@pytest.mark.parametrize(
    ("made", "count", "fine"), [([np.zeros(3)], 4, False), (torch.zeros(4, 3, 8, 8), 4, True), ("no picture", 1, True)]
)
def test_a_preprocessor_that_makes_no_pictures_takes_one_alone(tmp_path, made, count, fine):
    """It would take the first of several for all frames."""
    from motion_module.webui.controlnet.units import Files

    unit = unit_of({"model": CANNY, "module": "InsightFace+CLIP-H (IPAdapter)"})
    source = Files("video_path", tuple(folder_of(tmp_path / "frames", count).iterdir()))
    taken = SimpleNamespace(control_cond=made)
    unit.check_taken(taken, None)
    if fine:
        unit.check_taken(taken, source)
        return
    with pytest.raises(ParamError, match=r"would take the first of its 4 pictures .* InsightFace\+CLIP-H"):
        unit.check_taken(taken, source)


def test_without_controlnet_there_are_no_units():
    from motion_module.webui.controlnet.known_units import units_of

    assert units_of(SimpleNamespace(script_args=[], scripts=SimpleNamespace(alwayson_scripts=[]))) == []
