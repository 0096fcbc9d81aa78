"""Pictures: grids, resizing, and saving under names that never collide."""

import numpy as np
import pytest
from PIL import Image
from processing_runs import four_colours, pixels_of, result_of, txt2img

pytestmark = pytest.mark.usefixtures("pocket")


def saving(folder, **changes):
    p = txt2img(do_not_save_samples=False, do_not_save_grid=False, **changes)
    p.outpath_samples, p.outpath_grids = str(folder / "samples"), str(folder / "grids")
    return p


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_grid_comes_first_and_is_told_by_index_of_first_image():
    result = result_of(txt2img(batch_size=2, do_not_save_grid=False, override_settings={"grid_save": False}))
    assert result.index_of_first_image == 1
    assert [picture.size for picture in result.images] == [(128, 64), (64, 64), (64, 64)]
    assert len(result.infotexts) == 3 and result.infotexts[0] == result.infotexts[1]
    assert (pixels_of(result.images[0])[:, :64] == pixels_of(result.images[1])).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batch_size": 1}, 0),
        ({"batch_size": 2, "override_settings": {"return_grid": False}}, 0),
        ({"batch_size": 1, "override_settings": {"grid_only_if_multiple": False, "grid_save": False}}, 1),
    ],
)
def test_when_there_is_no_grid(changes, expected, tmp_path):
    p = txt2img(**{"do_not_save_grid": False} | changes)
    p.outpath_grids = str(tmp_path)
    assert result_of(p).index_of_first_image == expected


def test_samples_and_grids_are_saved_and_numbered(tmp_path):
    flat = {"save_to_dirs": False, "grid_save_to_dirs": False}
    result = result_of(saving(tmp_path, batch_size=2, override_settings=flat))
    assert files(tmp_path) == [
        "grids/grid-0000.png",
        "samples/00000-5-a red ball.png",
        "samples/00001-6-a red ball.png",
    ]
    assert Image.open(tmp_path / "grids/grid-0000.png").info["parameters"] == result.infotexts[0]
    assert result.images[1].already_saved_as == str(tmp_path / "samples/00000-5-a red ball.png")
    result_of(saving(tmp_path, override_settings=flat))
    assert "samples/00002-5-a red ball.png" in files(tmp_path)


def test_pictures_go_into_a_folder_of_the_day(tmp_path):
    result_of(saving(tmp_path))
    (name,) = files(tmp_path)
    assert len(name.split("/")[1]) == len("2024-01-01") and name.endswith("/00000-5.png")


def test_an_interrupted_picture_is_not_saved_unless_asked_for(tmp_path):
    from modules import shared

    for keep in (False, True):
        p = saving(tmp_path, override_settings={"save_incomplete_images": keep})
        p.setup_conds_before, p.setup_conds = (
            p.setup_conds,
            lambda p=p: (p.setup_conds_before(), shared.state.interrupt()),
        )
        assert len(result_of(p).images) == 1
        assert len(files(tmp_path)) == keep


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[seed]", "5"),
        ("[seed]-[steps]-[cfg]-[width]x[height]", "5-2-7.0-64x64"),
        ("[sampler]-[scheduler]", "Euler-Automatic"),
        ("[prompt_words]", "a red ball"),
        ("[prompt]", "a_red_ball"),
        ("[hasprompt<ball|none><dog|nodog>]", "ballnodog"),
        ("x[batch_number]y", "y"),
        ("[unknown]-[none]z", "[unknown]-z"),
        ("[styles]", "None"),
        ("[prompt_hash<4>]", "7f2e"),
    ],
)
def test_patterns(pattern, name):
    import hashlib

    from modules.images import FilenameGenerator

    if pattern.startswith("[prompt_hash"):
        name = hashlib.sha256(b"a red ball").hexdigest()[:4]
    p = txt2img()
    assert FilenameGenerator(p, 5, "a red ball", four_colours()).apply(pattern) == name


def test_a_broken_pattern_stays_as_it_is(capsys):
    from modules.images import FilenameGenerator

    assert FilenameGenerator(None, 5, "x", four_colours()).apply("a[steps]") == "a[steps]"
    assert "Error adding [steps] to filename" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "safe"), [('a/b:c*d?"e', "a_b_c_d__e"), ("  lead", "__lead"), ("end. ", "end._"), ("x" * 300, "x" * 128)]
)
def test_names_have_no_signs_that_file_systems_refuse(text, safe):
    from modules.images import sanitize_filename_part

    assert sanitize_filename_part(text) == safe
    assert sanitize_filename_part(None) is None


@pytest.mark.parametrize(
    ("existing", "basename", "number"),
    [([], "", 0), (["00004-x.png", "7.png", "a.png"], "", 8), (["grid-0003.png", "9-1.png"], "grid", 4)],
)
def test_numbers_go_on_after_the_highest(tmp_path, existing, basename, number):
    from modules.images import get_next_sequence_number

    for name in existing:
        (tmp_path / name).touch()
    assert get_next_sequence_number(str(tmp_path), basename) == number


def test_a_forced_name_replaces_or_gets_a_number(tmp_path):
    from modules import images, shared

    def save():
        path, _ = images.save_image(four_colours(), str(tmp_path), "", forced_filename="one", save_to_dirs=False)
        return path

    assert save() == save() == str(tmp_path / "one.png")
    shared.opts.save_images_replace_action = "Add number suffix"
    assert save() == str(tmp_path / "one-1.png")


