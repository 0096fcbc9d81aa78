"""img2img: masks, resize modes, several pictures, folders."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from processing_runs import four_colours, img2img, pixels_of, recorder, result_of

pytestmark = pytest.mark.usefixtures("pocket")


def left_half(size=64):
    mask = Image.new("L", (size, size), 0)
    mask.paste(255, (0, 0, size // 2, size))
    return mask


def test_a_stronger_denoising_goes_further_from_the_picture():
    original = pixels_of(result_of(img2img(denoising_strength=0.0, steps=4)).images[0])
    distances = [
        np.abs(pixels_of(result_of(img2img(denoising_strength=strength, steps=4)).images[0]) - original).mean()
        for strength in (0.25, 1.0)
    ]
    assert 0 < distances[0] < distances[1]


@pytest.mark.parametrize("fill", [0, 1, 2, 3])
def test_outside_the_mask_the_original_stays(fill):
    result = result_of(img2img(mask=left_half(), mask_blur=0, inpaint_full_res=False, inpainting_fill=fill))
    made, original = pixels_of(result.images[0]), pixels_of(four_colours())
    assert (made[:, 32:] == original[:, 32:]).all()
    assert (made[:, :32] != original[:, :32]).any()
    expected = {0: "Masked content: fill", 2: "Masked content: latent noise", 3: "Masked content: latent nothing"}
    assert expected.get(fill, "Masked content") in result.info or fill == 1


def test_the_mask_can_be_turned_round():
    result = result_of(img2img(mask=left_half(), mask_blur=0, inpaint_full_res=False, inpainting_mask_invert=1))
    made, original = pixels_of(result.images[0]), pixels_of(four_colours())
    assert (made[:, :32] == original[:, :32]).all() and (made[:, 32:] != original[:, 32:]).any()
    assert "Mask mode: Inpaint not masked" in result.info


def test_only_the_masked_part_is_worked_on_and_pasted_back():
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (16, 16, 48, 48))
    picture = four_colours(128)
    p = img2img(init_images=[picture], mask=mask, mask_blur=0, inpaint_full_res=True, inpaint_full_res_padding=8)
    result = result_of(p)
    assert p.paste_to == (8, 8, 48, 48)
    made, original = pixels_of(result.images[0]), pixels_of(picture)
    assert made.shape == original.shape
    outside = np.ones((128, 128), bool)
    outside[16:48, 16:48] = False
    assert (made[outside] == original[outside]).all() and (made[~outside] != original[~outside]).any()
    assert "Inpaint area: Only masked" in result.info and "Masked area padding: 8" in result.info


def test_an_empty_mask_means_plain_img2img_and_is_said():
    result = result_of(img2img(mask=Image.new("L", (64, 64), 0), inpaint_full_res=True))
    plain = result_of(img2img())
    assert (pixels_of(result.images[0]) == pixels_of(plain.images[0])).all()
    assert "mask is blank" in result.comments


def test_the_mask_and_its_part_can_be_returned():
    settings = {"return_mask": True, "return_mask_composite": True}
    result = result_of(
        img2img(mask=left_half(), mask_blur=0, inpaint_full_res=False, override_settings=settings, batch_size=1)
    )
    _, mask, part = result.images
    assert mask.getpixel((5, 5)) == (255, 255, 255) and mask.getpixel((60, 5)) == (0, 0, 0)
    assert part.mode == "RGBA" and part.getpixel((60, 5))[3] == 0 and part.getpixel((5, 5))[3] == 255
    assert len(result.infotexts) == 1


def test_the_original_is_not_laid_over_if_the_settings_say_so():
    p = img2img(mask=left_half(), mask_blur=0, inpaint_full_res=False, override_settings={"overlay_inpaint": False})
    made, original = pixels_of(result_of(p).images[0]), pixels_of(four_colours())
    assert (made[:, 32:] != original[:, 32:]).any()


@pytest.mark.parametrize("blur", [0, 4])
def test_a_blurred_mask_keeps_its_middle(blur):
    from modules.masking import blur_mask

    pixels = np.array(blur_mask(left_half(), blur, blur))
    assert pixels[32, 2] == 255 and pixels[32, 62] == 0
    edge = pixels[32, 28:36].astype(int)
    assert (np.diff(edge) <= 0).all() and (len(set(edge)) > 2) == bool(blur)


def test_blur_is_a_gaussian():
    from modules.masking import blur_mask

    point = np.zeros((41, 41), np.uint8)
    point[20, 20] = 255
    blurred = np.array(blur_mask(Image.fromarray(point), 2, 2)).astype(float)
    expected = np.exp(-(np.arange(-5, 6) ** 2) / 8)
    expected = np.outer(expected, expected) / expected.sum() ** 2 * 255
    assert np.abs(blurred[15:26, 15:26] - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("sigma", "row"), [(1, [0, 1, 14, 62, 102, 62, 14, 1, 0]), (2, [7, 17, 31, 45, 52, 45, 31, 17, 7])]
)
def test_blur_is_opencvs_to_the_bit(sigma, row):
    """The rows are what cv2.GaussianBlur makes of one white point."""
    from modules.masking import blur_mask

    point = np.zeros((1, 21), np.uint8)
    point[0, 10] = 255
    assert np.array(blur_mask(Image.fromarray(point), sigma, 0))[0, 6:15].tolist() == row


def test_transparent_masks_count_by_their_alpha():
    from modules.processing import create_binary_mask

    mask = Image.new("RGBA", (3, 1), (255, 255, 255, 0))
    mask.putpixel((1, 0), (0, 0, 0, 129))
    mask.putpixel((2, 0), (0, 0, 0, 128))
    assert list(create_binary_mask(mask).getdata()) == [0, 255, 0]
    assert list(create_binary_mask(mask, round=False).getdata()) == [0, 129, 128]
    assert list(create_binary_mask(Image.new("RGB", (1, 1), "white")).getdata()) == [255]


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_all_resize_modes_give_the_size_asked_for(mode):
    wide = four_colours().resize((96, 48))
    assert result_of(img2img(init_images=[wide], resize_mode=mode)).images[0].size == (64, 64)


def test_one_picture_serves_the_batch_and_several_are_one_each():
    pictures = [four_colours(), four_colours().rotate(90)]
    both = result_of(img2img(init_images=pictures, batch_size=2, denoising_strength=0.0))
    assert (pixels_of(both.images[0]) != pixels_of(both.images[1])).any()
    p = img2img(init_images=pictures, batch_size=3)
    assert len(result_of(p).images) == 2 and p.batch_size == 2
    assert len(result_of(img2img(batch_size=2)).images) == 2


def test_noise_can_be_multiplied():
    plain = result_of(img2img())
    more = result_of(img2img(initial_noise_multiplier=1.2))
    assert (pixels_of(plain.images[0]) != pixels_of(more.images[0])).any()
    assert "Noise multiplier: 1.2" in more.info


@pytest.mark.parametrize(("x", "y", "both"), [(3, 3, 3), (3, 5, None)])
def test_mask_blur_is_one_number_or_two(x, y, both):
    p = img2img(mask_blur_x=x, mask_blur_y=y)
    assert p.mask_blur == both
    p.mask_blur = 7
    assert (p.mask_blur_x, p.mask_blur_y) == (7, 7)
    p.mask_blur = None
    assert p.mask_blur == 7


@pytest.mark.parametrize(
    ("box", "expected"),
    [((10, 10, 20, 20), (10, 10, 20, 20)), ((10, 10, 30, 20), (10, 5, 30, 25)), ((0, 0, 4, 40), (0, 0, 40, 40))],
)
def test_the_part_gets_the_proportions_of_the_run(box, expected):
    from modules.masking import expand_crop_region

    assert expand_crop_region(box, 64, 64, 64, 64) == expected


def test_the_part_stays_inside_the_picture():
    from modules.masking import expand_crop_region, get_crop_region, get_crop_region_v2

    for box in ((60, 60, 64, 64), (0, 0, 64, 2), (62, 0, 64, 64)):
        left, top, right, bottom = expand_crop_region(box, 32, 64, 64, 64)
        assert 0 <= left < right <= 64 and 0 <= top < bottom <= 64
    mask = np.zeros((10, 10), np.uint8)
    assert get_crop_region_v2(mask) is None and get_crop_region(mask, 3) == (7, 7, 3, 3)
    mask[4, 5] = 255
    assert get_crop_region_v2(mask, 2) == get_crop_region(mask, 2) == (3, 2, 8, 7)


def test_filling_puts_colours_from_around_under_the_mask():
    from modules.masking import fill

    picture = Image.new("RGB", (64, 64), "red")
    picture.paste("blue", (0, 0, 32, 64))
    filled = fill(picture, left_half())
    assert filled.getpixel((60, 30)) == (255, 0, 0)
    assert filled.getpixel((20, 30))[0] > 200 and filled.getpixel((20, 30))[2] < 50


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    for number in (10, 2, 1):
        four_colours().rotate(number).save(made / f"{number}.png")
    (made / "notes.txt").write_text("not a picture")
    (made / "broken.png").write_bytes(b"nor this")
    return made


@pytest.fixture
def batch_runner(monkeypatch):
    """The img2img tab has one script that writes down the runs' init pictures."""
    from modules import scripts

    seen = []
    pictures = []
    runner = recorder(seen, {"process": lambda p: pictures.append((p.init_images, p.image_mask, p.width, p.prompt))})
    monkeypatch.setattr(scripts, "scripts_img2img", runner)
    return SimpleNamespace(runner=runner, runs=pictures)


