"""What a unit takes, from the page and from the API, and how its pictures become hints."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from controlnet_runs import base64_of, plain_colour, post, squares, unit
from PIL import Image


@pytest.fixture
def code(pocket):
    """The extension's own modules, which are there once the host has started."""
    import internal_controlnet.hints
    from internal_controlnet import args, external_code, pictures, preprocessors, thinning

    return SimpleNamespace(
        args=args,
        external_code=external_code,
        hints=internal_controlnet.hints,
        pictures=pictures,
        preprocessors=preprocessors,
        thinning=thinning,
    )


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({}, "processor_res", 512),
        ({"module": "canny"}, "threshold_a", 100),
        ({"module": "canny"}, "threshold_b", 200),
        ({"module": "canny", "threshold_a": 300}, "threshold_a", 100),
        ({"processor_res": 63}, "processor_res", 512),
        ({"processor_res": 64}, "processor_res", 64),
        ({"guidance": 0.5}, "guidance_end", 0.5),
        ({"lowvram": True}, "low_vram", True),
        ({"input_image": "x"}, "image", "x"),
        ({"mask_image": "x"}, "mask", "x"),
        ({"no such field": 1}, "weight", 1.0),
    ],
    ids=str,
)
def test_fields_and_their_older_names(code, given, field, value):
    assert getattr(code.args.ControlNetUnit.from_dict({"enabled": True, **given}), field) == value


@pytest.mark.parametrize("mode", ["Crop and Resize", "Scale to Fit (Inner Fit)", "Inner Fit (Scale to Fit)"])
def test_resize_modes_of_any_age(code, mode):
    assert code.args.ControlNetUnit(resize_mode=mode).resize_mode.value == "Crop and Resize"