def test_callbacks_may_change_what_is_saved(tmp_path):
    from modules import images, script_callbacks, shared

    saved = []

    def before(params):
        params.filename = str(tmp_path / "other.png")
        params.pnginfo["more"] = "text"

    script_callbacks.on_before_image_saved(before)
    script_callbacks.on_image_saved(saved.append)
    shared.opts.save_txt = True
    try:
        path, text = images.save_image(four_colours(), str(tmp_path), "", 1, "p", info="infotext", save_to_dirs=False)
    finally:
        script_callbacks.remove_callbacks_for_function(before)
        script_callbacks.remove_callbacks_for_function(saved.append)
    assert path == str(tmp_path / "other.png") and saved[0].filename == path
    assert Image.open(path).info == {"parameters": "infotext", "more": "text"}
    assert text == str(tmp_path / "other.txt") and (tmp_path / "other.txt").read_text() == "infotext\n"


def test_a_picture_that_cannot_be_written_leaves_no_file(tmp_path):
    from modules import images

    picture = Image.new("F", (4, 4))
    with pytest.raises(OSError):
        images.save_image(picture, str(tmp_path), "", 1, "p", save_to_dirs=False)
    assert not list(tmp_path.glob("*.png"))


def test_pictures_too_large_for_a_format_are_saved_as_png(tmp_path):
    from modules import images

    path, _ = images.save_image(Image.new("L", (16384, 1)), str(tmp_path), "", extension="webp", save_to_dirs=False)
    assert path.endswith(".png")


def test_texts_can_be_left_out_of_pictures(tmp_path):
    from modules import images, shared

    shared.opts.enable_pnginfo = False
    path, _ = images.save_image(four_colours(), str(tmp_path), "", info="infotext", save_to_dirs=False)
    assert Image.open(path).info == {}


@pytest.mark.parametrize(
    ("count", "options", "size"),
    [
        (1, {}, (8, 8)),
        (4, {}, (16, 16)),
        (5, {}, (24, 16)),
        (6, {"n_rows": 1}, (48, 8)),
        (6, {"n_rows": 0}, (24, 16)),
        (7, {"grid_prevent_empty_spots": True}, (56, 8)),
        (6, {"grid_prevent_empty_spots": True}, (24, 16)),
    ],
)
def test_the_form_of_grids(count, options, size):
    from modules import images, shared

    for name, value in options.items():
        setattr(shared.opts, name, value)
    assert images.image_grid([Image.new("RGB", (8, 8))] * count, batch_size=2).size == size


def test_smaller_pictures_are_in_the_middle_of_their_place():
    from modules import images

    grid = images.image_grid([Image.new("RGB", (8, 8), "red"), Image.new("RGB", (4, 4), "blue")], rows=1)
    assert grid.getpixel((9, 1)) == (255, 255, 255) and grid.getpixel((11, 3)) == (0, 0, 255)


def test_resizing_stretches_cuts_or_fills():
    from modules.images import resize_image

    wide = Image.new("RGB", (40, 20), "red")
    wide.paste("blue", (0, 0, 10, 20))
    stretched, cut, filled = (resize_image(mode, wide, 20, 20) for mode in (0, 1, 2))
    assert stretched.size == cut.size == filled.size == (20, 20)
    assert stretched.getpixel((1, 10)) == (0, 0, 255) and stretched.getpixel((8, 10)) == (255, 0, 0)
    assert cut.getpixel((5, 10)) == (255, 0, 0)
    assert filled.getpixel((1, 0)) == (0, 0, 255) and filled.getpixel((15, 19)) == (255, 0, 0)
    high = resize_image(2, wide.rotate(90, expand=True), 20, 20)
    assert high.size == (20, 20) and high.getpixel((0, 1)) == (255, 0, 0)


@pytest.mark.parametrize(("name", "colours"), [("Nearest", 4), ("Lanczos", None), ("None", None)])
def test_upscalers(name, colours):
    from modules.images import resize_image

    large = resize_image(0, four_colours(16), 64, 64, upscaler_name=name)
    assert large.size == (64, 64)
    found = len(np.unique(np.array(large).reshape(-1, 3), axis=0))
    assert found == colours if colours else found > 4


def test_an_unknown_upscaler_is_said_and_replaced(capsys):
    from modules.images import resize_image

    assert resize_image(0, four_colours(16), 32, 32, upscaler_name="ESRGAN").size == (32, 32)
    assert "no upscaler named 'ESRGAN'" in capsys.readouterr().out


def test_transparency_is_filled_and_exif_turns():
    import io

    from modules import images

    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert images.flatten(clear, "#00ff00").getpixel((0, 0)) == (0, 255, 0)
    assert images.flatten(Image.new("L", (1, 1), 7), "#ffffff").mode == "RGB"
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(turned, format="JPEG", exif=exif)
    assert images.read(turned).size == (4, 8)
    assert images.fix_image(None) is None


def test_a_tensor_becomes_a_picture_by_cutting_off_fractions():
    import torch

    from modules.images import to_array, to_picture

    sample = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1).expand(3, 2, 2)
    picture = to_picture(sample)
    assert picture.getpixel((0, 0)) == (0, 127, 255)
    assert to_array(picture).shape == (3, 2, 2) and to_array(picture).dtype == np.float32