def batch_run(runner, folder, output="", masks="", **options):
    from modules import shared
    from modules.img2img import process_batch

    p = img2img(runner, steps=1, denoising_strength=0.1, do_not_save_samples=not output, inpaint_full_res=False)
    shared.state.begin("batch")
    try:
        return process_batch(p, str(folder), output, masks, [0], **options)
    finally:
        shared.state.end()
        p.close()


def test_a_folder_is_one_run_a_picture_in_natural_order(folder, batch_runner):
    result = batch_run(batch_runner.runner, folder)
    assert len(result.images) == len(result.infotexts) == 3
    expected = [four_colours().rotate(number) for number in (1, 2, 10)]
    for (init_images, _, _, _), picture in zip(batch_runner.runs, expected, strict=True):
        assert init_images == [picture]


def test_results_are_saved_under_the_pictures_names(folder, batch_runner, tmp_path):
    from modules import shared

    for _ in range(2):
        batch_run(batch_runner.runner, folder, output=str(tmp_path / "out"))
    assert shared.opts.samples_filename_pattern == ""
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 6 and names[0].endswith("-1.png")


def test_sizes_may_follow_the_pictures(folder, batch_runner):
    batch_run(batch_runner.runner, folder, to_scale=True, scale_by=0.5)
    assert [width for _, _, width, _ in batch_runner.runs] == [32, 32, 32]