@pytest.mark.parametrize(
    "wrong", [{"weight": -0.1}, {"resize_mode": 1}, {"control_mode": "Fair"}, {"guidance_end": 1.1}, {"module": "hed"}]
)
def test_wrong_fields_are_refused(code, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        code.args.ControlNetUnit.from_dict(wrong)


def test_a_field_and_its_older_name_are_one_too_many(code):
    for both in ({"guidance": 1, "guidance_end": 1}, {"mask": "x", "mask_image": "x"}):
        with pytest.raises(ValueError):
            code.args.ControlNetUnit.from_dict(both)


def test_other_extensions_may_set_their_fields(code):
    made = code.args.ControlNetUnit()
    for name in ("batch_images", "batch_mask_dir", "animatediff_batch", "batch_modifiers", "batch_keyframe_idx"):
        setattr(made, name, getattr(made, name))
    assert not made.is_animate_diff_batch and not made.accepts_multiple_inputs


@pytest.mark.parametrize("form", ["array", "base64", "path", "dict", "list", "pair"])
def test_forms_of_a_picture(code, form, tmp_path):
    picture, mask = squares(), plain_colour(0, 0, 0)
    mask[:32] = 255
    Image.fromarray(picture).save(tmp_path / "one.png")
    both = {"image": base64_of(picture), "mask": base64_of(mask)}
    image = {
        "array": picture,
        "base64": base64_of(picture),
        "path": str(tmp_path / "one.png"),
        "dict": both,
        "list": [both],
        "pair": [picture, mask],
    }[form]
    (rgba,) = code.args.ControlNetUnit(image=image).get_input_images_rgba()
    assert np.array_equal(rgba[:, :, :3], picture)
    assert rgba[:, :, 3].max() == (255 if form in ("dict", "list", "pair") else 0)


def test_what_is_drawn_on_the_mask_is_the_picture(code):
    mask = plain_colour(0, 0, 0)
    mask[:32] = 255
    seen, _ = code.hints.input_pictures(SimpleNamespace(), code.args.ControlNetUnit(image=[squares(), mask]))
    assert np.array_equal(seen[0], mask)


@pytest.mark.parametrize("size", [(64, 64), (90, 150), (150, 90)])
def test_canny_is_opencvs_at_the_modules_resolution(code, size):
    picture = cv2.resize(squares(), size[::-1])
    module = code.preprocessors.Preprocessor.get_preprocessor("canny")
    found = module.code(picture, 64, 50, 100)
    assert min(found.shape[:2]) == 64
    resized = cv2.resize(picture, found.shape[1::-1], interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(resized, 0, -found.shape[0] % 64, 0, -found.shape[1] % 64, cv2.BORDER_REPLICATE)
    edges = cv2.Canny(padded, 50, 100)[: found.shape[0], : found.shape[1]]
    assert edges.any() and all(np.array_equal(found[:, :, channel], edges) for channel in range(3))


def test_invert_and_none(code):
    get = code.preprocessors.Preprocessor.get_preprocessor
    assert np.array_equal(get("invert").code(squares(), 64, 0, 0), 255 - squares())
    assert get("invert (from white bg & black line)") is get("invert")
    assert np.array_equal(get("none").code(squares(), 64, 0, 0), squares())


def test_resize_modes(code):
    """A picture twice as wide as high, red on the left and blue on the right, in a square."""
    from scripts.enums import ResizeMode

    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, :40, 0] = wide[:, 40:, 2] = 255
    wide[1, 1] = wide[1, 2] = 7  # more than two colours
    made = {mode: code.hints.fitted(wide, mode, (64, 64)) for mode in ResizeMode}
    assert all(picture.shape == (64, 64, 3) for picture in made.values())
    assert (made[ResizeMode.RESIZE][10:, 31, 0] == 255).all() and (made[ResizeMode.RESIZE][10:, 33, 2] == 255).all()
    cut = cv2.resize(wide, (128, 64), interpolation=cv2.INTER_NEAREST)[:, 32:96]
    assert np.array_equal(made[ResizeMode.INNER_FIT], cut)
    assert np.array_equal(
        made[ResizeMode.OUTER_FIT][16:48], cv2.resize(wide, (64, 32), interpolation=cv2.INTER_NEAREST)
    )
    assert len(np.unique(made[ResizeMode.OUTER_FIT][:16].reshape(-1, 3), axis=0)) == 1


def test_lines_stay_thin_and_binary_when_resized(code):
    lines = np.zeros((128, 128, 3), np.uint8)
    cv2.line(lines, (5, 10), (120, 90), (255, 255, 255), 1)
    for size in ((64, 64), (200, 200)):
        resized = code.pictures.resize_control(lines, size)
        assert set(np.unique(resized)) == {0, 255}
        grey = resized[:, :, 0]
        assert 0.7 * size[0] * 115 / 128 < (grey > 0).sum() < 1.3 * size[0] * 115 / 128
        assert code.thinning.is_thin(resized)


def test_pixel_perfect_is_the_size_the_picture_gets(code):
    rule = code.pictures.pixel_perfect_resolution
    picture = np.zeros((100, 200, 3), np.uint8)
    assert rule(picture, 64, 64, outer_fit=False) == 64
    assert rule(picture, 64, 64, outer_fit=True) == 32


def folder(path, names):
    path.mkdir()
    for place, name in enumerate(names):
        Image.fromarray(plain_colour(place, 0, 0)).save(path / name)
    return path


def batch_unit(code, lines, **fields):
    return code.args.ControlNetUnit(enabled=True, animatediff_batch=True, batch_images="\n".join(lines), **fields)


def test_a_folder_is_read_in_natural_order_and_changed_by_the_modifiers(code, tmp_path):
    frames = folder(tmp_path / "frames", ["2.png", "10.png", "1.png"])
    p = SimpleNamespace()
    made = batch_unit(code, [str(frames)], batch_modifiers=[lambda files, run: files[1:] * (run is p)])
    code.hints.take_batch(made, p)
    assert [one["image"] for one in made.image] == [str(frames / "2.png"), str(frames / "10.png")]
    assert made.batch_image_files == [str(frames / "2.png"), str(frames / "10.png")]


@pytest.mark.parametrize(("count", "used"), [(3, ["0.png", "1.png", "2.png"]), (1, ["0.png"] * 3)])
def test_masks_of_a_folder(code, tmp_path, count, used):
    frames = folder(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    masks = folder(tmp_path / "masks", [f"{place}.png" for place in range(count)])
    made = batch_unit(code, [str(frames), f"mask:{masks}"])
    code.hints.take_batch(made, None)
    assert [one["mask"] for one in made.image] == [str(masks / name) for name in used]


@pytest.mark.parametrize("together", [True, False])
def test_keyframes_leave_the_other_frames_empty(code, tmp_path, together):
    from modules import shared

    shared.opts.batch_cond_uncond = together
    frames = folder(tmp_path / "frames", ["1.png", "2.png"])
    Image.fromarray(plain_colour(9, 9, 9)).save(frames / "1.png")
    p = SimpleNamespace(height=64, width=64, batch_size=4)
    hints = code.hints.make_hints(p, batch_unit(code, [str(frames), "keyframe:1, 3"])).first
    level = hints[:, :, 0, 0].sum(dim=1) * 255
    assert torch.allclose(level, torch.tensor([0.0, 27.0, 0.0, 1.0] * (2 if together else 1)), atol=1e-4)


def test_units_of_a_run_dicts_and_others(code):
    from modules import scripts

    runner = scripts.scripts_txt2img
    script = code.external_code.find_cn_script(runner)
    values = [0] * script.args_to
    values[script.args_from : script.args_to] = [{"enabled": True, "weight": 0.5}, None, code.args.ControlNetUnit()]
    first, second = code.external_code.get_all_units(runner, values)
    assert (first.enabled, first.weight, second.enabled) == (True, 0.5, False)
    first.weight = 0.25
    changed = code.external_code.update_cn_script(runner, values, [first])
    assert [one.weight for one in code.external_code.get_all_units(runner, changed)] == [0.25, 1.0, 1.0]
    assert len(changed) == len(values) and isinstance(changed, list)


def test_more_units_than_the_page_has_push_the_other_scripts_on(code):
    scripts = [
        SimpleNamespace(title=lambda name=name: name, args_from=start, args_to=end)
        for name, start, end in (("A", 1, 2), ("ControlNet", 2, 5), ("B", 5, 6))
    ]
    units = [code.args.ControlNetUnit() for _ in range(5)]
    values = code.external_code.update_cn_script(
        SimpleNamespace(alwayson_scripts=scripts), (0, "a", 1, 2, 3, "b"), units
    )
    assert values == (0, "a", *units, "b")
    assert [values[script.args_from : script.args_to] for script in scripts] == [("a",), tuple(units), ("b",)]


def test_endpoints(pocket):
    import httpx

    get = lambda path: httpx.get(f"{pocket['url']}/controlnet/{path}", verify=False).json()  # noqa: E731
    assert get("version") == {"version": 3}
    assert [name.split(" [")[0] for name in get("model_list")["model_list"]] == ["control_tiny"]
    modules = get("module_list")
    assert modules["module_list"] == ["none", "canny", "invert"]
    assert [slider["name"] for slider in modules["module_detail"]["canny"]["sliders"]] == [
        "Resolution",
        "Low Threshold",
        "High Threshold",
    ]


def test_infotext(pocket):
    _, body = post(pocket, unit(squares(), weight=0.5, control_mode="ControlNet is more important"))
    assert 'ControlNet 0: "Module: none, Model: control_tiny, Weight: 0.5' in body["info"].replace('\\"', '"')
    assert "Control Mode: ControlNet is more important" in body["info"]


@pytest.fixture
def animatediff(pocket, monkeypatch):
    """An AnimateDiff that is on and writes down what it is given."""
    params, calls = SimpleNamespace(enable=True, is_i2i_batch=False), []
    monkeypatch.setitem(sys.modules, "scripts.animatediff_utils", SimpleNamespace(get_animatediff_arg=lambda p: params))
    batch = SimpleNamespace(animatediff_i2i_batch=lambda *args, **kwargs: calls.append((args, kwargs)) or "made")
    monkeypatch.setitem(sys.modules, "scripts.animatediff_i2ibatch", batch)
    return SimpleNamespace(params=params, calls=calls, pocket=pocket)


def test_img2imgs_batch_goes_to_animatediff_when_it_is_on(animatediff):
    from modules import img2img

    p = SimpleNamespace(scripts=None, script_args=[])
    assert img2img.process_batch(p, "in", "out", "", [], to_scale=False) == "made"
    assert animatediff.calls == [((p, "in", "out", "", []), {"to_scale": False})]
    assert animatediff.params.is_i2i_batch


def test_img2imgs_batch_stays_the_hosts_when_it_is_off(animatediff, monkeypatch):
    from modules import img2img

    animatediff.params.enable = False
    own = []
    monkeypatch.setattr(img2img, "__controlnet_original_process_batch", lambda *args: own.append(args))
    p = SimpleNamespace(scripts=None, script_args=[])
    img2img.process_batch(p, "in", "out", "", [])
    assert own == [(p, "in", "out", "", [])] and not animatediff.calls


def test_the_hijack_can_be_undone(pocket):
    from modules import img2img, processing
    from scripts import batch_hijack

    below = getattr(img2img, "__controlnet_original_process_batch")
    assert img2img.process_batch is batch_hijack.process_batch
    batch_hijack.undo_hijack()
    try:
        assert img2img.process_batch is below
        assert processing.process_images_inner.__module__ == "modules.processing"
    finally:
        batch_hijack.do_hijack()
    batch_hijack.do_hijack()
    assert getattr(img2img, "__controlnet_original_process_batch") is below


def test_with_animatediff_on_a_units_folder_is_its_business(animatediff, tmp_path):
    status, _ = post(animatediff.pocket, unit(input_mode="batch", batch_images=str(tmp_path)))
    assert status == 200