def test_masks_are_one_for_all_or_by_name(folder, batch_runner, tmp_path, capsys):
    masks = tmp_path / "masks"
    masks.mkdir()
    left_half().save(masks / "2.png")
    batch_run(batch_runner.runner, folder, masks=str(masks))
    assert [mask.size for _, mask, _, _ in batch_runner.runs] == [(64, 64)] * 3
    batch_runner.runs.clear()
    left_half().save(masks / "10.png")
    batch_run(batch_runner.runner, folder, masks=str(masks))
    assert len(batch_runner.runs) == 2 and "mask is not found for" in capsys.readouterr().out


def test_parameters_may_come_from_the_pictures(folder, batch_runner):
    from modules import images

    text = "cat\nNegative prompt: x\nSteps: 1, Sampler: Euler, Seed: 77"
    images.save_image_with_geninfo(four_colours(), text, str(folder / "2.png"))
    result = batch_run(
        batch_runner.runner, folder, use_png_info=True, png_info_props=["Prompt", "Seed"], png_info_dir=None
    )
    assert [prompt for _, _, _, prompt in batch_runner.runs] == ["a red ball", "a red ball cat", "a red ball"]
    assert [f"Seed: {seed}," in text for seed, text in zip((5, 77, 5), result.infotexts, strict=True)] == [True] * 3


def test_no_more_results_are_kept_than_the_settings_say(folder, batch_runner):
    from modules import shared

    shared.opts.img2img_batch_show_results_limit = 2
    assert len(batch_run(batch_runner.runner, folder).images) == 2
    assert len(batch_runner.runs) == 3


def test_an_interrupt_ends_the_folder(folder, batch_runner):
    from modules import shared

    batch_runner.runner.alwayson_scripts[0].__class__.postprocess = lambda *args: shared.state.interrupt()
    batch_runner.runner.callback_map.clear()
    assert len(batch_run(batch_runner.runner, folder).images) == 1


def test_an_empty_folder_gives_nothing(tmp_path, batch_runner):
    assert batch_run(batch_runner.runner, tmp_path) is None
